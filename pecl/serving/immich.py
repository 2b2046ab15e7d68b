"""immich's machine learning interface: texts are embedded here, everything else is passed on to immich's own service.

    GET /ping        pong, if that service says so
    POST /predict    a form with `entries`, and `text` or `image`

`entries` names a task, a model and its options, such as
`{"clip": {"textual": {"modelName": "...", "options": {"language": "cs"}}}}`. Only a text for CLIP is read. Bytes of
every other request go to the service as they arrive. Source: immich-app/immich, the file
machine-learning/immich_ml/main.py.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from pecl.data.language_guess import can_guess, guess_languages
from pecl.errors import ConfigError
from pecl.files import parse_json
from pecl.languages import ENGLISH, any_language_code
from pecl.options import quoted
from pecl.serving.bodies import Body
from pecl.serving.forms import Form
from pecl.serving.models import Models, TextJob
from pecl.serving.refusals import LEFT, Refusal, at_most, bad
from pecl.serving.service import Served, Service
from pecl.serving.upstream import Immich

_HEAD = 64 << 10  # bytes of a form in which `entries` has to be

router = APIRouter()


@router.get("/ping")
async def ping(service: Served) -> PlainTextResponse:
    """Answer `pong` if immich's service does: immich marks a service as healthy by it."""
    await _immich(service).pong()
    return PlainTextResponse("pong")


@router.post("/predict")
async def predict(request: Request, service: Served) -> Response:
    """Embed a text for CLIP here; everything else is answered by immich's service."""
    limits, body = service.limits, Body(request, service.limits.patience, each=True)
    try:
        return await _predict(request, service, body)
    except Refusal as refusal:
        if refusal.status_code not in (408, LEFT):
            await body.drain(limits.body_bytes)
        raise


async def _predict(request: Request, service: Service, body: Body) -> Response:
    immich, limits, head = _immich(service), service.limits, bytearray()
    form = Form(request.headers.get("content-type", ""), max(_HEAD, 4 * limits.characters))
    async for part in body.parts():
        head += part
        form.write(part)
        if "entries" in form.fields or not form.is_form or len(head) > _HEAD:
            break
    asked = _textual(form.fields["entries"]) if "entries" in form.fields else None
    if asked is None:
        if form.names[:1] == ["text"]:
            raise bad("entries: expected it in the first 64 KiB of the form, before a long text", "entries")
        return await immich.forward(request, _joined(bytes(head), body.parts()), limits.forwards)
    model, language = asked
    if model != immich.model:
        raise bad(
            f"modelName: expected {immich.model}, whose text tower this server has, got {quoted(str(model)[:100])}: "
            f"choose {immich.model} in immich, or start the server with that tower",
            "modelName",
        )
    length = len(head)
    async for part in body.parts():
        length += len(part)
        if length > limits.body_bytes:
            raise Refusal(413, f"body: expected at most {limits.body_bytes:,} bytes, got more")
        form.write(part)
    return await _embed(service, language, form.fields.get("text"))


def _immich(service: Service) -> Immich:
    assert service.immich is not None, "the routes of immich are there only with its service"
    return service.immich


async def _embed(service: Service, named: Any, content: bytes | None) -> JSONResponse:
    """Return the embedding of a text in immich's form: JSON in which the vector is text."""
    if content is None:
        raise bad("text: expected a text, got none", "text")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad("text: expected UTF-8", "text") from error
    if not text.strip():
        raise bad("text: expected text, got none", "text")
    at_most(service.limits.characters, len(text), "characters", "text")
    language, adapter = await _language(service.models, text, named)
    job = TextJob([text], [adapter], "text", truncate=True, language=language)
    row = (await service.embed_texts(job)).embeddings[0].numpy()  # (D,)
    return JSONResponse({"clip": f"[{','.join(map(str, row))}]"})


async def _language(models: Models, text: str, named: Any) -> tuple[str | None, str | None]:
    """Return the language of a text and the adapter for it, None for the plain tower.

    immich sends the language of its pages. English, their default, tells nothing of a text, and neither do `-`, `C` or
    `POSIX`: it is detected then.
    """
    if named is not None and not isinstance(named, str):
        raise bad(f"language: expected text, got {quoted(named)}", "language")
    for name in dict.fromkeys((named, re.split(r"[-_.@]", named)[0])) if named else ():  # pt-BR has the adapter of pt
        try:
            code = models.bank.find(name) or any_language_code(name)
        except ConfigError:
            continue
        if code != ENGLISH or models.bank.find(code):
            return code, models.bank.find(code)
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


async def _joined(head: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield head
    async for part in rest:
        yield part
