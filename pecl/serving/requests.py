"""Reads a request: its type, size and JSON, and then its fields one by one.

Nothing of a request is taken for a path or an address.
"""

import asyncio
import re
from collections.abc import Collection
from typing import Any

from starlette.requests import Request

from pecl.errors import suggest
from pecl.files import parse_json
from pecl.options import quoted
from pecl.serving.refusals import Refusal, bad
from pecl.serving.service import Service

_NO_VALUE = bytes(set(range(256)) - set(b",:[{"))  # bytes that no value follows


async def read_object(request: Request, service: Service, known: Collection[str]) -> dict[str, Any]:
    """Return the JSON object that a request's body holds, with `known` fields only.

    Only `application/json` is taken: a page of another site cannot send that without asking the server first.

    Raises:
        Refusal: 415 for another type, 413 for too long a body, 408 for one that does not come, 400 for all else.
    """
    limits = service.limits
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Refusal(415, f"content-type: expected application/json, got {quoted(kind)}")
    try:
        body = await asyncio.wait_for(_read_body(request, limits.body_bytes), limits.patience)
    except asyncio.TimeoutError as error:
        sentence = f"body: expected it within {limits.patience:g} seconds, got a part"
        raise Refusal(408, sentence, headers={"connection": "close"}) from error
    try:
        document = await service.with_json(lambda: _parse(body, limits.values))
    except ValueError as error:  # and with it UnicodeDecodeError
        raise bad(f"body: expected JSON: {error}") from error
    if not isinstance(document, dict):
        raise bad(f"body: expected a JSON object, got {_kind_of(document)}")
    for name in document:
        _check_name(name, known)
    return document


def read_query(
    request: Request, known: Collection[str], numbers: Collection[str] = (), flags: Collection[str] = ()
) -> dict[str, Any]:
    """Return the fields behind the `?` of an address: whole `numbers`, `flags` that are true or false, and texts.

    Raises:
        Refusal: a field is not `known`, or is there twice.
    """
    document: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        _check_name(name, known)
        if name in document:
            raise bad(f"{name}: expected it once, got it twice", name)
        is_number = name in numbers and re.fullmatch("-?[0-9]{1,18}", text)
        is_flag = name in flags and text in ("true", "false")
        document[name] = int(text) if is_number else text == "true" if is_flag else text
    return document


def _check_name(name: str, known: Collection[str]) -> None:
    if name not in known:
        raise bad(f"unknown field {quoted(name)}: expected {', '.join(known)}{suggest(name, known)}", name)


async def _read_body(request: Request, most: int) -> bytes:
    """Return the body; one that is too long is read to its end all the same, so that its sender reads the answer."""
    body, length = bytearray(), 0
    async for part in request.stream():
        length += len(part)
        body += part if length <= most else b""
    if length > most:
        raise Refusal(413, f"body: expected at most {most:,} bytes, got {length:,}")
    return bytes(body)


def _parse(body: bytes, most: int) -> Any:
    """Parse the JSON of a body; its values are counted first, since millions of empty lists take many seconds."""
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")  # each `"` that is left begins or ends a text
    number = plain.count(b'"') // 2
    if number <= most:  # each text is one value, so that there are not too many to take apart
        number = len(b"".join(plain.split(b'"')[::2]).translate(None, _NO_VALUE)) + 1
    if number > most:
        raise ValueError(f"it holds more than {most:,} values")
    return parse_json(body)


def text_field(document: dict[str, Any], name: str, most: int, default: str | None = None) -> str:
    """Return a field that is text of at most `most` characters; `default` where it is left out or null.

    Raises:
        Refusal: it is something else, or is left out and has no default.
    """
    value = document.get(name)
    return default if value is None and default is not None else as_text(value, name, most)


def as_text(value: Any, name: str, most: int) -> str:
    """Return a value of the field `name` that is text of 1 to `most` characters; raises as `text_field`."""
    if not isinstance(value, str):
        raise bad(f"{name}: expected text, got {_kind_of(value)}", name)
    if not value.strip():
        raise bad(f"{name}: expected text, got none", name)
    if len(value) > most:
        raise bad(f"{name}: expected at most {most:,} characters, got {len(value):,}", name)
    return value


def choice_field(document: dict[str, Any], name: str, choices: Collection[str], default: str) -> str:
    """Return a field that is one of `choices`; `default` where it is left out or null; raises as `text_field`."""
    value = document.get(name)
    value = default if value is None else value
    if not isinstance(value, str) or value not in choices:
        got = quoted(value) if isinstance(value, str) else _kind_of(value)
        raise bad(f"{name}: expected one of {', '.join(choices)}, got {got}{suggest(value, choices)}", name)
    return value


def flag_field(document: dict[str, Any], name: str, default: bool) -> bool:
    """Return a field that is true or false; `default` where it is left out or null; raises as `text_field`."""
    value = document.get(name)
    value = default if value is None else value
    if not isinstance(value, bool):
        raise bad(f"{name}: expected true or false, got {_kind_of(value)}", name)
    return value


def number_field(document: dict[str, Any], name: str, low: int, high: int, default: int) -> int:
    """Return a field that is a whole number; `default` where it is left out or null; raises as `text_field`."""
    value = document.get(name)
    value = default if value is None else value
    if not isinstance(value, int) or isinstance(value, bool):
        raise bad(f"{name}: expected a whole number from {low} to {high}, got {_kind_of(value)}", name)
    if not low <= value <= high:
        raise bad(f"{name}: expected a whole number from {low} to {high}, got {quoted(value)}", name)
    return value


def _kind_of(value: Any) -> str:
    """Return the kind of a JSON value in words."""
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return "null" if value is None else names[type(value)]
