"""immich's machine learning interface: texts are embedded here, everything else is passed on to immich's own service.

    GET /ping        pong, if that service says so
    POST /predict    a form with `entries`, and `text` or `image`

`entries` names a task, a model and its options, such as
`{"clip": {"textual": {"modelName": "...", "options": {"language": "cs"}}}}`. Only a text for CLIP is read. Bytes of
every other request go to the service as they arrive, and its answer comes back as it is. Source: immich-app/immich, the
file machine-learning/immich_ml/main.py.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from pecl.data.language_guess import can_guess, guess_languages
from pecl.files import parse_json
from pecl.languages import ENGLISH, any_language_code
from pecl.options import quoted
from pecl.serving.models import Models, TextJob
from pecl.serving.refusals import Refusal, bad
from pecl.serving.requests import as_text
from pecl.serving.service import Service
from pecl.serving.upstream import Immich

_HEAD = 64 << 10  # bytes of a form in which `entries` has to be


async def ping(request: Request) -> PlainTextResponse:
    """Answer `GET /ping`: immich marks a service as healthy by it."""
    immich: Immich = request.app.state.service.immich
    await immich.pong()
    return PlainTextResponse("pong")


async def predict(request: Request) -> Response:
    """Answer `POST /predict`: a text for CLIP here, everything else by immich's service."""
    service: Service = request.app.state.service
    immich: Immich = request.app.state.service.immich
    stream = _patient(request, service.limits.patience)
    boundary = _boundary(request.headers.get("content-type", ""))
    head, entries = bytearray(), None
    async for part in stream:
        head += part
        entries = _fields(head, boundary).get("entries")
        if entries is not None or len(head) > _HEAD:
            break
    asked = None if entries is None else _textual(entries)
    if asked is None:
        if head.startswith(b"--" + boundary) and b'name="text"' in head.partition(b"\r\n\r\n")[0]:
            raise bad("entries: expected it in the first 64 KiB of the form, before a long text", "entries")
        return await immich.send(request, _joined(bytes(head), stream))
    async for part in stream:
        head += part
        if len(head) > service.limits.body_bytes:
            raise Refusal(413, f"body: expected at most {service.limits.body_bytes:,} bytes, got more")
    model, language = asked
    if model != immich.model:
        raise bad(
            f"modelName: expected {immich.model}, whose text tower this server has, got {quoted(str(model)[:100])}: "
            f"choose {immich.model} in immich, or start the server with that tower",
            "modelName",
        )
    return await _embed(service, language, _fields(head, boundary).get("text"))


async def _embed(service: Service, named: Any, content: bytes | None) -> JSONResponse:
    """Return the embedding of a text in immich's form: JSON in which the vector is text."""
    if content is None:
        raise bad("text: expected a text, got none", "text")
    try:
        text = as_text(content.decode("utf-8"), "text", service.limits.characters)
    except UnicodeDecodeError as error:
        raise bad("text: expected UTF-8", "text") from error
    language, adapter = await _language(service.models, text, named)
    job = TextJob([text], [adapter], "text", truncate=True, language=language)
    row = (await service.embed_texts(job)).embeddings[0].numpy()  # (D,)
    return JSONResponse({"clip": f"[{','.join(map(str, row))}]"})


async def _language(models: Models, text: str, named: Any) -> tuple[str | None, str | None]:
    """Return the language of a text and the adapter for it, None for the plain tower.

    immich sends the language of its pages. English, their default, tells nothing of a text: it is detected then.
    """
    if named is not None:
        named = as_text(named, "language", 100)
        names = (named, named.partition("-")[0])  # pt-BR has the adapter of pt
        if found := next((found for name in names if (found := models.bank.find(name))), None):
            return found, found
        if names[1].lower() != ENGLISH:
            return any_language_code(names[1]), None
    if not can_guess():
        return None, None
    (guess,) = await asyncio.to_thread(guess_languages, [text], models.bank.preferred)
    language = guess.language if guess.is_sure else None
    return language, models.bank.find(language)


def _textual(entries: bytes) -> tuple[Any, Any] | None:
    """Return the model and language that a form names for its text; None if only immich's service can answer it.

    Raises:
        Refusal: it asks for a text and more, and this server could answer only a part.
    """
    try:
        document = parse_json(entries)
    except ValueError:
        return None
    tasks = {
        (task, kind): entry
        for task, kinds in (document.items() if isinstance(document, dict) else ())
        for kind, entry in (kinds.items() if isinstance(kinds, dict) else ())
    }
    entry = tasks.get(("clip", "textual"))
    if entry is None:
        return None
    if len(tasks) > 1 or not isinstance(entry, dict):
        raise bad('entries: expected only {"clip": {"textual": {"modelName": ..., "options": ...}}}', "entries")
    options = entry.get("options")
    return entry.get("modelName"), options.get("language") if isinstance(options, dict) else None


def _boundary(content_type: str) -> bytes:
    """Return the line between the fields of a form, b"" for another type."""
    found = re.fullmatch(r'multipart/form-data;.*?\bboundary="?([^";]{1,200})"?.*', content_type, re.IGNORECASE)
    return found[1].encode("latin-1") if found else b""


def _fields(body: bytes | bytearray, boundary: bytes) -> dict[str, bytes]:
    """Return the fields, except files, that are whole in the received part of a form's body."""
    fields: dict[str, bytes] = {}
    if not boundary:
        return fields
    for part in (b"\r\n" + bytes(body)).split(b"\r\n--" + boundary)[1:-1]:
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'\bname="([^"]*)"', head)
        if name and b"filename=" not in head:
            fields.setdefault(name[1].decode("utf-8", "replace"), content)
    return fields


async def _patient(request: Request, seconds: float) -> AsyncIterator[bytes]:
    """Yield a body in parts, each of which may take so many seconds."""
    stream = request.stream()
    while True:
        try:
            part = await asyncio.wait_for(anext(stream, None), seconds)
        except asyncio.TimeoutError as error:
            sentence = f"body: expected its next part within {seconds:g} seconds"
            raise Refusal(408, sentence, headers={"connection": "close"}) from error
        if part is None:
            return
        yield part


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for part in rest:
        yield part
