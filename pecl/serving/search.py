"""`POST /search` in the index of photographs, and the pictures of the hits.

    {"query": "pes na pláži", "language": "cs", "top": 12}

`GET /search?query=pes&language=cs&top=12` is answered likewise.

The language is detected where none is named. `adapter: false` embeds with the plain tower: before training.
"""

import asyncio
from typing import Annotated, Any, NamedTuple

import torch
import torch.nn.functional as F
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from pecl.data.language_guess import guess_languages
from pecl.errors import ConfigError
from pecl.languages import ENGLISH, any_language_code, language_name
from pecl.search.queries import Shares, known_shares, shares_to_json
from pecl.search.thumbnails import SIZE
from pecl.serving.bodies import JsonRoute
from pecl.serving.models import Models, TextJob
from pecl.serving.photographs import LARGE, Photographs
from pecl.serving.pictures import read_data_uri
from pecl.serving.refusals import Refusal, at_most, bad
from pecl.serving.schemas import AboutAnswer, SearchAddress, SearchAnswer, SearchRequest
from pecl.serving.service import Served, Service

router = APIRouter(route_class=JsonRoute)
_CACHED = {"cache-control": "private, max-age=600"}


class JpegResponse(Response):
    """A picture."""

    media_type = "image/jpeg"


async def _photographs(service: Served) -> Photographs:
    if service.photographs is None:
        raise Refusal(404, "there is nothing to search: the server was started without --index", code="no_index")
    return service.photographs


Searched = Annotated[Photographs, Depends(_photographs)]


class Chosen(NamedTuple):
    """The language of a query, and its adapters."""

    language: str | None  # None where there is no text, and where it is not detected
    confidence: float | None  # 0 to 1; None where the language was named
    adapter: str | None  # None for the plain tower
    shares: Shares  # the adapters whose embeddings are mixed; only `adapter` where there is no doubt


@router.get("/search", response_model=SearchAnswer | AboutAnswer)
async def search_by_address(
    request: Request, query: Annotated[SearchAddress, Query()], service: Served
) -> dict[str, Any]:
    """Search as `POST` does; without any field, return facts on the index."""
    if not request.url.query:
        return await asyncio.to_thread(_about, service)
    return await _search(service, SearchRequest(**query.model_dump()))


@router.post("/search", response_model=SearchAnswer)
async def search(body: SearchRequest, photographs: Searched, service: Served) -> dict[str, Any]:
    """Find the photographs most like a text, an image, or both, most like first."""
    return await _search(service, body)


def _about(service: Service) -> dict[str, Any]:
    """Return the number of photographs, their folders, and the languages with their adapters."""
    models, photographs = service.models, service.photographs
    codes = sorted({ENGLISH, *models.adapters}, key=language_name)
    return {
        "photographs": 0 if photographs is None else len(photographs),
        "folders": [] if photographs is None else photographs.folders(),
        "model": models.name,
        "languages": [
            {"code": code, "name": language_name(code), "adapter": code in models.adapters} for code in codes
        ],
    }


async def _search(service: Service, body: SearchRequest) -> dict[str, Any]:
    """Return the answer to a search."""
    photographs = await _photographs(service)
    given = {"query": body.query, "minus": body.minus}
    texts = {name: text for name, text in given.items() if text is not None}
    for name, text in texts.items():
        at_most(service.limits.characters, len(text), "characters", name)
    if body.query is None and body.image is None:
        raise bad("query: expected a text, or a picture in the field image, got neither", "query")
    picture = None if body.image is None else read_data_uri(body.image, "image", service.limits)
    among = photographs.index().head.languages or None
    chosen = await _choose(service.models, body, list(texts.values()), among)
    embedding = await _embed(service, texts, picture, chosen)
    is_text = texts.keys() == {"query"} and picture is None
    folder = body.folder.strip("/")
    hits, corrected = await asyncio.to_thread(photographs.search, embedding, body.top, is_text, folder)
    return {
        "language": chosen.language,
        "detected": chosen.confidence is not None and chosen.language is not None,
        "confidence": None if chosen.confidence is None else round(chosen.confidence, 4),
        "model": service.models.model_of(chosen.adapter) if texts else None,
        "mixed": shares_to_json(chosen.shares) if texts else {},
        "hubs_corrected": corrected,
        "photographs": [{"id": hit.id, "name": photographs.name(hit), "score": round(hit.score, 6)} for hit in hits],
    }


@router.get("/thumbnails/{id}", response_class=JpegResponse)
async def thumbnail(id: str, photographs: Searched, service: Served) -> Response:
    """Show a small picture of a photograph that a search found."""
    return JpegResponse(await service.decoded(lambda: photographs.picture(id, SIZE)), headers=_CACHED)


@router.get("/photographs/{id}", response_class=JpegResponse)
async def photograph(id: str, photographs: Searched, service: Served) -> Response:
    """Show a photograph that a search found."""
    return JpegResponse(await service.decoded(lambda: photographs.picture(id, LARGE)), headers=_CACHED)


async def _choose(models: Models, body: SearchRequest, texts: list[str], among: tuple[str, ...] | None) -> Chosen:
    """Return the language of the texts, named or detected among the codes `among`, and the adapters for it."""
    if not texts:
        return Chosen(None, None, None, ((None, 1.0),))
    if body.language is not None:
        try:
            code = models.bank.find(body.language) or any_language_code(body.language)
        except ConfigError as error:
            raise bad(f"language: {error}", "language") from error
        confidence, shares = None, ((models.bank.find(code), 1.0),)
    else:
        (guess,) = await asyncio.to_thread(guess_languages, [" ".join(texts)], models.bank.preferred, among)
        code, confidence = guess.language if guess.is_sure else None, guess.confidence
        shares = tuple((models.bank.find(one), share) for one, share in known_shares(guess, models.bank))
    if not body.adapter:
        return Chosen(code, confidence, None, ((None, 1.0),))
    return Chosen(code, confidence, models.bank.find(code), shares)


async def _embed(service: Service, texts: dict[str, str], picture: bytes | None, chosen: Chosen) -> torch.Tensor:
    """Return the embedding (D,) of a query: those of text and picture, added, minus that of the negative query."""
    total = torch.zeros(service.models.dim)
    if picture is not None:
        total += (await service.embed_pictures([picture], ["image"])).embeddings[0]
    if texts:
        rows = [(name, adapter, share) for name in texts for adapter, share in chosen.shares]
        adapters = [adapter for _, adapter, _ in rows]
        job = TextJob([texts[name] for name, _, _ in rows], adapters, "query", truncate=True, language=chosen.language)
        of_text = {name: torch.zeros(service.models.dim) for name in texts}
        for (name, _, share), row in zip(rows, (await service.embed_texts(job)).embeddings, strict=True):
            of_text[name] += share * row
        for name, embedding in of_text.items():
            total += F.normalize(embedding, dim=0) * (-1 if name == "minus" else 1)
    return F.normalize(total, dim=0)
