"""Fetch one file over HTTP so that it is whole or absent: resumed, retried politely, checked, renamed at the end.

urllib of the standard library is used: it needs nothing installed and heeds HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
"""

from __future__ import annotations

import email.utils
import http.client
import logging
import random
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pecl.data.fetching.part_file import PartFile
from pecl.errors import DataError

logger = logging.getLogger(__name__)

USER_AGENT = "pecl (Python; research data sets)"
RETRYABLE = frozenset({408, 425, 429, 500, 502, 503, 504})
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
BLOCK = 1 << 16  # bytes read at a time
_NUMBER = r"[0-9]{1,18}"
_CONTENT_RANGE = re.compile(rf"bytes ({_NUMBER})-{_NUMBER}/({_NUMBER}|\*)")


class FetchError(DataError):
    """A file could not be fetched."""


class UnreachableError(FetchError):
    """Its server could not be reached at all, so that others of the same server need not be tried."""


class _TooMuchError(FetchError):
    """A server sends more than any file holds."""


class StoppedError(FetchError):
    """The download was stopped before this file was whole."""


class _Retry(Exception):
    """An attempt failed in a way that may pass.

    Attributes:
        wait: seconds that the server asks to wait before the next attempt, if it does.
        unreachable: no connection was made.
    """

    def __init__(self, reason: str, wait: float | None = None, unreachable: bool = False) -> None:
        super().__init__(reason)
        self.wait = wait
        self.unreachable = unreachable


@dataclass(frozen=True)
class FetchPolicy:
    """How patient a fetcher is.

    Attributes:
        timeout: seconds for which a server may stay silent.
        attempts: attempts at one file, the first included.
        backoff: seconds before the second attempt; doubled before each further one.
        max_wait: longest wait before an attempt, in seconds; a server that asks for a longer one is given up.
        max_bytes: size of the largest file that is taken, whatever the server says of it.
        min_rate: bytes a second that have to come, on average over each `timeout`.
    """

    timeout: float = 30.0
    attempts: int = 5
    backoff: float = 1.0
    max_wait: float = 300.0
    max_bytes: int = 1 << 26  # many times the largest that is published
    min_rate: float = 1024.0


