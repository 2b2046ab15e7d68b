"""Bodies of requests: limited in bytes, and JSON that is parsed in a thread."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from pecl.files import parse_json
from pecl.options import quoted
from pecl.serving.refusals import Refusal, bad


async def read_body(request: Request, most: int) -> bytes:
    """Return the body; raise Refusal with status 413 if it is longer than `most` bytes (uvicorn drops the rest)."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > most:
            raise Refusal(413, f"body: expected at most {most:,} bytes, got more")
    return bytes(body)


class JsonRequest(Request):
    """A request whose body is JSON."""

    async def body(self) -> bytes:
        """Return the body.

        Only `application/json` is taken: a page of another site cannot send that without asking the server first.

        Raises:
            Refusal: 415 for another type, 413 for too long a body.
        """
        if not hasattr(self, "_body"):
            kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise Refusal(415, f"content-type: expected application/json, got {quoted(kind)}")
            self._body = await read_body(self, self.app.state.service.limits.body_bytes)
        return self._body

    async def json(self) -> Any:
        """Return the document; raise Refusal with status 400 if it is none."""
        try:
            return await asyncio.to_thread(parse_json, await self.body())
        except ValueError as error:  # and with it UnicodeDecodeError
            raise bad(f"body: expected JSON: {error}") from error


class JsonRoute(APIRoute):
    """A route of FastAPI whose requests are `JsonRequest`s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, given such requests."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json
