"""`POST /search` in the index of photographs, and the pictures of the hits.

    {"query": "pes na pláži", "language": "cs", "top": 12}

`GET /search?query=pes&language=cs&top=12` gives the same answer.

Without `language` the language is detected. `adapter: false` embeds with the plain tower, as before training.
"""

import asyncio
import json
import logging
from dataclasses import replace
from importlib.resources import files
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from pecl.apps.search.catalogue import THUMBNAIL
from pecl.apps.search.index import ImageIndex
from pecl.apps.search.options import keep_languages
from pecl.apps.search.queries import QueryLanguage, known_shares, shares_to_json
from pecl.apps.search.words import Selection
from pecl.apps.serving.models import Models, TextJob
from pecl.apps.serving.photographs import LARGE, Photographs
from pecl.apps.serving.refusals import Refusal, at_most, bad
from pecl.apps.serving.requests import JsonRoute, PersonLanguages, SearchAddress, SearchRequest, read_data_uri
from pecl.apps.serving.service import Served, Service
from pecl.data.language_guess import accepted_languages, guess_languages, named_languages, system_languages
from pecl.data.languages import ENGLISH, language_code, language_name
from pecl.errors import ConfigError, DataError, OutputError
from pecl.files import BusyError

logger = logging.getLogger(__name__)

router = APIRouter(route_class=JsonRoute)
_STATIC = files("pecl.apps.serving") / "static"
STRINGS = json.loads((_STATIC / "strings.json").read_text("utf-8"))  # of the page, by language
_CACHED = {"cache-control": "private, max-age=600"}


class JpegResponse(Response):
    """A JPEG image."""

    media_type = "image/jpeg"


async def _photographs(service: Served) -> Photographs:
    if service.photographs is None:
        raise Refusal(404, "there is nothing to search: the server was started without --index", code="no_index")
    return service.photographs


Searched = Annotated[Photographs, Depends(_photographs)]


@router.get("/search")
async def search_by_address(
    request: Request, query: Annotated[SearchAddress, Query()], service: Served
) -> dict[str, Any]:
    """Search as `POST` does; without any field, return facts on the index."""
    if not request.url.query:
        return await asyncio.to_thread(_about, service, request)
    return await _search(service, SearchRequest(**query.model_dump()), request)


@router.post("/search")
async def search(body: SearchRequest, photographs: Searched, service: Served, request: Request) -> dict[str, Any]:
    """Find the photographs most similar to a text, an image, or both, most similar first."""
    return await _search(service, body, request)


@router.put("/languages", status_code=204)
async def languages(body: PersonLanguages, photographs: Searched) -> None:
    """Store the person's languages in the index; 409 if it cannot be written."""
    try:
        await asyncio.to_thread(keep_languages, photographs.index().folder, body.languages)
    except ConfigError as error:
        raise bad(str(error), "languages") from error
    except (DataError, OutputError, BusyError) as error:
        logger.warning("the languages are not stored: %s", error)  # it names the folder, for whoever runs the server
        raise Refusal(409, "languages: the index cannot be written now", "languages") from error


def _about(service: Service, request: Request) -> dict[str, Any]:
    models, photographs = service.models, service.photographs
    codes = sorted({ENGLISH, *models.adapters}, key=language_name)
    return {
        "photographs": 0 if photographs is None else len(photographs),
        "folders": [] if photographs is None else photographs.folders(),
        "model": models.name,
        "languages": [
            {"code": code, "name": language_name(code), "adapter": code in models.adapters} for code in codes
        ],
        "spoken": _spoken(request, photographs, []),
        "page": next((code for code in _accepted(request) if code in STRINGS), ENGLISH),
    }


def _accepted(request: Request) -> tuple[str, ...]:
    return accepted_languages(request.headers.get("accept-language"))


def _spoken(request: Request, photographs: Photographs | None, named: list[str]) -> tuple[str, ...]:
    """Return the codes of the person's languages: of the request, else of the index, the browser or the system.

    Raises:
        Refusal: a named language is unknown.
    """
    if named:
        try:
            return named_languages(named)
        except ConfigError as error:
            raise bad(str(error), "languages") from error
    own = () if photographs is None else photographs.index().head.languages
    return own or _accepted(request) or system_languages()


