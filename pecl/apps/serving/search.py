"""`POST /search` in the index of photographs, and the pictures of the hits.

    {"query": "pes na pláži", "language": "cs", "top": 12}

`GET /search?query=pes&language=cs&top=12` gives the same answer.

Without `language` the language is detected. `adapter: false` embeds with the base encoder, as before training.
"""

import asyncio
import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Annotated, Any

import torch
from fastapi import APIRouter, Depends
from fastapi import Query as Address
from starlette.requests import Request
from starlette.responses import Response

from pecl.apps.search.encoder import embed_queries
from pecl.apps.search.index import ImageIndex
from pecl.apps.search.languages import accepted_languages, named_languages, system_languages
from pecl.apps.search.query import Query, QueryLanguage, choose_language, named_language, read_query
from pecl.apps.search.thumbnails import THUMBNAIL
from pecl.apps.search.words import Selection
from pecl.apps.serving import limits
from pecl.apps.serving.models import Models, TextJob
from pecl.apps.serving.photographs import LARGE, Photographs, name_in
from pecl.apps.serving.refusals import Refusal, at_most, bad
from pecl.apps.serving.requests import JsonRoute, SearchAddress, SearchRequest, read_data_uri
from pecl.apps.serving.service import Served, Service
from pecl.errors import ConfigError, DataError
from pecl.language.languages import ENGLISH, language_name

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
        raise Refusal(404, "there is nothing to search: the server was started without an index", code="no_index")
    return service.photographs


Searched = Annotated[Photographs, Depends(_photographs)]


@router.get("/search")
async def search_by_address(
    request: Request, query: Annotated[SearchAddress, Address()], service: Served
) -> dict[str, Any]:
    """Search as `POST` does; without any field, return facts on the index."""
    if not request.url.query:
        return await asyncio.to_thread(_about, service, request)
    return await _search(service, SearchRequest(**query.model_dump()), request)


@router.post("/search")
async def search(
    body: SearchRequest,
    photographs: Searched,
    service: Served,
    request: Request,
) -> dict[str, Any]:
    """Find the photographs most similar to a text, an image, or both, most similar first."""
    return await _search(service, body, request)


def _about(service: Service, request: Request) -> dict[str, Any]:
    models = service.models
    photographs = service.photographs
    codes = sorted({ENGLISH, *models.adapters}, key=language_name)
    return {
        "photographs": 0 if photographs is None else len(photographs),
        "folders": [] if photographs is None else photographs.folders(),
        "model": models.name,
        "languages": [
            {"code": code, "name": language_name(code), "adapter": code in models.adapters} for code in codes
        ],
        "spoken": _spoken(request, None if photographs is None else photographs.index(), []),
        "page": next((code for code in _accepted(request) if code in STRINGS), ENGLISH),
    }


def _accepted(request: Request) -> tuple[str, ...]:
    return accepted_languages(request.headers.get("accept-language"))


def _spoken(request: Request, index: ImageIndex | None, named: list[str]) -> tuple[str, ...]:
    """Return the codes of the person's languages: of the request, else of the index, the browser or the system.

    Raises:
        Refusal: a named language is unknown.
    """
    if named:
        try:
            return named_languages(named)
        except ConfigError as error:
            raise bad(str(error), "languages") from error
    languages = () if index is None else index.head.languages
    return languages or _accepted(request) or system_languages()


