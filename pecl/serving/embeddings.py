"""`POST /v1/embeddings` in OpenAI's form, with a language for each input and with pictures.

    {"model": "mini", "input": ["pes na pláži", "ein Hund"], "language": ["cs", "de"]}

An input is a text, a picture as a data URI, or an object: `{"text": ..., "language": ...}` or `{"image": ...}`.
"""

import base64
import json
from typing import Any

import torch
from starlette.requests import Request
from starlette.responses import Response

from pecl.serving.limits import Limits
from pecl.serving.models import Models, TextJob
from pecl.serving.pictures import is_data_uri, read_data_uri
from pecl.serving.refusals import bad
from pecl.serving.requests import as_text, choice_field, flag_field, number_field, read_object, text_field
from pecl.serving.service import Service

FIELDS = ("model", "input", "language", "encoding_format", "dimensions", "truncate", "user")
_ITEM = ("text", "image", "language")


Texts = dict[int, tuple[str, str | None]]  # place in the request -> text, and its adapter (None: the plain tower)
Pictures = dict[int, tuple[bytes, str]]  # place in the request -> file, and its name in the request


async def embeddings(request: Request) -> Response:
    """Answer `POST /v1/embeddings`; embeddings have length 1."""
    service: Service = request.app.state.service
    document = await read_object(request, service, FIELDS)
    model = text_field(document, "model", 200)
    texts, pictures = _inputs(document, service.models.adapter_of(model), service.models, service.limits)
    encoding = choice_field(document, "encoding_format", ("float", "base64"), "float")
    dim = service.models.dim
    if document.get("dimensions") is not None and number_field(document, "dimensions", 1, 1 << 20, dim) != dim:
        raise bad(f"dimensions: expected {dim}, the width of this model, got {document['dimensions']}", "dimensions")
    truncate = flag_field(document, "truncate", False)
    rows = torch.empty(len(texts) + len(pictures), dim)  # (N, D)
    tokens = 0
    if pictures:
        contents, names = zip(*pictures.values(), strict=True)
        rows[list(pictures)] = (await service.embed_pictures(contents, names)).embeddings
    if texts:
        adapters = [adapter for _, adapter in texts.values()]
        job = TextJob([text for text, _ in texts.values()], adapters, truncate=truncate)
        embedded = await service.embed_texts(job)
        rows[list(texts)] = embedded.embeddings
        tokens = embedded.tokens
    content = await service.with_json(lambda: write_answer(rows, encoding == "base64", model, tokens))
    return Response(content, media_type="application/json")


def write_answer(rows: torch.Tensor, coded: bool, model: str, tokens: int) -> bytes:
    """Return the answer with embeddings (N, D) float32 as JSON, `coded` as base64 of float32, the lowest byte first.

    It is written row by row: Python's encoder holds up all threads until its call ends.
    """
    data = []
    for i, row in enumerate(rows):
        embedding = base64.b64encode(row.numpy().astype("<f4").tobytes()).decode("ascii") if coded else row.tolist()
        data.append(json.dumps({"object": "embedding", "index": i, "embedding": embedding}, separators=(",", ":")))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    rest = json.dumps({"model": model, "usage": usage}, separators=(",", ":"))
    return f'{{"object":"list","data":[{",".join(data)}],{rest[1:]}'.encode()


def _inputs(document: dict[str, Any], adapter: str | None, models: Models, limits: Limits) -> tuple[Texts, Pictures]:
    """Return the inputs of a request whose model names `adapter`."""
    given = document.get("input")
    items = given if isinstance(given, list) else [given]
    if given is None or not items:
        raise bad("input: expected a text, or a list of texts or pictures, got none", "input")
    most = limits.texts + limits.pictures
    if len(items) > most:
        raise bad(f"input: expected at most {limits.texts} texts, got {len(items)}", "input")
    languages = _languages(document.get("language"), len(items), isinstance(given, list))
    texts: Texts = {}
    pictures: Pictures = {}
    for place, (item, language) in enumerate(zip(items, languages, strict=True)):
        name = f"input[{place}]" if isinstance(given, list) else "input"
        if isinstance(item, dict):
            if set(item) - set(_ITEM) or ("text" in item) == ("image" in item):
                raise bad(f'{name}: expected {{"text": ..., "language": ...}} or {{"image": ...}}', "input")
            language = item.get("language", language)
            is_picture, content = "image" in item, item.get("image", item.get("text"))
        else:
            is_picture, content = isinstance(item, str) and is_data_uri(item), item
        if is_picture:
            pictures[place] = read_data_uri(content, name, limits), name
        elif isinstance(content, int) or (isinstance(content, list) and all(isinstance(one, int) for one in content)):
            sentence = "expected text, got token ids: every tower has its own, so send the text itself"
            raise bad(f"{name}: {sentence}", "input")
        else:
            texts[place] = as_text(content, name, limits.characters), _adapter(language, adapter, models)
    for what, found, allowed in (("texts", texts, limits.texts), ("pictures", pictures, limits.pictures)):
        if len(found) > allowed:
            raise bad(f"input: expected at most {allowed} {what}, got {len(found)}", "input")
    return texts, pictures


def _languages(value: Any, number: int, is_list: bool) -> list[Any]:
    """Return the language of each input, as it was written; None if none was."""
    if isinstance(value, list):
        if not is_list or len(value) != number:
            raise bad(f"language: expected one, or one for each of the {number} inputs, got {len(value)}", "language")
        return value
    return [value] * number


def _adapter(language: Any, adapter: str | None, models: Models) -> str | None:
    """Return the adapter of a text whose language is named, and whose request names `adapter` as its model."""
    if language is None:
        return adapter
    found = models.adapter_for(as_text(language, "language", 100))
    if adapter is not None and found != adapter:
        model = models.model_of(adapter)
        raise bad(f"language: expected none or {adapter}, which model {model} is for, got {language!r}", "language")
    return found
