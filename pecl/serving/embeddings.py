"""`POST /v1/embeddings` in OpenAI's form, with a language for each input and with images.

{"model": "mini", "input": ["pes na pláži", "ein Hund"], "language": ["cs", "de"]}
"""

import asyncio
import base64
import json
from itertools import zip_longest
from typing import Any

import torch
from fastapi import APIRouter
from starlette.responses import Response

from pecl.errors import ConfigError
from pecl.serving.bodies import JsonRoute
from pecl.serving.models import Models, TextJob
from pecl.serving.pictures import read_data_uri
from pecl.serving.refusals import at_most, bad
from pecl.serving.schemas import EmbeddingsRequest
from pecl.serving.service import Served, Service

router = APIRouter(route_class=JsonRoute)


@router.post("/v1/embeddings", response_model=dict[str, Any])
async def embeddings(body: EmbeddingsRequest, service: Served) -> Response:
    """Embed texts and images; embeddings have length 1."""
    texts, pictures = _inputs(body, service)
    dim = service.models.tower.embedding_dim
    if body.dimensions not in (None, dim):
        raise bad(f"dimensions: expected {dim}, the width of this model, got {body.dimensions}", "dimensions")
    rows, tokens = torch.empty(len(body.input), dim), 0  # (N, D)
    if pictures:
        contents, names = zip(*pictures.values(), strict=True)
        rows[list(pictures)] = (await service.embed_pictures(contents, names)).embeddings
    if texts:
        of_texts, adapters = zip(*texts.values(), strict=True)
        embedded = await service.embed_texts(TextJob(list(of_texts), list(adapters), truncate=body.truncate))
        rows[list(texts)], tokens = embedded.embeddings, embedded.tokens
    coded = body.encoding_format == "base64"
    content = await asyncio.to_thread(write_answer, rows, coded, body.model, tokens)
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


def _inputs(
    body: EmbeddingsRequest, service: Service
) -> tuple[dict[int, tuple[str, str | None]], dict[int, tuple[bytes, str]]]:
    limits, models, count = service.limits, service.models, len(body.input)
    adapter = models.adapter_of(body.model)
    if isinstance(body.language, list) and len(body.language) != count:
        got = len(body.language)
        raise bad(f"language: expected one, or one for each of the {count} inputs, got {got}", "language")
    languages = body.language if isinstance(body.language, list) else [body.language] * count
    at_most(limits.texts + limits.pictures, count, "texts", "input")
    texts: dict[int, tuple[str, str | None]] = {}
    pictures: dict[int, tuple[bytes, str]] = {}
    for place, (item, language) in enumerate(zip_longest(body.input, languages)):
        name = f"input[{place}]" if count > 1 else "input"
        if item.text is None:
            pictures[place] = read_data_uri(item.image, name, limits), name
        else:
            at_most(limits.characters, len(item.text), "characters", name)
            texts[place] = item.text, _adapter(item.language or language, adapter, models)
    at_most(limits.texts, len(texts), "texts", "input")
    at_most(limits.pictures, len(pictures), "pictures", "input")
    return texts, pictures


def _adapter(language: str | None, adapter: str | None, models: Models) -> str | None:
    if language is None:
        return adapter
    try:
        found = models.adapter_for(language)
    except ConfigError as error:
        raise bad(str(error), "language") from error
    if adapter is not None and found != adapter:
        model = models.model_of(adapter)
        raise bad(f"language: expected none or {adapter}, which model {model} is for, got {language!r}", "language")
    return found
