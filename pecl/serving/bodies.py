"""Bodies of requests: limited in bytes, JSON that is parsed in a thread, and pictures, only as data URIs."""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Coroutine
from typing import Any

import torch
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from pecl.encoders.image import ImageEncoder
from pecl.files import images, parse_json
from pecl.options import quoted
from pecl.serving.limits import Limits
from pecl.serving.refusals import Refusal, bad

_URI = re.compile(r"data:image/[\w.+-]+;base64,(?P<content>[A-Za-z0-9+/=]*)", re.ASCII)
_WANTED = "a picture as data:image/jpeg;base64,... (JPEG, PNG, WebP or GIF)"


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


def read_data_uri(value: str, name: str, limits: Limits) -> bytes:
    """Return the bytes of the picture that a data URI, the field `name` of a request, holds.

    Raises:
        Refusal: it is not a data URI of a picture, such as an address or a path; or it is too large.
    """
    found = _URI.fullmatch(value)
    if found is None:
        raise bad(f"{name}: expected {_WANTED}, got {quoted(value[:40])}; no address or path is ever opened", name)
    if len(found["content"]) > 4 * (limits.picture_bytes // 3 + 1):
        raise bad(f"{name}: expected a picture of at most {limits.picture_bytes:,} bytes, got more", name)
    try:
        return base64.b64decode(found["content"], validate=True)
    except binascii.Error as error:
        raise bad(f"{name}: expected base64, got other characters or a part of it", name) from error


def decode_picture(content: bytes, name: str, limits: Limits, tower: ImageEncoder) -> torch.Tensor:
    """Return a picture's pixels as `tower` takes them: (3, H, W).

    The picture's size is read from its head before any pixel is decoded.

    Raises:
        Refusal: it is not a JPEG, PNG, WebP or GIF, is damaged, or has too many pixels.
    """
    try:
        formats = ("JPEG", "PNG", "WEBP", "GIF")
        return tower.preprocess(images.decode_picture(content, formats, limits.picture_pixels))
    except images.TooManyPixelsError as error:
        raise bad(f"{name}: {error}", name) from error
    except Exception as error:  # besides OSError, Pillow raises whatever its readers stumble over
        raise bad(f"{name}: cannot read the picture ({type(error).__name__}); expected {_WANTED}", name) from error
