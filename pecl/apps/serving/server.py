"""`make_app` builds the application; `serve` runs it, and finishes open requests before it stops.

Programs send the key as `Authorization: Bearer KEY`, as clients of OpenAI's API do. A browser asks
its user for a name and a password, and sends the key as the password (`Basic`), also with the
addresses of images.
"""

import asyncio
import base64
import binascii
import contextlib
import hmac
import logging
import resource
import signal
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import uvicorn
from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from prometheus_client import generate_latest
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pecl.apps.serving import immich, limits, openai, search
from pecl.apps.serving.refusals import LEFT, Refusal, answer_error
from pecl.apps.serving.requests import ErrorAnswer
from pecl.apps.serving.service import Served, Service
from pecl.apps.serving.sockets import BACKLOG, allowed_hosts
from pecl.errors import RunError
from pecl.options import quoted

logger = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "static"
_FILES = 10_240  # macOS refuses more, and names infinity as its limit
_LINGER = 0.3  # seconds that a stopping server still accepts requests
_CHALLENGES = ('Bearer realm="pecl"', 'Basic realm="pecl", charset="UTF-8"')
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # no page of another site shows a photograph of this one
    "cross-origin-resource-policy": "same-origin",
    # Scripts, styles and pictures come only from this server, and no other page may show this one
    # within itself.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}

router = APIRouter()


@router.get("/health")
async def health(service: Served) -> JSONResponse:
    """Answer 200 while requests are taken, 503 once the server is stopping."""
    document = {"status": "stopping" if service.stopping else "ok", "adapters": len(service.models.adapters)}
    return JSONResponse(document, 503 if service.stopping else 200)


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(service: Served) -> Response:
    """Return counters in Prometheus' text form."""
    return Response(generate_latest(service.metrics.registry), media_type="text/plain; version=0.0.4")


@router.get("/", include_in_schema=False)
async def page() -> FileResponse:
    """Show the search page."""
    return FileResponse(_STATIC / "page.html")


def make_app(
    service: Service,
    hosts: Sequence[str] | None = None,
    key: bytes | None = None,
    access_log: bool = False,
) -> FastAPI:
    """Return the application.

    Args:
        service: models, index, limits and metrics.
        hosts: accepted names of the host, so that a page of another site cannot reach a server on
            this machine under a name of its own (DNS rebinding); None for any.
        key: the key that requests must send; None for no key.
        access_log: log a line per request, without its query.
    """
    app = FastAPI(
        title="pecl",
        version=version("pecl"),
        docs_url=None,  # its pages load scripts from other servers
        redoc_url=None,
        middleware=[Middleware(Frame, service=service, hosts=hosts, key=key, access_log=access_log)],
        lifespan=lambda _: service.running(),
        exception_handlers={HTTPException: answer_error, RequestValidationError: answer_error},
        responses={"4XX": {"model": ErrorAnswer, "description": "what was wrong, in a sentence"}},
    )
    app.state.service = service
    for routes in (openai.router, search.router, router):
        app.include_router(routes)

    if service.immich is not None:
        app.include_router(immich.router)

    app.mount("/static", StaticFiles(directory=_STATIC))
    return app


