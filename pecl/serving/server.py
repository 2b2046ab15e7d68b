"""Runs the application with uvicorn: `Connection` has the limits that uvicorn lacks, `Server` loses no request."""

import asyncio
import signal
import socket
from collections.abc import Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from pecl.errors import RunError
from pecl.serving.app import make_app
from pecl.serving.limits import Limits
from pecl.serving.service import Service
from pecl.serving.sockets import BACKLOG, allowed_hosts, free_files

_AT_ONCE = 8  # connections taken in a turn of the event loop: few, since each is a file before its number is known
_LINGER = 0.3  # seconds in which a server that was told to stop takes earlier requests
_TURNS = 2 * BACKLOG // _AT_ONCE  # turns of the event loop, at least, in which it does


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


class Server(uvicorn.Server):
    """A server that, told to stop, answers earlier requests before it closes.

    uvicorn closes its socket at once, and with it connections that the system holds for it. This one goes on for a
    moment, its answers saying that the connection closes, and then answers the requests taken. However slow the machine
    is, the moment is long enough for all connections held: it is counted in turns of the event loop.

    Its arguments are those of `make_app`.
    """

    def __init__(
        self, service: Service, hosts: Sequence[str] | None = None, key: bytes | None = None, access_log: bool = False
    ) -> None:
        super().__init__(make_config(make_app(service, hosts, key, access_log), service.limits))
        self.service = service

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start: see uvicorn, which lets no more connections wait than it takes in a turn."""
        await super().startup(sockets)
        for each in sockets or ():
            each.listen(BACKLOG)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: see the class."""
        self.service.stopping = True
        for _ in range(0 if self.force_exit else _TURNS):
            await asyncio.sleep(_LINGER / _TURNS)
        await super().shutdown(sockets)


def serve(
    service: Service, listening: socket.socket, host: str, key: bytes | None = None, access_log: bool = False
) -> None:
    """Answer requests until SIGTERM or SIGINT, then those that are under way, and return.

    The service's limits are lowered to the files that the process may open. See `allowed_hosts` for `host`, and
    `make_app` for `key` and `access_log`.

    Raises:
        ConfigError: the process may open too few files.
        RunError: the application could not start.
    """
    service.limits = service.limits.within(free_files())
    server = Server(service, allowed_hosts(listening, host), key, access_log)
    # uvicorn raises the signal again when it has stopped; there is nothing left to do then.
    before = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run([listening])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if not server.started:
        raise RunError("the server could not start; its log says why")


def make_config(app: Starlette, limits: Limits) -> uvicorn.Config:
    """Return uvicorn's config for the application."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        loop="asyncio",
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        backlog=_AT_ONCE,
        limit_concurrency=limits.connections,
        timeout_keep_alive=limits.idle,
        h11_max_incomplete_event_size=16 << 10,
    )
