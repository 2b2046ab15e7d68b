"""Bodies of requests: limited in bytes, in time, and in the values of their JSON."""

from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import anyio
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from pecl.files import parse_json
from pecl.options import quoted
from pecl.serving.refusals import LEFT, Refusal, bad

_NO_VALUE = bytes(set(range(256)) - set(b",:[{"))  # bytes that no value follows


class JsonRequest(Request):
    """A request whose body is JSON, read within the limits of the server."""

    async def body(self) -> bytes:
        """Return the body; one that is too long is read to its end, so that its sender reads the answer.

        Only `application/json` is taken: a page of another site cannot send that without asking the server first.

        Raises:
            Refusal: 415 for another type, 413 for too long a body, 408 for one that does not come.
        """
        if not hasattr(self, "_body"):
            kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise Refusal(415, f"content-type: expected application/json, got {quoted(kind)}")
            limits = self.app.state.service.limits
            body, length = bytearray(), 0
            async for part in Body(self, limits.patience).parts():
                length += len(part)
                body += part if length <= limits.body_bytes else b""
            if length > limits.body_bytes:
                raise Refusal(413, f"body: expected at most {limits.body_bytes:,} bytes, got {length:,}")
            self._body = bytes(body)
        return self._body

    async def json(self) -> Any:
        """Return the document, parsed in a thread; raise Refusal with status 400 if it is none."""
        service, body = self.app.state.service, await self.body()
        try:
            return await service.with_json(lambda: parse(body, service.limits.values))
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


class Body:
    """A request's body in parts, all of which may take `seconds`, or each."""

    def __init__(self, request: Request, seconds: float, each: bool = False) -> None:
        self._request, self._seconds, self._each = request, seconds, each
        self._is_whole = False

    async def parts(self) -> AsyncIterator[bytes]:
        """Yield the parts that have not been yielded yet.

        Raises:
            Refusal: 408, they take longer; 499, the client left.
        """
        end = anyio.current_time() + self._seconds
        while not self._is_whole:
            try:
                with anyio.fail_after(self._seconds if self._each else end - anyio.current_time()):
                    message = await self._request.receive()
            except TimeoutError as error:
                sentence = f"body: expected it within {self._seconds:g} seconds, got a part"
                raise Refusal(408, sentence, headers={"connection": "close"}) from error
            if message["type"] == "http.disconnect":
                raise Refusal(LEFT, "the client left")
            self._is_whole = not message.get("more_body", False)
            yield message.get("body", b"")

    async def drain(self, most: int) -> None:
        """Read the rest, or `most` bytes of it, so that its sender reads the answer to a part."""
        length = 0
        async for part in self.parts():
            length += len(part)
            if length > most:
                return


def parse(body: bytes, most: int) -> Any:
    """Parse the JSON of a body; its values are counted first, since millions of empty lists take many seconds."""
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")  # each `"` that is left begins or ends a text
    number = plain.count(b'"') // 2
    if number <= most:  # each text is one value, so that there are not too many to take apart
        number = len(b"".join(plain.split(b'"')[::2]).translate(None, _NO_VALUE)) + 1
    if number > most:
        raise ValueError(f"it holds more than {most:,} values")
    return parse_json(body)
