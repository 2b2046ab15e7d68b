"""The socket of a server, its host names and its API key. Nothing here imports FastAPI or uvicorn."""

import contextlib
import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

from pecl.errors import ConfigError
from pecl.files import read_regular
from pecl.options import quoted

BACKLOG = 512  # connections that may wait to be taken
LOOPBACK = ("127.0.0.1", "localhost", "[::1]", "::1")
_KEY = re.compile(rb"[!-~]{16,512}")


def check_port(host: str, port: int) -> None:
    """Raise ConfigError if `open_socket` would; no client can connect meanwhile, since the socket does not listen."""
    with _errors_of_address(host, port), socket.socket(_family(host), socket.SOCK_STREAM) as trial:
        # these options are those of `create_server`
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if trial.family == socket.AF_INET6:
            trial.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        trial.bind((host, port))


def open_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens on `host` and `port`; port 0 selects a free port.

    Clients can connect at once; they wait until the server has started.

    Raises:
        ConfigError: no such host, or the port is taken or not allowed.
    """
    with _errors_of_address(host, port):
        listening = socket.create_server((host, port), family=_family(host), backlog=BACKLOG)
    # connections inherit it; without it the body of an answer waits 40 ms for the client to acknowledge the head
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


@contextlib.contextmanager
def _errors_of_address(host: str, port: int) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError) as error:  # UnicodeError: an impossible host name
        reason = error
        if isinstance(error, OSError) and error.errno:
            reason = os.strerror(error.errno)
        raise ConfigError(f"cannot listen on {quoted(host)} port {port}: {reason}") from error


def allowed_hosts(listening: socket.socket, host: str) -> tuple[str, ...] | None:
    """Return the accepted values of the header `Host` if only this machine can reach the server, or None.

    The address of the socket decides, since `host` may be any name for it, such as `LOCALHOST` or
    `127.1`. The result is None if other machines can reach the socket: their names for it are not known here.
    """
    text = listening.getsockname()[0].partition("%")[0]  # without the zone of IPv6
    address = ipaddress.ip_address(text)
    if not (getattr(address, "ipv4_mapped", None) or address).is_loopback:
        return None
    return tuple(dict.fromkeys((*LOOPBACK, text, f"[{text}]", host.lower())))


def address_of(listening: socket.socket) -> str:
    """Return the URL of a server for a browser."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def read_key(path: str | Path) -> bytes:
    """Return the key in the only line of a file.

    Raises:
        ConfigError: the file cannot be read, or holds something else; the message does not repeat its content.
    """
    try:
        key = read_regular(path).strip()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}", field="api_key_file") from error

    if not _KEY.fullmatch(key):
        expected = "one line of 16 to 512 letters, digits and signs of ASCII, without spaces"
        raise ConfigError(f"expected {expected}, got something else in {path}", field="api_key_file")

    return key
