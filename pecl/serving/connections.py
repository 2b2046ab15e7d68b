"""`Connection`: HTTP/1.1 by uvicorn, with limits on time and on the number of connections that uvicorn lacks."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState


class Connection(H11Protocol):
    """A connection that is closed where it keeps the server waiting.

    uvicorn limits the time between two requests. It waits without a limit for the first request, for the rest of a
    head, and for a client that does not read its answer. Here, each of them may take `timeout_keep_alive` seconds.

    uvicorn answers 503 to every request while `limit_concurrency` connections are open, idle ones among them. Here, the
    connection that has been idle for longest is closed for a new one.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.limit_concurrency = None  # see the class
        self.idle_since = self.loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._unsent = 0  # bytes of an answer that the client had not read when the timer was started

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered; a head that is not whole does not count."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the time for the first request, and close another connection where too many are open."""
        super().connection_made(transport)
        self._watch()
        most = self.config.limit_concurrency
        if most is not None and len(self.connections) > most:
            self._longest_idle().transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the time."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; the time for its head goes on until the head is whole."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Start the time for the next request."""
        super().on_response_complete()
        self._unset_keepalive_if_required()
        self.idle_since = self.loop.time()
        self._stop_timer()
        self._watch()

    def pause_writing(self) -> None:
        """Start the time in which the client has to read a part of the answer."""
        super().pause_writing()
        self._stop_timer()
        self._watch()

    def resume_writing(self) -> None:
        """Stop that time."""
        super().resume_writing()
        self._stop_timer()
        self._watch()

    def _watch(self) -> None:
        """Let the timer run while the client is waited for, and only then."""
        if not (self.is_idle or self.flow.write_paused):
            self._stop_timer()
        elif self._timer is None:
            self._unsent = self.transport.get_write_buffer_size()
            self._timer = self.loop.call_later(self.timeout_keep_alive, self._end_of_time)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _end_of_time(self) -> None:
        """Close the connection, unless the client has read a part of its answer since the timer was started."""
        self._timer = None
        unsent = self.transport.get_write_buffer_size()
        if 0 < unsent < self._unsent:
            self._watch()
        elif unsent:
            self.transport.abort()  # `close` waits until all is read
        else:
            self.timeout_keep_alive_handler()

    def _longest_idle(self) -> "Connection":
        """Return the connection to close for this one; this one itself where all others are being answered."""
        idle = [
            one
            for one in self.connections
            if isinstance(one, Connection) and one is not self and one.is_idle and not one.transport.is_closing()
        ]
        return min(idle, key=lambda one: one.idle_since, default=self)
