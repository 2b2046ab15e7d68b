"""`POST /search` in the index of photographs, and the pictures of what was found.

    {"query": "pes na pláži", "language": "cs", "top": 12}

`GET /search?query=pes&language=cs&top=12` is answered likewise.

The language is detected where none is named. `adapter: false` embeds with the plain tower: before training.
"""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pecl.data.language_guess import guess_languages
from pecl.errors import ConfigError
from pecl.languages import ENGLISH, any_language_code, language_name
from pecl.search.thumbnails import SIZE
from pecl.serving.models import Models, TextJob
from pecl.serving.photographs import LARGE, Photographs
from pecl.serving.pictures import read_data_uri
from pecl.serving.refusals import Refusal, bad
from pecl.serving.requests import flag_field, number_field, read_object, read_query, text_field
from pecl.serving.service import Service

FIELDS = ("query", "image", "minus", "language", "top", "adapter")
ADDRESS_FIELDS = tuple(name for name in FIELDS if name != "image")  # which no address can hold
_MOST = 200  # photographs of an answer


class Chosen(NamedTuple):
    """The language of a query, and what embeds it.

    Attributes:
        language: its code; None where there is no text, and where it is not detected.
        confidence: how sure the guess is, 0 to 1; None where the language was named.
        adapter: the adapter, or None for the plain tower.
    """

    language: str | None
    confidence: float | None
    adapter: str | None


async def search_by_address(request: Request) -> JSONResponse:
    """Answer `GET /search`: as `POST` where the address has fields, and otherwise what can be searched in."""
    service: Service = request.app.state.service
    if not request.url.query:
        return _about(service)
    return await _search(service, read_query(request, ADDRESS_FIELDS, numbers=("top",), flags=("adapter",)))


async def search(request: Request) -> JSONResponse:
    """Answer `POST /search`: the photographs most like a text, a picture, or both, most like first."""
    service: Service = request.app.state.service
    _photographs(service)  # before the body is read
    return await _search(service, await read_object(request, service, FIELDS))


def _about(service: Service) -> JSONResponse:
    """Say how many photographs there are, and which languages have an adapter."""
    models = service.models
    codes = sorted({ENGLISH, *models.adapters}, key=language_name)
    return JSONResponse(
        {
            "photographs": 0 if service.photographs is None else len(service.photographs),
            "model": models.name,
            "languages": [
                {"code": code, "name": language_name(code), "adapter": code in models.adapters} for code in codes
            ],
        }
    )


async def _search(service: Service, document: dict[str, Any]) -> JSONResponse:
    """Return the answer to a search, given its fields."""
    photographs = _photographs(service)
    top = number_field(document, "top", 1, _MOST, 12)
    use_adapter = flag_field(document, "adapter", True)
    texts = {
        name: text_field(document, name, service.limits.characters)
        for name in ("query", "minus")
        if document.get(name) is not None
    }
    image = document.get("image")
    if "query" not in texts and image is None:
        raise bad("query: expected a text, or a picture in the field image, got neither", "query")
    picture = None if image is None else read_data_uri(image, "image", service.limits)
    chosen = await _choose(service.models, document, list(texts.values()), use_adapter)
    embedding = await _embed(service, texts, picture, chosen)
    is_text = texts.keys() == {"query"} and picture is None
    hits, corrected = await asyncio.to_thread(photographs.search, embedding, top, is_text)
    found = [{"id": hit.id, "name": photographs.name(hit), "score": round(hit.score, 6)} for hit in hits]
    return JSONResponse(
        {
            "language": chosen.language,
            "detected": chosen.confidence is not None and chosen.language is not None,
            "confidence": None if chosen.confidence is None else round(chosen.confidence, 4),
            "model": service.models.model_of(chosen.adapter) if texts else None,
            "hubs_corrected": corrected,
            "photographs": found,
        }
    )


async def thumbnail(request: Request) -> Response:
    """Answer `GET /thumbnails/{id}`: a small picture."""
    return await _picture(request, SIZE)


async def photograph(request: Request) -> Response:
    """Answer `GET /photographs/{id}`: a picture to look at."""
    return await _picture(request, LARGE)


async def _picture(request: Request, size: int) -> Response:
    service: Service = request.app.state.service
    photographs = _photographs(service)
    content = await service.decoded(lambda: photographs.picture(request.path_params["id"], size))
    return Response(content, media_type="image/jpeg", headers={"cache-control": "private, max-age=600"})


def _photographs(service: Service) -> Photographs:
    if service.photographs is None:
        raise Refusal(404, "there is nothing to search: the server was started without --index", code="no_index")
    return service.photographs


async def _choose(models: Models, document: dict[str, Any], texts: list[str], use_adapter: bool) -> Chosen:
    """Return the language of the texts, named or detected, and the adapter for it."""
    if not texts:
        return Chosen(None, None, None)
    if document.get("language") is not None:
        named = text_field(document, "language", 100)
        try:
            code = models.find(named) or any_language_code(named)
        except ConfigError as error:
            raise bad(f"language: {error}", "language") from error
        confidence = None
    else:
        known = list(dict.fromkeys((ENGLISH, *models.adapters)))
        (guess,) = await asyncio.to_thread(guess_languages, [" ".join(texts)], known)
        code, confidence = guess.language if guess.is_sure else None, guess.confidence
    return Chosen(code, confidence, models.find(code) if use_adapter else None)


async def _embed(service: Service, texts: dict[str, str], picture: bytes | None, chosen: Chosen) -> torch.Tensor:
    """Return the embedding (D,) of a query: those of text and picture, added, minus that of the negative query."""
    total = torch.zeros(service.models.dim)
    if picture is not None:
        total += (await service.embed_pictures([picture], ["image"])).embeddings[0]
    if texts:
        names = list(texts)
        adapters = [chosen.adapter] * len(names)
        job = TextJob(list(texts.values()), adapters, "query", truncate=True, language=chosen.language)
        for name, row in zip(names, (await service.embed_texts(job)).embeddings, strict=True):
            total += -row if name == "minus" else row
    return F.normalize(total, dim=0)
