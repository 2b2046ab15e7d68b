"""Runs the application with uvicorn, and stops it without losing a request."""

import asyncio
import signal
import socket
from collections.abc import Sequence

import uvicorn
from starlette.applications import Starlette

from pecl.errors import RunError
from pecl.serving.app import make_app
from pecl.serving.connections import Connection
from pecl.serving.limits import Limits
from pecl.serving.service import Service
from pecl.serving.sockets import BACKLOG, allowed_hosts, free_files

_AT_ONCE = 8  # connections taken in a turn of the event loop: few, since each is a file before its number is known
_LINGER = 0.3  # seconds in which a server that was told to stop takes earlier requests
_TURNS = 2 * BACKLOG // _AT_ONCE  # turns of the event loop, at least, in which it does


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
