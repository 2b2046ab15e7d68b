"""Requests: bodies limited in bytes, JSON that is parsed in a thread, pictures only as data URIs, and pydantic models.

FastAPI checks requests by the models, and writes `/openapi.json` from them.
"""

import asyncio
import base64
import binascii
import json
import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Annotated, Any, Literal

import torch
from fastapi.routing import APIRoute
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from starlette.requests import Request
from starlette.responses import Response

from pecl.apps.search.languages import MOST_LANGUAGES
from pecl.apps.serving import limits
from pecl.apps.serving.refusals import Refusal, bad
from pecl.encoders.image import ImageEncoder
from pecl.errors import is_text, suggest
from pecl.files import images, parse_json
from pecl.options import quoted

_URI = re.compile(r"data:image/[\w.+-]+;base64,(?P<content>[A-Za-z0-9+/=]*)", re.ASCII)
_WANTED = f"a picture as data:image/jpeg;base64,... ({', '.join(images.FORMATS)})"


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body; raise Refusal with status 413 if it is longer than `limit` bytes (uvicorn drops the rest)."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > limit:
            raise Refusal(413, f"body: expected at most {limit:,} bytes, got more")
    return bytes(body)


class JsonRequest(Request):
    """A request whose body is JSON."""

    async def body(self) -> bytes:
        """Return the body.

        Only `application/json` is accepted: a page of another site cannot send that without asking
        the server first.

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
        """Return the parsed body; raise Refusal with status 400 if it is not JSON."""
        try:
            return await asyncio.to_thread(_parse, await self.body())
        except ValueError as error:  # and with it UnicodeDecodeError
            raise bad(f"body: expected JSON: {error}") from error


def _parse(body: bytes) -> Any:
    """Return parsed JSON; raise ValueError if it is none, or escapes half a character, which is no text."""
    document = parse_json(body)
    if b"\\ud" in body.lower() and not is_text(json.dumps(document, ensure_ascii=False)):
        raise ValueError("it has a lone surrogate")
    return document


class JsonRoute(APIRoute):
    """A route of FastAPI whose requests are `JsonRequest`s."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, which then gets a `JsonRequest`."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            return await handle(JsonRequest(request.scope, request.receive))

        return handle_json


def read_data_uri(value: str, name: str) -> bytes:
    """Return the bytes of the image in a data URI; `name` is its field in the request.

    Raises:
        Refusal: it is not a data URI of an image, but for example an address or a path; or it is too large.
    """
    match = _URI.fullmatch(value)
    if match is None:
        raise bad(f"{name}: expected {_WANTED}, got {quoted(value[:40])}; no address or path is ever opened", name)
    if len(match["content"]) > 4 * (limits.PICTURE_BYTES // 3 + 1):
        raise bad(f"{name}: expected a picture of at most {limits.PICTURE_BYTES:,} bytes, got more", name)

    try:
        return base64.b64decode(match["content"], validate=True)
    except binascii.Error as error:
        raise bad(f"{name}: expected base64, got other characters or a part of it", name) from error


def decode_picture(content: bytes, name: str, tower: ImageEncoder) -> torch.Tensor:
    """Return the pixels (3, H, W) of an image, preprocessed for `tower`.

    The image's size is read from its header before any pixel is decoded.

    Raises:
        Refusal: it is none of the formats that an index reads, is damaged, or has too many pixels.
    """
    try:
        return tower.preprocess(images.decode_picture(content, most=limits.PICTURE_PIXELS))
    except images.TooManyPixelsError as error:
        raise bad(f"{name}: {error}", name) from error
    except Exception as error:  # Pillow's readers raise errors of many types
        raise bad(f"{name}: cannot read the picture ({type(error).__name__}); expected {_WANTED}", name) from error


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("expected text, got none")
    return text


_MOST_NAMES = 100  # words of a query
_MOST = 1 << 16  # maximum items of a list that are checked
Text = Annotated[str, AfterValidator(_not_blank)]
Name = Annotated[str, Field(max_length=255), AfterValidator(_not_blank)]
LanguageName = Annotated[
    str, Field(max_length=100, description="any name or code of a language"), AfterValidator(_not_blank)
]


class Fields(BaseModel):
    """Fields of a request. A field that is null counts as missing; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _known(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        for name in values:
            if name not in cls.model_fields:
                names = ", ".join(cls.model_fields)
                raise ValueError(f"unknown field {quoted(name)}: expected {names}{suggest(name, cls.model_fields)}")
        return {name: value for name, value in values.items() if value is not None}


class Input(Fields):
    """A text with its language, or an image."""

    text: Text | None = None
    language: LanguageName | None = None
    image: str | None = Field(None, description=_WANTED)


def _as_input(value: Any) -> Any:
    """Return a text or a data URI as an object; raise ValueError for any other input."""
    if isinstance(value, str):
        return {"image" if value[:11].lower() == "data:image/" else "text": value}
    if not isinstance(value, dict) or (value.get("text") is None) == (value.get("image") is None):
        raise ValueError(
            'expected a text, an image as a data URI, {"text": ..., "language": ...} or {"image": ...}; no token ids, '
            "since every tower has its own"
        )

    return value


class EmbeddingsRequest(Fields):
    """Texts and images to embed."""

    model: Annotated[Name, Field(description="the base encoder (mini), or an adapter (mini:cs), see /v1/models")]
    input: Annotated[
        list[Annotated[Input, BeforeValidator(_as_input, json_schema_input_type=str | Input)]],
        Field(min_length=1, max_length=_MOST),
        BeforeValidator(
            lambda given: given if isinstance(given, list) else [given],
            json_schema_input_type=str | Input | list[str | Input],
        ),
    ]
    language: LanguageName | Annotated[list[LanguageName | None], Field(max_length=_MOST)] | None = Field(
        None, description="language of all inputs, or of each; the base encoder selects the adapters by it"
    )
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(None, description="only the model's own width")
    truncate: bool = Field(False, description="cut texts that are too long for the tower, rather than refuse them")
    user: str | None = Field(None, description="ignored")


class LoadAdapter(Fields):
    """A file of the folder of adapters."""

    file: Name
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")] | None = None


class UnloadAdapter(Fields):
    """A loaded adapter."""

    model: Name


class SearchAddress(Fields):
    """A search by text."""

    model_config = ConfigDict(strict=False)

    query: Text | None = None
    minus: Text | None = Field(None, description="a negative query")
    language: LanguageName | None = Field(None, description="detected by default")
    top: int = Field(12, ge=1, le=1000)
    adapter: bool = Field(True, description="false: the base encoder, as before training")
    folder: str = Field("", max_length=4096, description="only photographs in it, at any depth")
    after: str | None = Field(None, max_length=32, description="taken on this day or later, such as 2019-07-14 or 2019")
    before: str | None = Field(None, max_length=32, description="taken before this day")
    words: bool = Field(True, description="whether names in the query count")
    not_names: list[Name] = Field([], max_length=_MOST_NAMES, description="words of the query that are no names")
    exactly: bool = Field(False, description="texts are embedded as typed, without restoring marks or capitals")


class SearchRequest(SearchAddress):
    """A search by text, by an image, or by both with equal weight."""

    model_config = ConfigDict(strict=True)

    languages: list[LanguageName] = Field(
        [],
        max_length=MOST_LANGUAGES,
        description="the person's languages, among which detection chooses; by default those of the index, or of "
        "Accept-Language",
    )
    image: str | None = Field(None, description=_WANTED)


class Problem(BaseModel):
    """Description of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(BaseModel):
    """The answer to a request that fails, in OpenAI's form."""

    error: Problem
