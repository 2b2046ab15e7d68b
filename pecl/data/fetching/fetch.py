"""Fetch one file over HTTPS into memory, up to a size, with retries after broken connections.

huggingface_hub's `http_stream_backoff` repeats requests that no server answers. A file is fetched whole each time:
published files are small, and their SHA-256 is known.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

from pecl.errors import DataError

logger = logging.getLogger(__name__)

USER_AGENT = "pecl (Python; research data sets)"
RETRYABLE = (408, 425, 429, 500, 502, 503, 504)
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
_REDIRECTS = 5
_LONGEST_WAIT = 60.0  # seconds that a server may ask for in `Retry-After`
_BLOCK = 1 << 16  # bytes read at a time


class FetchError(DataError):
    """A file could not be fetched."""


class UnreachableError(FetchError):
    """Its server could not be reached at all, so that others of the same server need not be tried."""


class StoppedError(FetchError):
    """The download was stopped before this file was whole."""


class _BrokenError(Exception):
    """The connection broke within a file, or the server is busy; the next attempt comes after `wait` seconds."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


@dataclass(frozen=True)
class FetchPolicy:
    """Time-outs and retries of a fetch."""

    timeout: float = 30.0  # seconds for which a server may stay silent
    attempts: int = 5  # the first included
    backoff: float = 1.0  # seconds before the second attempt; doubled before each further one, up to 8
    max_bytes: int = 1 << 26  # many times the largest published file


def check_address(url: str) -> None:
    """Raise FetchError unless `url` is https, or http to this machine."""
    try:
        parts = urlsplit(url)
    except ValueError as error:  # as of http://[::1
        raise FetchError(f"expected an address https://..., got {url} ({error})") from error
    is_local = parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS
    if not parts.hostname or not (parts.scheme == "https" or is_local):
        raise FetchError(f"expected an address https://..., got {url}")


def fetch(url: str, check: Callable[[bytes], None], policy: FetchPolicy, stopped: threading.Event) -> bytes:
    """Return the content of a file.

    A redirect is followed to an address that `check_address` takes; `check` raises DataError for wrong content;
    `stopped` ends the fetch soon, once it is set.

    Raises:
        FetchError: the address is not https, the server refuses, the file is too large, or all attempts failed.
        UnreachableError, StoppedError: as they say.
    """
    for attempt in range(1, policy.attempts + 1):
        try:
            content = _attempt(url, policy, stopped)
        except _BrokenError as error:
            reason = f"{error} ({attempt} attempts)"
            wait = error.wait or min(policy.backoff * 2 ** (attempt - 1), 8.0)
            if attempt < policy.attempts and stopped.wait(wait):
                raise StoppedError("stopped") from error
        else:
            try:
                check(content)
                return content
            except DataError as error:
                reason = f"wrong content: {error} ({attempt} attempts)"
        logger.info("%s: %s", url, reason)
    raise FetchError(reason)


def _attempt(url: str, policy: FetchPolicy, stopped: threading.Event) -> bytes:
    from huggingface_hub.errors import HTTPError, OfflineModeIsEnabled  # here: it takes a quarter of a second
    from huggingface_hub.utils import http_stream_backoff

    for _ in range(_REDIRECTS):
        check_address(url)
        if stopped.is_set():
            raise StoppedError("stopped")
        try:
            with http_stream_backoff(
                "GET",
                url,
                max_retries=policy.attempts - 1,
                base_wait_time=policy.backoff,
                retry_on_status_codes=(),
                headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
                timeout=policy.timeout,
                follow_redirects=False,
            ) as response:
                if not response.has_redirect_location:
                    return _read(response, policy, stopped)
                url = urljoin(url, response.headers["Location"])
        except OfflineModeIsEnabled as error:
            raise UnreachableError("HF_HUB_OFFLINE is set: unset it to download") from error
        except HTTPError as error:
            raise UnreachableError(f"no connection: {str(error) or type(error).__name__}") from error
        except (RuntimeError, AttributeError) as error:
            # The client is shared. A failed connection of another thread closes it; `get_session` may return None then.
            if isinstance(error, AttributeError) and error.obj is not None:
                raise
            raise _BrokenError(f"the connection broke: {error}") from error
    raise FetchError(f"the server redirects more than {_REDIRECTS} times")


def _read(response: Any, policy: FetchPolicy, stopped: threading.Event) -> bytes:
    from huggingface_hub.errors import HTTPError

    if not response.is_success:
        said = f"HTTP {response.status_code} {response.reason_phrase}"
        if response.status_code not in RETRYABLE:
            raise FetchError(said)
        asked = response.headers.get("Retry-After", "")
        wait = float(asked) if asked.isdecimal() else 0.0
        if wait > _LONGEST_WAIT:
            raise FetchError(f"{said}: the server asks to wait {wait:,.0f} seconds; run the same command then")
        raise _BrokenError(said, wait)
    body = bytearray()
    try:
        for block in response.iter_raw(_BLOCK):
            if stopped.is_set():
                raise StoppedError("stopped")
            body += block
            if len(body) > policy.max_bytes:
                raise FetchError(f"the server sends more than {policy.max_bytes:,} bytes")
    except (HTTPError, RuntimeError) as error:
        raise _BrokenError(f"the connection broke: {str(error) or type(error).__name__}") from error
    return bytes(body)