async def _search(service: Service, body: SearchRequest, request: Request) -> dict[str, Any]:
    photographs = await _photographs(service)
    texts = body.model_dump(include={"query", "minus"}, exclude_none=True)
    for name, text in texts.items():
        at_most(limits.CHARACTERS, len(text), "characters", name)

    if body.query is None and body.image is None:
        raise bad("query: expected a text, or a picture in the field image, got neither", "query")

    picture = None
    if body.image is not None:
        picture = read_data_uri(body.image, "image")

    query = Query(
        text=body.query,
        image=picture,
        minus=body.minus,
        language=named_language(body.language),
        after=body.after,
        before=body.before,
        folder=body.folder.strip("/"),
        names=body.words,
        not_names=tuple(body.not_names),
        exactly=body.exactly,
    )
    # One state, even if it is updated meanwhile; an update may keep it waiting
    index = await asyncio.to_thread(photographs.index)
    among = _spoken(request, index, body.languages)
    selection = await _select(index, query, among)
    query = query.without_dates(selection)

    language = await _choose(service.models, query, among, body.adapter)
    query = await asyncio.to_thread(read_query, replace(query, language=language), service.models)
    about_language = _about_language(language, service.models, body.adapter)

    (embedding,) = await _embed(service, query, body.adapter)  # (D,)
    corrected = index.corrects(query)
    hits = await asyncio.to_thread(index.nearest, embedding.numpy(), selection, corrected, body.top)

    return {
        **about_language,
        "read_as": query.read_as,
        "names": [name._asdict() for name in selection.names],
        "days": selection.dated and selection.dated.to_json(),
        "hubs_corrected": corrected,
        "photographs": [
            {
                "id": hit.id,
                "version": hit.fingerprint[:8],
                "name": name_in(index, hit.path),
                "score": round(hit.score, 6),
                "named": hit.named,
            }
            for hit in hits
        ],
    }


async def _select(index: ImageIndex, query: Query, languages: Sequence[str]) -> Selection:
    try:
        return await asyncio.to_thread(index.select_for, query, languages)
    except ConfigError as error:
        raise bad(str(error), error.field) from error
    except DataError as error:
        logger.warning("%s", error)  # it names the folder, for whoever runs the server
        raise Refusal(503, "the index cannot be read at the moment", code="no_index") from error


async def _choose(
    models: Models,
    query: Query,
    among: tuple[str, ...],
    with_adapters: bool,
) -> QueryLanguage | None:
    try:
        language = await asyncio.to_thread(choose_language, query, models, among)
    except ConfigError as error:
        if query.language is None:
            raise
        raise bad(f"language: {error.problem}", "language") from error
    return language if language is None or with_adapters else language.plain()


def _about_language(
    language: QueryLanguage | None,
    models: Models,
    with_adapters: bool,
) -> dict[str, Any]:
    """Return the fields of an answer on the language of its query; None stands for a query without text."""
    code = guess = model = None
    mixture: dict[str, float] = {}
    if language is not None:
        code = language.code
        guess = language.guess
        mixture = language.mixture()
        model = models.model_of(models.find(code) if with_adapters else None)

    return {
        "language": code,
        "detected": guess is not None and code is not None,
        "confidence": None if guess is None else round(guess.confidence, 4),
        "model": model,
        "mixed": mixture,
        "other_language": guess is not None and guess.is_other,
    }


async def _embed(service: Service, query: Query, with_adapters: bool) -> torch.Tensor:
    """Return the embedding (1, D), of length 1, of a query; its parts wait in the queues of the service."""

    async def embed_texts(texts: list[str], languages: list[str | None]) -> torch.Tensor:
        adapters = [service.models.find(code) if with_adapters else None for code in languages]
        job = TextJob(texts, adapters, "query", truncate=True, languages=languages, exactly=True)
        return (await service.embed_texts(job)).embeddings

    async def embed_images(images: list[bytes]) -> torch.Tensor:
        return (await service.embed_pictures(images, ["image"])).embeddings

    return await embed_queries([query], embed_texts, embed_images)


@router.get("/thumbnails/{id}", response_class=JpegResponse)
async def thumbnail(id: str, photographs: Searched, service: Served) -> Response:
    """Show a thumbnail of a photograph that a search found."""
    return JpegResponse(await service.decoded(lambda: photographs.picture(id, THUMBNAIL)), headers=_CACHED)


@router.get("/photographs/{id}", response_class=JpegResponse)
async def photograph(id: str, photographs: Searched, service: Served) -> Response:
    """Show a photograph that a search found."""
    return JpegResponse(await service.decoded(lambda: photographs.picture(id, LARGE)), headers=_CACHED)
