"""Runs the application with uvicorn, and stops it without losing a request."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import resource
import signal
import socket
from collections.abc import Sequence

import uvicorn
from starlette.applications import Starlette

from pecl.errors import ConfigError, RunError
from pecl.options import shown
from pecl.serving.app import LOOPBACK, make_app
from pecl.serving.connections import Connection
from pecl.serving.limits import Limits
from pecl.serving.service import Service

_BACKLOG = 512  # connections that may wait to be taken
_AT_ONCE = 8  # connections taken in a turn of the event loop: few, since each is a file before its number is known
_LINGER = 0.3  # seconds in which a server that was told to stop takes what was sent before
_TURNS = 2 * _BACKLOG // _AT_ONCE  # of the event loop, at least, in which it does


class Server(uvicorn.Server):
    """A server that, told to stop, answers what has been sent before it closes.

    uvicorn closes its socket at once, and with it connections that the system holds for it. This one goes on for a
    moment, its answers saying that the connection closes, and then answers what it has taken. However slow the machine
    is, the moment is long enough for what the system held: it is counted in turns of the event loop.

    Args:
        service: what it serves.
        hosts: see `make_app`.
        key: see `make_app`.
        access_log: see `make_app`.
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
            each.listen(_BACKLOG)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: see the class."""
        self.service.stopping = True
        for _ in range(0 if self.force_exit else _TURNS):
            await asyncio.sleep(_LINGER / _TURNS)
        await super().shutdown(sockets)


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host` and `port`; port 0 is one that is free.

    Whoever connects waits until the server is started.

    Raises:
        ConfigError: no such host, or the port is taken or not allowed.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that a killed server has just left
            found.bind(address)
            found.listen(_BACKLOG)
        except BaseException:
            found.close()
            raise
    except (OSError, UnicodeError) as error:  # the latter of a host that cannot be the name of one
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot listen on {shown(host)} port {port}: {reason}") from error
    return found


def allowed_hosts(listening: socket.socket, host: str) -> tuple[str, ...] | None:
    """Return the names under which a server of this machine only answers, as requests write them in `Host`.

    The address decides to which the socket is bound: `host` may be any name for it, such as `LOCALHOST` or `127.1`.

    Args:
        listening: the bound socket.
        host: what the user called its address.

    Returns:
        The names; None where other machines can reach the socket, which have names for it that are not known here.
    """
    text = listening.getsockname()[0].partition("%")[0]  # without the zone of IPv6
    address = ipaddress.ip_address(text)
    if not (getattr(address, "ipv4_mapped", None) or address).is_loopback:
        return None
    return tuple(dict.fromkeys((*LOOPBACK, text, f"[{text}]", host.lower())))


def address_of(listening: socket.socket) -> str:
    """Return the address of a server, as a browser takes it."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def free_files() -> int:
    """Return how many more files this process may open."""
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (1 << 20 if most == resource.RLIM_INFINITY else most) - len(os.listdir("/dev/fd"))


def serve(
    service: Service, listening: socket.socket, host: str, key: bytes | None = None, access_log: bool = False
) -> None:
    """Answer requests until SIGTERM or SIGINT, then those that are under way, and return.

    Args:
        service: what is served. Its limits are lowered to the files that the process may open.
        listening: see `open_socket`.
        host: what the user called the address; see `allowed_hosts`.
        key: see `make_app`.
        access_log: see `make_app`.

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
    """Return how uvicorn runs the application."""
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
