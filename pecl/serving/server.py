"""Runs the application with uvicorn: `Server` loses no request when it is stopped."""

import asyncio
import resource
import signal
import socket
from collections.abc import Sequence

import uvicorn

from pecl.errors import RunError
from pecl.serving.app import make_app
from pecl.serving.service import Service
from pecl.serving.sockets import BACKLOG, allowed_hosts

_LINGER = 0.3  # seconds in which a server that was told to stop takes earlier requests


class Server(uvicorn.Server):
    """A server that, told to stop, goes on for a moment, and answers what it took before it closes.

    uvicorn closes its socket at once, and with it connections that the system holds for it. Its arguments are those of
    `make_app`.
    """

    def __init__(
        self, service: Service, hosts: Sequence[str] | None = None, key: bytes | None = None, access_log: bool = False
    ) -> None:
        config = uvicorn.Config(
            make_app(service, hosts, key, access_log),
            ws="none",
            loop="asyncio",
            log_level="warning",
            access_log=False,
            lifespan="on",
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=30,  # seconds between two requests of a connection
            timeout_graceful_shutdown=service.limits.patience,
        )
        super().__init__(config)
        self.service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: see the class."""
        self.service.stopping = True
        await asyncio.sleep(0 if self.force_exit else _LINGER)
        await super().shutdown(sockets)


def serve(
    service: Service, listening: socket.socket, host: str, key: bytes | None = None, access_log: bool = False
) -> None:
    """Answer requests until SIGTERM or SIGINT, then those that are under way, and return.

    See `allowed_hosts` for `host`, and `make_app` for `key` and `access_log`.

    Raises:
        RunError: the application could not start.
    """
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # often 1,024 files: fewer than connections
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
