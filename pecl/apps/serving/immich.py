"""immich's machine learning interface: texts are embedded here, all else is forwarded to immich's own service.

    GET /ping        pong, if that service answers so
    POST /predict    a form with `entries`, and `text` or `image`

`entries` names a task, a model and its options, such as `{"clip": {"textual": {"modelName": "...",
"options": {"language": "cs"}}}}`. Only a text for CLIP is answered here. Every other request is
forwarded unchanged. Source: immich-app/immich, the file machine-learning/immich_ml/main.py.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from pecl.apps.serving import limits
from pecl.apps.serving.models import Models, TextJob
from pecl.apps.serving.refusals import at_most, bad
from pecl.apps.serving.requests import read_body
from pecl.apps.serving.service import Served, Service
from pecl.errors import ConfigError, not_none
from pecl.files import parse_json
from pecl.language.language_guess import can_guess, guess_languages
from pecl.language.languages import ENGLISH, language_code
from pecl.options import quoted

_FIELDS = 16  # most fields of a form: immich sends two
_PART = 64 << 10  # bytes of a form that are parsed before other requests get their turn

router = APIRouter()


@router.get("/ping")
async def ping(service: Served) -> PlainTextResponse:
    """Answer `pong` if immich's service does, by which immich marks a service as healthy."""
    await not_none(service.immich, "immich").pong()
    return PlainTextResponse("pong")


@router.post("/predict")
async def predict(request: Request, service: Served) -> Response:
    """Embed a text for CLIP here; everything else is answered by immich's service."""
    immich = not_none(service.immich, "immich")
    body = await read_body(request, service.limits.body_bytes)
    fields = await _fields(request, body)
    model_and_language = _textual(fields.get("entries", ""))
    if model_and_language is None:
        return await immich.forward(request, body, limits.FORWARDS)

    model, language = model_and_language
    if model != immich.model:
        raise bad(
            f"modelName: expected {immich.model}, whose text tower this server has, got {quoted(str(model)[:100])}: "
            f"choose {immich.model} in immich, or start the server with that tower",
            "modelName",
        )
    return await _embed(service, language, fields.get("text", ""))


async def _fields(request: Request, body: bytes) -> dict[str, str]:
    """Return the text fields of a form by name, up to the first file or error; {} for a body that is not a form."""

    async def parts() -> AsyncGenerator[bytes, None]:
        for start in range(0, len(body), _PART):
            yield body[start : start + _PART]
            await asyncio.sleep(0)

    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        return {}

    parser = MultiPartParser(request.headers, parts(), max_files=0, max_fields=_FIELDS)
    with contextlib.suppress(MultiPartException):  # immich's service answers an invalid form
        await parser.parse()
    return {name: text for name, text in parser.items if isinstance(text, str)}


async def _embed(service: Service, named: Any, text: str) -> JSONResponse:
    if not text.strip():
        raise bad(f"text: expected text of at most {limits.CHARACTERS:,} characters, got none", "text")
    at_most(limits.CHARACTERS, len(text), "characters", "text")
    language, adapter = await _language(service.models, text, named)
    job = TextJob([text], [adapter], "text", truncate=True, languages=[language])
    row = (await service.embed_texts(job)).embeddings[0].numpy()  # (D,)
    return JSONResponse({"clip": f"[{','.join(map(str, row))}]"})


async def _language(models: Models, text: str, named: Any) -> tuple[str | None, str | None]:
    """Return the language of a text and its adapter; None for an unknown language and for the base encoder.

    immich sends the language of its user interface. English, the default there, is no information
    about the text, and neither do `-`, `C` or `POSIX`: the language is then detected.
    """
    if named is not None and not isinstance(named, str):
        raise bad(f"language: expected text, got {quoted(named)}", "language")

    for name in dict.fromkeys((named, re.split(r"[-_.@]", named)[0])) if named else ():  # pt-BR has the adapter of pt
        try:
            code = models.find(name) or language_code(name)
        except ConfigError:
            continue
        if code != ENGLISH or models.find(code):
            return code, models.find(code)

    if not can_guess():
        return None, None

    (guess,) = await asyncio.to_thread(guess_languages, [text], models.preferred)
    language = guess.language if guess.is_sure else None
    return language, models.find(language)


def _textual(entries: str) -> tuple[Any, Any] | None:
    """Return the model and language that a form names for its text; None if only immich's service can answer it.

    Raises:
        Refusal: the form asks for a text and more, of which this server could answer only a part.
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
