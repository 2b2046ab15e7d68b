"""Fetch one file over HTTPS into memory, with retries after broken connections.

A file is fetched whole each time: published files are small, and their SHA-256 is known. The standard library needs no
client that threads share, and takes a proxy from the environment.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request, build_opener

from pecl.errors import DataError

logger = logging.getLogger(__name__)

USER_AGENT = "pecl (Python; research data sets)"
RETRYABLE = (408, 425, 429, 500, 502, 503, 504)
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
_LONGEST_WAIT = 60.0  # seconds that a server may ask for in `Retry-After`


class FetchError(DataError):
    """A file could not be fetched."""


class UnreachableError(FetchError):
    """Its server could not be reached at all, so that others of the same server need not be tried."""


class StoppedError(FetchError):
    """The download was stopped before this file was whole."""


@dataclass(frozen=True)
class FetchPolicy:
    """Time-outs and retries of a fetch."""

    timeout: float = 30.0  # seconds for which a server may stay silent
    attempts: int = 5  # the first included
    backoff: float = 1.0  # seconds before the second attempt; doubled before each further one, up to 8


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

    `check` raises DataError for wrong content; no attempt begins once `stopped` is set. Raise FetchError if the address
    is not https, the server refuses, or all attempts failed.
    """
    check_address(url)
    asked, wait = Request(url, headers={"User-Agent": USER_AGENT}), 0.0
    for attempt in range(1, policy.attempts + 1):
        if stopped.wait(wait):
            raise StoppedError("stopped")
        wait, kind = min(policy.backoff * 2 ** (attempt - 1), 8.0), FetchError
        try:
            with build_opener().open(asked, timeout=policy.timeout) as response:
                content = response.read()
            check(content)
            return content
        except HTTPError as error:
            reason, asked_wait = f"HTTP {error.code} {error.reason}", error.headers.get("Retry-After", "")
            if error.code not in RETRYABLE:
                raise FetchError(reason) from error
            wait = max(wait, float(asked_wait) if asked_wait.isdecimal() else 0.0)
            if wait > _LONGEST_WAIT:
                said = f"the server asks to wait {wait:,.0f} seconds; run the same command then"
                raise FetchError(f"{reason}: {said}") from error
        except URLError as error:
            reason, kind = f"no connection: {error.reason}", UnreachableError
        except (OSError, HTTPException) as error:
            reason = f"the connection broke: {error}"
        except DataError as error:
            reason = f"wrong content: {error}"
        logger.info("%s: %s (attempt %d)", url, reason, attempt)
    raise kind(f"{reason} ({policy.attempts} attempts)")
