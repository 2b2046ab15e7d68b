"""`Immich`: immich's own machine learning service, behind this server."""

import logging
from collections.abc import AsyncIterator

import httpx
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from pecl.errors import ConfigError, one_line
from pecl.options import quoted
from pecl.serving.refusals import Refusal

logger = logging.getLogger(__name__)

_CONNECT = 5.0  # seconds for a connection to immich's service
_PING = 1.5  # seconds for its `pong`: immich itself waits for two
_OF_A_CONNECTION = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade", b"host")
)


class Immich:
    """A client of immich's own machine learning service.

    Args:
        upstream: its address.
        model: immich's name of the model whose text tower is served.
        patience: seconds that the service may take for its next bytes; the first time it fetches models.
    """

    def __init__(self, upstream: str, model: str, patience: float = 300.0) -> None:
        wanted = f"expected an address such as http://immich-machine-learning:3003, got {quoted(upstream)}"
        try:
            address = httpx.URL(upstream)
        except httpx.InvalidURL as error:
            raise ConfigError(f"immich_upstream: {wanted} ({error})") from error
        if address.scheme not in ("http", "https") or not address.host or address.query:
            raise ConfigError(f"immich_upstream: {wanted}")
        self.upstream = str(address).rstrip("/")
        self.model = model
        self.timeout = httpx.Timeout(patience, connect=_CONNECT)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=32)
        self.client = httpx.AsyncClient(limits=limits, trust_env=False)

    async def close(self) -> None:
        """Close the connections."""
        await self.client.aclose()

    def check(self) -> None:
        """Ask the service for its `pong`; log a warning if nobody answers, since containers start in any order.

        Raises:
            ConfigError: something else answers there.
        """
        try:
            answer = httpx.get(f"{self.upstream}/ping", timeout=_CONNECT, trust_env=False)
        except httpx.HTTPError as error:
            logger.warning("immich's service at %s does not answer yet (%s)", self.upstream, _reason(error))
            return
        if answer.text.strip() != "pong":
            raise ConfigError(
                f"immich_upstream: expected immich's machine learning service at {self.upstream}, which answers /ping "
                f"with pong, got status {answer.status_code} and {quoted(answer.text[:40])}"
            )

    async def send(self, request: Request, body: AsyncIterator[bytes]) -> Response:
        """Send a request to the service and return its answer, both in parts as they come.

        Raises:
            Refusal: 502 or 504, the service cannot be reached, breaks off or is too slow.
        """
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _OF_A_CONNECTION]
        sent = httpx.Request(
            request.method,
            f"{self.upstream}{request.url.path}",
            headers=headers,
            content=body,
            extensions={"timeout": self.timeout.as_dict()},
        )
        try:
            answer = await self.client.send(sent, stream=True)
        except httpx.HTTPError as error:
            raise self._refusal(error) from error
        response = StreamingResponse(_parts(answer), answer.status_code)
        response.raw_headers = [
            (name.lower(), value) for name, value in answer.headers.raw if name.lower() not in _OF_A_CONNECTION
        ]
        return response

    async def pong(self) -> None:
        """Ask the service for its `pong`; raise Refusal without it."""
        try:
            answer = await self.client.get(f"{self.upstream}/ping", timeout=_PING)
            answer.raise_for_status()
        except httpx.HTTPError as error:
            raise self._refusal(error) from error

    def _refusal(self, error: httpx.HTTPError) -> Refusal:
        is_slow = isinstance(error, httpx.TimeoutException)
        what = "does not answer in time" if is_slow else "cannot be reached, or broke off"
        return Refusal(504 if is_slow else 502, f"immich's service at {self.upstream} {what} ({_reason(error)})")


def _reason(error: Exception) -> str:
    return one_line(error) or type(error).__name__


async def _parts(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for part in answer.aiter_raw():
            yield part
    finally:
        await answer.aclose()