@dataclass
class Frame:
    """Middleware for every request: host name, key, form of errors, metrics, and headers.

    `app` answers the requests; the other arguments are those of `make_app`.
    """

    app: ASGIApp
    service: Service
    hosts: Sequence[str] | None
    key: bytes | None
    access_log: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        method = scope["method"]
        if method == "HEAD":  # uvicorn leaves the body out
            scope = {**scope, "method": "GET"}

        counters = self.service.metrics
        status = LEFT
        start = time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._add_headers(MutableHeaders(scope=message), status)
            await send(message)

        with counters.open_requests.track_inprogress():
            try:
                self._check(scope)
                await self.app(scope, receive, send_on)
            except (Exception, asyncio.CancelledError) as error:
                if status != LEFT:  # a part of the answer has been sent
                    raise
                if isinstance(error, asyncio.CancelledError):  # by uvicorn, when the patience of a stop is over
                    error = Refusal(503, "the server stopped before it could answer; try again")
                answer = await answer_error(Request(scope), error)
                await answer(scope, receive, send_on)

        endpoint = getattr(scope.get("endpoint"), "__name__", "other")
        counters.requests.labels(endpoint, status).inc()
        seconds = time.perf_counter() - start
        counters.request_seconds.labels(endpoint).observe(seconds)

        if self.access_log:  # without the query, which may hold a search text
            # as sent: without control characters
            path = scope["raw_path"].decode("ascii", "backslashreplace")[:200]
            client = scope["client"][0] if scope["client"] else "-"
            timestamp = time.strftime("%Y-%m-%dT%H:%M:%S%z")
            logger.info("%s %s %s %s %d %.3f s", timestamp, client, method, path, status, seconds)

    def _add_headers(self, headers: MutableHeaders, status: int) -> None:
        headers.update(_HEADERS)
        headers.setdefault("cache-control", "no-cache")
        if status == 401:
            for challenge in _CHALLENGES:  # a line each, since browsers read only one per line
                headers.append("www-authenticate", challenge)
        if self.service.stopping:
            headers["connection"] = "close"

    def _check(self, scope: Scope) -> None:
        """Raise Refusal for a wrong host name or key; keys are compared in constant time."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        name, _, port = host.rpartition(":")
        name = name if port.isdecimal() and name else host
        if self.hosts is not None and name.lower() not in self.hosts:
            raise Refusal(421, f"host: expected one of {', '.join(self.hosts)}, got {quoted(host)}")
        # monitors need no key, and only learn that the server runs
        if self.key is None or scope["path"] == "/health":
            return

        authorization = headers.get("authorization", "")
        if not hmac.compare_digest(_presented(authorization), self.key):
            actual = "another one" if authorization else "none"
            sentence = f"authorization: expected the key of this server as Bearer KEY, got {actual}"
            raise Refusal(401, sentence, code="invalid_api_key")


def _presented(value: str) -> bytes:
    """Return the key in the header `Authorization`, or b""."""
    scheme, _, credentials = value.strip().partition(" ")
    content = credentials.strip().encode("latin-1")
    if scheme.lower() == "bearer":
        return content

    if scheme.lower() == "basic":
        with contextlib.suppress(binascii.Error):
            return base64.b64decode(content, validate=True).partition(b":")[2]

    return b""


class Server(uvicorn.Server):
    """A server that accepts requests for a moment after a stop signal, and answers all of them before it closes.

    uvicorn alone closes its socket at once, and drops connections that wait in the system's backlog.
    """

    def __init__(self, app: FastAPI) -> None:
        self.service: Service = app.state.service

        config = uvicorn.Config(
            app,
            ws="none",
            loop="asyncio",
            log_level="warning",
            access_log=False,
            lifespan="on",
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=30,  # seconds between two requests of a connection
            timeout_graceful_shutdown=limits.PATIENCE,
        )
        super().__init__(config)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: see the class."""
        self.service.stopping = True
        await asyncio.sleep(0 if self.force_exit else _LINGER)
        await super().shutdown(sockets)


def serve(
    service: Service,
    listening: socket.socket,
    host: str,
    key: bytes | None = None,
    access_log: bool = False,
) -> None:
    """Answer requests until SIGTERM or SIGINT, finish the open ones, and return.

    See `allowed_hosts` for `host`, and `make_app` for `key` and `access_log`.

    Raises:
        RunError: the application could not start.
    """
    # often 1,024 files: fewer than connections
    soft_limit, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft_limit, min(hard_limit, _FILES)), hard_limit))
    server = Server(make_app(service, allowed_hosts(listening, host), key, access_log))
    # uvicorn raises the signal again when it has stopped; there is nothing left to do then.
    signals = (signal.SIGTERM, signal.SIGINT)
    handlers = {number: signal.signal(number, lambda *_: None) for number in signals}

    try:
        server.run([listening])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)

    if not server.started:
        raise RunError("the server could not start; see its log")