def check_address(url: str) -> None:
    """Raise FetchError unless `url` is https, or http to this very machine, where nobody is in between."""
    parts = urlsplit(url)
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOOPBACK)):
        raise FetchError(f"expected an address https://..., got {url}")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where a fetch could have begun."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Return the request of the new address."""
        check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class Fetcher:
    """Fetches files, from several threads if need be.

    An unfinished file lies beside its target as a `PartFile`, and the next attempt, or the next run, goes on from it.
    """

    def __init__(self, policy: FetchPolicy | None = None) -> None:
        self.policy = policy or FetchPolicy()
        self._opener = urllib.request.build_opener(_SafeRedirects)
        self._stopped = threading.Event()
        self._not_before: dict[str, float] = {}  # host -> time.monotonic() before which it asked to be left alone

    def stop(self) -> None:
        """Let every running `fetch` end soon with StoppedError; what it has stays as a `.part` file."""
        self._stopped.set()

    @property
    def stopped(self) -> bool:
        """Whether `stop` was called."""
        return self._stopped.is_set()

    def fetch(self, url: str, target: Path, check: Callable[[Path], None]) -> None:
        """Fetch `url` to `target`, which is replaced only by a file that is complete and that passed `check`.

        Args:
            url: https address; http only to this machine.
            target: path of the file; its folder must exist.
            check: raises DataError if the file it is given has the wrong content.

        Raises:
            FetchError: the address is not https, the server refuses, or all attempts failed.
            UnreachableError, StoppedError: as they say.
            OutputError: the file cannot be written.
        """
        check_address(url)
        part = PartFile(target)
        for attempt in range(1, self.policy.attempts + 1):
            self._wait_for_turn(url)
            try:
                self._attempt(url, part)
                self._accept(part, check)
                return
            except _Retry as problem:
                self._back_off(url, attempt, problem)

    def _attempt(self, url: str, part: PartFile) -> None:
        """Continue or begin `part`, and see that it is as long as the server says."""
        offset, validator = part.resume_point()
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity"}
        if offset:
            headers |= {"Range": f"bytes={offset}-", "If-Range": validator}
        with self._open(urllib.request.Request(url, headers=headers), part) as response:
            start, total = _extent(response)
            if start == 0:  # asked for, or the server has another version by now, or it knows no ranges
                part.begin(_validator(response))
            elif start != offset:
                part.discard()
                raise _Retry(f"the server sent bytes from {start}, not from {offset}")
            if total is not None and total > self.policy.max_bytes:
                part.discard()
                raise FetchError(f"the server announces {total:,} bytes, expected at most {self.policy.max_bytes:,}")
            try:
                size = part.append(self._blocks(response, self.policy.max_bytes - start))
            except _TooMuchError:
                part.discard()
                raise
        if total is not None and size != total:
            raise _Retry(f"the connection ended after {size} of {total} bytes")

    def _open(self, request: urllib.request.Request, part: PartFile) -> http.client.HTTPResponse:
        try:
            return self._opener.open(request, timeout=self.policy.timeout)
        except urllib.error.HTTPError as error:
            error.close()
            reason = f"HTTP {error.code} {error.reason}"
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                part.discard()
            elif error.code not in RETRYABLE:
                raise FetchError(reason) from error
            raise _Retry(reason, wait=_retry_after(error.headers.get("Retry-After"))) from error
        except urllib.error.URLError as error:  # no address for the name, connection refused, no route, ...
            raise _Retry(f"no connection: {error.reason}", unreachable=True) from error
        except (OSError, http.client.HTTPException) as error:
            raise _Retry(_network_reason(error)) from error

    def _blocks(self, response: http.client.HTTPResponse, limit: int) -> Iterator[bytes]:
        """Yield the response's body of at most `limit` bytes, unless it comes too slowly to be ever whole."""
        block = b"..."
        since, recent = time.monotonic(), 0
        while block:
            if self._stopped.is_set():
                raise StoppedError("stopped")
            try:
                block = response.read1(BLOCK)  # what has come so far: a stall loses nothing of it
            except (OSError, http.client.HTTPException) as error:
                raise _Retry(_network_reason(error)) from error
            limit -= len(block)
            if limit < 0:
                raise _TooMuchError(f"the server sends more than {self.policy.max_bytes:,} bytes")
            yield block
            recent += len(block)
            if (seconds := time.monotonic() - since) > self.policy.timeout:
                if recent < self.policy.min_rate * seconds:
                    raise _Retry(f"the server sends less than {self.policy.min_rate:,.0f} bytes a second")
                since, recent = time.monotonic(), 0

    @staticmethod
    def _accept(part: PartFile, check: Callable[[Path], None]) -> None:
        try:
            check(part.path)
        except DataError as error:
            part.discard()  # wrong bytes do not become right ones by adding to them
            raise _Retry(f"wrong content: {error}") from error
        part.finish()

    def _wait_for_turn(self, url: str) -> None:
        host = urlsplit(url).netloc
        while (wait := self._not_before.get(host, 0.0) - time.monotonic()) > 0:  # may grow while one waits
            if self._stopped.wait(wait):
                break
        if self._stopped.is_set():
            raise StoppedError("stopped")

    def _back_off(self, url: str, attempt: int, problem: _Retry) -> None:
        """Wait before the next attempt: as long as the server asks, else twice as long each time, with jitter."""
        if attempt == self.policy.attempts:
            kind = UnreachableError if problem.unreachable else FetchError
            raise kind(f"{problem} ({attempt} attempts)") from problem
        if problem.wait is not None:
            self._pause_host(url, problem.wait, problem)
            return
        delay = min(self.policy.backoff * 2 ** (attempt - 1), self.policy.max_wait) * random.uniform(0.5, 1.0)
        logger.info("%s: %s; trying again in %.1f s", url, problem, delay)
        if self._stopped.wait(delay):
            raise StoppedError("stopped")

    def _pause_host(self, url: str, wait: float, problem: _Retry) -> None:
        """Let no thread ask the server again before the time that it named."""
        if wait > self.policy.max_wait:
            raise FetchError(f"{problem}, and the server asks to wait for {wait:.0f} s: try again later")
        host = urlsplit(url).netloc
        logger.info("%s: %s; leaving %s alone for %.0f s", url, problem, host, wait)
        self._not_before[host] = max(self._not_before.get(host, 0.0), time.monotonic() + wait)


def _validator(response: http.client.HTTPResponse) -> str | None:
    """Return the response's strong ETag, else its date, else None: what If-Range takes."""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified")


def _extent(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Return the position of the body's first byte and the size of the whole file, None if the server does not say."""
    if response.status != http.client.PARTIAL_CONTENT:
        length = response.headers.get("Content-Length")
        return 0, int(length) if length is not None and re.fullmatch(_NUMBER, length) else None
    header = response.headers.get("Content-Range", "")
    match = _CONTENT_RANGE.fullmatch(header.strip())
    if match is None:
        raise _Retry(f"the server sent an unreadable Content-Range {header!r}")
    start, total = match.groups()
    return int(start), None if total == "*" else int(total)


def _retry_after(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for, as a number or a date; None if it does not."""
    if header is None:
        return None
    if re.fullmatch(_NUMBER, header.strip()):
        return float(header)
    try:
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except (ValueError, TypeError, ArithmeticError):  # the last two: no date at all, or one beyond the calendar
        return None


def _network_reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the server stopped answering"
    return f"the connection broke: {str(error) or type(error).__name__}"
