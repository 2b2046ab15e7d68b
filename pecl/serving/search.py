"""`POST /search` in the index of photographs, and the pictures of the hits.

    {"query": "pes na pláži", "language": "cs", "top": 12}

`GET /search?query=pes&language=cs&top=12` is answered likewise.

The language is detected where none is named. `adapter: false` embeds with the plain tower: before training.
"""

import asyncio
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from pecl.data.language_guess import guess_languages
from pecl.errors import ConfigError
from pecl.languages import ENGLISH, any_language_code, language_name
from pecl.search.queries import Shares, known_shares, shares_to_json
from pecl.search.thumbnails import SIZE
from pecl.serving.models import Models, TextJob
from pecl.serving.photographs import LARGE, Photographs
from pecl.serving.pictures import read_data_uri
from pecl.serving.refusals import Refusal, bad
from pecl.serving.requests import flag_field, number_field, read_object, read_query, text_field
from pecl.serving.service import Service

FIELDS = ("query", "image", "minus", "language", "top", "adapter", "folder")
ADDRESS_FIELDS = tuple(name for name in FIELDS if name != "image")  # which no address can hold


class Chosen(NamedTuple):
    """The language of a query, and its adapters."""

    language: str | None  # None where there is no text, and where it is not detected
    confidence: float | None  # 0 to 1; None where the language was named
    adapter: str | None  # None for the plain tower
    shares: Shares  # the adapters whose embeddings are mixed; only `adapter` where there is no doubt


async def search_by_address(request: Request) -> JSONResponse:
    """Answer `GET /search`: as `POST` where the address has fields, and otherwise with facts on the index."""
    service: Service = request.app.state.service
    if not request.url.query:
        return await asyncio.to_thread(_about, service)
    return await _search(service, read_query(request, ADDRESS_FIELDS, numbers=("top",), flags=("adapter",)))


async def search(request: Request) -> JSONResponse:
    """Answer `POST /search`: the photographs most like a text, a picture, or both, most like first."""
    service: Service = request.app.state.service
    _photographs(service)  # before the body is read
    return await _search(service, await read_object(request, service, FIELDS))


def _about(service: Service) -> JSONResponse:
    """Return the number of photographs, their folders, and the languages with their adapters."""
    models, photographs = service.models, service.photographs
    codes = sorted({ENGLISH, *models.adapters}, key=language_name)
    return JSONResponse(
        {
            "photographs": 0 if photographs is None else len(photographs),
            "folders": [] if photographs is None else photographs.folders(),
            "model": models.name,
            "languages": [
                {"code": code, "name": language_name(code), "adapter": code in models.adapters} for code in codes
            ],
        }
    )


async def _search(service: Service, document: dict[str, Any]) -> JSONResponse:
    """Return the answer to a search, given its fields."""
    photographs = _photographs(service)
    top = number_field(document, "top", 1, 1000, 12)
    use_adapter = flag_field(document, "adapter", True)
    given = [name for name in ("query", "minus") if document.get(name) is not None]
    texts = {name: text_field(document, name, service.limits.characters) for name in given}
    folder = text_field(document, "folder", 4096, default="").strip("/")
    image = document.get("image")
    if "query" not in texts and image is None:
        raise bad("query: expected a text, or a picture in the field image, got neither", "query")
    picture = None if image is None else read_data_uri(image, "image", service.limits)
    among = photographs.index().head.languages or None
    chosen = await _choose(service.models, document, list(texts.values()), use_adapter, among)
    embedding = await _embed(service, texts, picture, chosen)
    is_text = texts.keys() == {"query"} and picture is None
    hits, corrected = await asyncio.to_thread(photographs.search, embedding, top, is_text, folder)
    found = [{"id": hit.id, "name": photographs.name(hit), "score": round(hit.score, 6)} for hit in hits]
    return JSONResponse(
        {
            "language": chosen.language,
            "detected": chosen.confidence is not None and chosen.language is not None,
            "confidence": None if chosen.confidence is None else round(chosen.confidence, 4),
            "model": service.models.model_of(chosen.adapter) if texts else None,
            "mixed": shares_to_json(chosen.shares) if texts else {},
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


async def _choose(
    models: Models, document: dict[str, Any], texts: list[str], use_adapter: bool, among: tuple[str, ...] | None
) -> Chosen:
    """Return the language of the texts, named or detected among the codes `among`, and the adapters for it."""
    if not texts:
        return Chosen(None, None, None, ((None, 1.0),))
    if document.get("language") is not None:
        named = text_field(document, "language", 100)
        try:
            code = models.bank.find(named) or any_language_code(named)
        except ConfigError as error:
            raise bad(f"language: {error}", "language") from error
        confidence, shares = None, ((models.bank.find(code), 1.0),)
    else:
        (guess,) = await asyncio.to_thread(guess_languages, [" ".join(texts)], models.bank.preferred, among)
        code, confidence = guess.language if guess.is_sure else None, guess.confidence
        shares = tuple((models.bank.find(one), share) for one, share in known_shares(guess, models.bank))
    if not use_adapter:
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
