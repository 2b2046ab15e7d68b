"""`Immich`: immich's own machine learning service, to which this server forwards requests."""

import asyncio
import logging
import re

import httpx
from starlette.requests import Request
from starlette.responses import Response

from pecl.apps.serving.refusals import LEFT, Refusal
from pecl.errors import ConfigError, one_line
from pecl.options import quoted

logger = logging.getLogger(__name__)

# headers of requests; see docs/immich.md
PASSED_ON = ("content-type", "content-encoding", "accept", "accept-encoding")
PASSED_BACK = ("content-type", "content-encoding", "retry-after")  # headers of answers
_CONNECT = 5.0  # seconds for a connection to immich's service
_PING = 1.5  # seconds for its `pong`: immich itself waits for two


class Immich:
    """A client of immich's own machine learning service.

    Args:
        upstream: its address; a name and password in it are sent as `Authorization: Basic`, and shown nowhere.
        model: immich's name of the model whose text tower is served.
        patience: seconds to wait for the service's next bytes; at its first request it downloads models.

    Raises:
        ConfigError: the address is not an HTTP address.
    """

    def __init__(self, upstream: str, model: str, patience: float = 300.0) -> None:
        without_password = quoted(re.sub(r"//[^/]*@", "//", upstream))
        expected = "an address such as http://immich-machine-learning:3003"
        message = f"immich_upstream: expected {expected}, got {without_password}"
        try:
            address = httpx.URL(upstream)
        except httpx.InvalidURL as error:
            raise ConfigError(message) from error

        if address.scheme not in ("http", "https") or not address.host or address.query:
            raise ConfigError(message)

        self.upstream = str(address.copy_with(userinfo=b"")).rstrip("/")
        self.model = model
        self.open = 0  # requests that are being forwarded
        self._auth = None
        if address.userinfo:
            self._auth = httpx.BasicAuth(address.username, address.password)

        self.client = httpx.AsyncClient(
            auth=self._auth,
            timeout=httpx.Timeout(patience, connect=_CONNECT),
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=32),
            trust_env=False,
        )

    def check(self) -> None:
        """Ask the service for its `pong`; log a warning if nobody answers, since containers start in any order.

        Raises:
            ConfigError: something else answers there.
        """
        try:
            answer = httpx.get(f"{self.upstream}/ping", auth=self._auth, timeout=_CONNECT, trust_env=False)
        except httpx.HTTPError as error:
            logger.warning("immich's service at %s does not answer yet (%s)", self.upstream, _reason(error))
            return

        if answer.text.strip() != "pong":
            raise ConfigError(
                f"expected immich's machine learning service at {self.upstream}, which answers /ping "
                f"with pong, got status {answer.status_code} and {quoted(answer.text[:40])}",
                field="immich_upstream",
            )

    async def pong(self) -> None:
        """Ask the service for its `pong`; raise Refusal without it."""
        try:
            answer = await self.client.get(f"{self.upstream}/ping", timeout=_PING)
        except httpx.HTTPError as error:
            raise self._refusal(error) from error
        if not answer.is_success:
            raise Refusal(502, f"immich's service at {self.upstream} answered /ping with status {answer.status_code}")

    async def forward(self, request: Request, body: bytes, limit: int) -> Response:
        """Forward a request, whose body was read before, and return the answer.

        The forwarded request is cancelled when the client disconnects.

        Raises:
            Refusal: 429, `limit` requests are being forwarded already; 499, the client left; 502 or
                504, the service cannot be reached, breaks off, gives no HTTP answer, or is too slow.
        """
        if self.open >= limit:
            sentence = f"immich's service is busy with {limit:,} requests; try again"
            raise Refusal(429, sentence, code="too_many_requests", headers={"retry-after": "1"})

        self.open += 1
        tasks = [asyncio.create_task(self._exchange(request, body)), asyncio.create_task(_leaving(request))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            # an answer takes precedence over a disconnect
            done = next(task for task in tasks if task.done())
            return done.result()
        finally:
            self.open -= 1
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _exchange(self, request: Request, body: bytes) -> Response:
        headers = {name: request.headers[name] for name in PASSED_ON if name in request.headers}
        headers.setdefault("accept-encoding", "identity")  # the answer goes back as it is
        address = self.upstream + request.url.path

        try:
            async with self.client.stream(request.method, address, headers=headers, content=body) as answer:
                content = b"".join([part async for part in answer.aiter_raw()])
        except httpx.HTTPError as error:
            raise self._refusal(error) from error

        if not 200 <= answer.status_code < 600:
            raise Refusal(502, f"immich's service at {self.upstream} answered with status {answer.status_code}")

        passed_headers = {name: answer.headers[name] for name in PASSED_BACK if name in answer.headers}
        return Response(content, answer.status_code, passed_headers)

    def _refusal(self, error: httpx.HTTPError) -> Refusal:
        status = 502
        problem = "cannot be reached, or broke off"
        if isinstance(error, httpx.TimeoutException):
            status = 504
            problem = "does not answer in time"

        return Refusal(status, f"immich's service at {self.upstream} {problem} ({_reason(error)})")


async def _leaving(request: Request) -> Response:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise Refusal(LEFT, "the client left")


def _reason(error: Exception) -> str:
    return one_line(error) or type(error).__name__
