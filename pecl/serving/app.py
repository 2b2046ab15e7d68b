"""`make_app`: the application, its addresses, and the rules for all of them."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pecl.options import quoted
from pecl.serving.adapters import list_models, load_adapter, show_model, unload_adapter
from pecl.serving.embeddings import embeddings
from pecl.serving.immich import ping, predict
from pecl.serving.keys import CHALLENGES, check_key
from pecl.serving.refusals import Refusal, answer_error
from pecl.serving.search import photograph, search, search_by_address, thumbnail
from pecl.serving.service import Service

logger = logging.getLogger(__name__)

_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",  # no page of another site shows a photograph of this one
}
# Scripts, styles and pictures come only from this server, and no other page may show this one within itself.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {  # address -> file of the package, and its type
    "/": ("page.html", "text/html"),
    "/static/page.css": ("page.css", "text/css"),
    "/static/page.js": ("page.js", "text/javascript"),
    "/static/results.js": ("results.js", "text/javascript"),
    "/openapi.json": ("openapi.json", "application/json"),
}
_GONE = 499  # status in logs of web servers for a client that did not wait


def make_app(
    service: Service, hosts: Sequence[str] | None = None, key: bytes | None = None, access_log: bool = False
) -> Starlette:
    """Return the application.

    Args:
        service: its work.
        hosts: the names under which it answers, so that another site's page cannot reach a server of this machine
            under a name of its own; None for any.
        key: the key that requests must bring; None for a server that asks for none.
        access_log: log a line per request, without its query.
    """
    routes = [
        Route("/v1/embeddings", embeddings, methods=["POST"]),
        Route("/v1/models", list_models),
        Route("/v1/models/{model:path}", show_model),
        Route("/v1/load_adapter", load_adapter, methods=["POST"]),
        Route("/v1/unload_adapter", unload_adapter, methods=["POST"]),
        Route("/search", search_by_address),
        Route("/search", search, methods=["POST"]),
        Route("/thumbnails/{id}", thumbnail),
        Route("/photographs/{id}", photograph),
        *(_file_route(address, *about) for address, about in _FILES.items()),
        *([] if service.immich is None else [Route("/ping", ping), Route("/predict", predict, methods=["POST"])]),
        Route("/health", health),
        Route("/metrics", metrics),
    ]

    frame = Middleware(Frame, service=service, hosts=hosts, key=key, access_log=access_log)
    app = Starlette(
        routes=routes,
        middleware=[frame],
        lifespan=lambda _: service.running(),
        exception_handlers={HTTPException: answer_error},
    )
    app.state.service = service
    return app


def _file_route(address: str, name: str, kind: str) -> Route:
    """Return the route of a file, which is read once: nothing in a request leads to a file."""
    content = (files("pecl.serving") / "static" / name).read_bytes()
    headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}

    async def page(request: Request) -> Response:
        return Response(content, media_type=kind, headers=headers)

    return Route(address, page)


async def health(request: Request) -> JSONResponse:
    """Answer `GET /health`: 200 while requests are taken, 503 once the server is stopping."""
    service: Service = request.app.state.service
    document = {"status": "stopping" if service.stopping else "ok", "adapters": len(service.models.adapters)}
    return JSONResponse(document, 503 if service.stopping else 200)


async def metrics(request: Request) -> Response:
    """Answer `GET /metrics`, in Prometheus' text form."""
    service: Service = request.app.state.service
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")


@dataclass
class Frame:
    """The rules for every request: the name of the host, the key, the form of errors, the count, and the headers.

    Its arguments are those of `make_app`, behind the application that answers.
    """

    app: ASGIApp
    service: Service
    hosts: Sequence[str] | None
    key: bytes | None
    access_log: bool
    open: int = 0  # requests under way

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        metrics = self.service.metrics
        status = _GONE
        start = time.perf_counter()

        async def send_on(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if status == 401:
                    for challenge in CHALLENGES:  # a line each, since browsers read only one per line
                        headers.append("www-authenticate", challenge)
                if self.service.stopping:
                    headers["connection"] = "close"
            await send(message)

        with metrics.open_requests.track_inprogress():
            self.open += 1
            try:
                self._check(scope)
                await self.app(scope, receive, send_on)
            except ClientDisconnect:
                pass  # nobody is left to answer
            except Exception as error:
                if status != _GONE:  # half of an answer is out
                    raise
                answer = await answer_error(Request(scope), error)
                await answer(scope, receive, send_on)
            finally:
                self.open -= 1
        endpoint = getattr(scope.get("endpoint"), "__name__", "other")
        metrics.requests.labels(endpoint, status).inc()
        seconds = time.perf_counter() - start
        metrics.request_seconds.labels(endpoint).observe(seconds)
        if self.access_log:
            self._log(scope, status, seconds)

    def _log(self, scope: Scope, status: int, seconds: float) -> None:
        """Log a request; its query stays out, since it may say what somebody searched for."""
        path = scope["raw_path"].decode("ascii", "backslashreplace")[:200]  # as sent: without control characters
        client = scope["client"][0] if scope["client"] else "-"
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        logger.info("%s %s %s %s %d %.3f s", now, client, scope["method"], path, status, seconds)

    def _check(self, scope: Scope) -> None:
        """Raise Refusal for a wrong name of the host, for too many requests, or without the key."""
        host = Headers(scope=scope).get("host", "")
        name, _, port = host.rpartition(":")
        name = name if port.isdecimal() and name else host
        if self.hosts is not None and name.lower() not in self.hosts:
            raise Refusal(421, f"host: expected one of {', '.join(self.hosts)}, got {quoted(host)}")
        most = self.service.limits.open_requests
        if self.open > most:
            sentence = f"the server is busy: {most:,} requests are under way; try again"
            raise Refusal(429, sentence, code="too_many_requests", headers={"retry-after": "1"})
        if self.key is not None:
            check_key(scope, self.key)