async def _search(service: Service, body: SearchRequest, request: Request) -> dict[str, Any]:
    photographs = await _photographs(service)
    texts = body.model_dump(include={"query", "minus"}, exclude_none=True)
    for name, text in texts.items():
        at_most(service.limits.characters, len(text), "characters", name)
    if body.query is None and body.image is None:
        raise bad("query: expected a text, or a picture in the field image, got neither", "query")
    picture = None if body.image is None else read_data_uri(body.image, "image", service.limits)
    index = photographs.index()  # one state, even if it is updated meanwhile
    selection = await _select(index, body)
    if body.query is not None:
        texts["query"] = selection.text
    among = _spoken(request, photographs, body.languages)
    chosen = await _choose(service.models, body, list(texts.values()), among)
    embedding = await _embed(service, texts, picture, chosen)
    corrected = texts.keys() == {"query"} and picture is None and not index.uncorrected
    (hits,) = await asyncio.to_thread(
        index.search, embedding[None], top=body.top, corrected=corrected, selection=selection
    )
    return {
        "language": chosen.language,
        "detected": chosen.confidence is not None and chosen.language is not None,
        "confidence": None if chosen.confidence is None else round(chosen.confidence, 4),
        "model": chosen.adapter if texts else None,
        "mixed": shares_to_json(chosen.shares) if texts else {},
        "other_language": chosen.is_other,
        "words": list(selection.words),
        "days": selection.dated and selection.dated.to_json(),
        "hubs_corrected": corrected,
        "photographs": [
            {
                "id": hit.id,
                "version": hit.fingerprint[:8],
                "name": photographs.name(hit.path),
                "score": round(hit.score, 6),
                "named": hit.named,
            }
            for hit in hits
        ],
    }


async def _select(index: ImageIndex, body: SearchRequest) -> Selection:
    days_and_folder = {"after": body.after, "before": body.before, "folder": body.folder.strip("/")}
    try:
        selection = await asyncio.to_thread(index.select, body.query or "", **days_and_folder)
    except ConfigError as error:
        raise bad(str(error).removeprefix("--")) from error
    except DataError as error:
        logger.warning("%s", error)  # it names the folder, for whoever runs the server
        raise Refusal(503, "the index cannot be read now", code="no_index") from error
    return selection if body.words else selection.without_names()


@router.get("/thumbnails/{id}", response_class=JpegResponse)
async def thumbnail(id: str, photographs: Searched, service: Served) -> Response:
    """Show a thumbnail of a photograph that a search found."""
    return JpegResponse(await service.decoded(lambda: photographs.picture(id, THUMBNAIL)), headers=_CACHED)


@router.get("/photographs/{id}", response_class=JpegResponse)
async def photograph(id: str, photographs: Searched, service: Served) -> Response:
    """Show a photograph that a search found."""
    return JpegResponse(await service.decoded(lambda: photographs.picture(id, LARGE)), headers=_CACHED)


async def _choose(models: Models, body: SearchRequest, texts: list[str], among: tuple[str, ...]) -> QueryLanguage:
    plain = QueryLanguage(None, None, models.name, "", ((None, 1.0),))
    if not texts:
        return plain
    if body.language is not None:
        try:
            code = models.find(body.language) or language_code(body.language)
        except ConfigError as error:
            raise bad(f"language: {error}", "language") from error
        confidence, is_other, shares = None, False, ((models.find(code), 1.0),)
    else:
        (guess,) = await asyncio.to_thread(guess_languages, [" ".join(texts)], models.preferred, among)
        code, confidence, is_other = guess.language if guess.is_sure else None, guess.confidence, guess.is_other
        shares = tuple((models.find(one), share) for one, share in known_shares(guess, models))
    if not body.adapter:
        return replace(plain, language=code, confidence=confidence, is_other=is_other)
    return QueryLanguage(code, confidence, models.model_of(models.find(code)), "", shares, is_other)


async def _embed(service: Service, texts: dict[str, str], picture: bytes | None, chosen: QueryLanguage) -> torch.Tensor:
    """Return the embedding (D,), length 1, of a query: text plus image minus negative query."""
    total = torch.zeros(service.models.tower.embedding_dim)
    if picture is not None:
        total += (await service.embed_pictures([picture], ["image"])).embeddings[0]
    if texts:
        rows = [(name, adapter, share) for name in texts for adapter, share in chosen.shares]
        adapters = [adapter for _, adapter, _ in rows]
        job = TextJob([texts[name] for name, _, _ in rows], adapters, "query", truncate=True, language=chosen.language)
        of_text = {name: torch.zeros(service.models.tower.embedding_dim) for name in texts}
        for (name, _, share), row in zip(rows, (await service.embed_texts(job)).embeddings, strict=True):
            of_text[name] += share * row
        for name, embedding in of_text.items():
            total += F.normalize(embedding, dim=0) * (-1 if name == "minus" else 1)
    return F.normalize(total, dim=0)
