"""Runs the application with uvicorn, and stops it without losing a request."""

from __future__ import annotations

import asyncio
import signal
import socket

import uvicorn
from starlette.applications import Starlette

from pecl.errors import ConfigError, RunError
from pecl.options import shown
from pecl.serving.app import LOOPBACK, make_app
from pecl.serving.service import Service

_LINGER = 0.3  # seconds in which a server that was told to stop takes what was sent before
_TURNS = 20  # of the event loop, at least, in which it does: it takes some from a connection to its request
_BACKLOG = 512  # connections that may wait to be taken


class Server(uvicorn.Server):
    """A server that, told to stop, answers what has been sent before it closes.

    uvicorn closes its socket at once, and with it connections that the system holds for it. This one goes on for a
    moment, its answers saying that the connection closes, and then answers what it has taken. However slow the machine
    is, the moment is long enough for what the system held: it is counted in turns of the event loop.
    """

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self.service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: see the class."""
        self.service.stopping = True
        for _ in range(0 if self.force_exit else _TURNS):
            await asyncio.sleep(_LINGER / _TURNS)
        await super().shutdown(sockets)


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket bound to `host` and `port` that does not listen yet; port 0 is one that is free.

    Raises:
        ConfigError: no such host, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that a killed server has just left
            found.bind(address)
        except BaseException:
            found.close()
            raise
    except (OSError, UnicodeError) as error:  # the latter of a host that cannot be the name of one
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {shown(host)} port {port}: {reason}") from error
    return found


def serve(service: Service, listening: socket.socket, host: str) -> None:
    """Answer requests until SIGTERM or SIGINT, then those that are under way, and return.

    Args:
        service: what is served.
        listening: see `open_socket`.
        host: what it is bound to: on the loopback, requests under other names are refused.

    Raises:
        RunError: the application could not start.
    """
    app = make_app(service, LOOPBACK if host in LOOPBACK else None)
    server = Server(make_config(app), service)
    # uvicorn raises the signal again when it has stopped; there is nothing left to do then.
    before = {each: signal.signal(each, lambda *_: None) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run([listening])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    if not server.started:
        raise RunError("the server could not start; its log says why")


def make_config(app: Starlette) -> uvicorn.Config:
    """Return how uvicorn runs the application."""
    return uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        server_header=False,
        backlog=_BACKLOG,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=16 << 10,
    )
