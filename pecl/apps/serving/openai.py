"""OpenAI's interface: `POST /v1/embeddings` with a language for each input and with images, and `GET /v1/models`.

    POST /v1/embeddings     {"model": "mini", "input": ["pes na pláži", "ein Hund"], "language": ["cs", "de"]}
    POST /v1/load_adapter   {"file": "cs.safetensors", "name": "cs"}
    POST /v1/unload_adapter {"model": "mini:cs"}

To load an adapter, a request names a file of the one folder that the server was started with. The
name is compared with the listing of that folder; it is never made part of a path.
"""

import asyncio
import base64
import json
import os
from pathlib import Path
from typing import Annotated, Any

import torch
from fastapi import APIRouter, Depends
from starlette.responses import Response

from pecl.adapters.formats.files import SUFFIX
from pecl.apps.serving import limits
from pecl.apps.serving.models import Models, TextJob
from pecl.apps.serving.refusals import Refusal, at_most, bad
from pecl.apps.serving.requests import EmbeddingsRequest, JsonRoute, LoadAdapter, UnloadAdapter, read_data_uri
from pecl.apps.serving.service import Served, Service
from pecl.errors import ConfigError, PeclError, suggest
from pecl.options import quoted

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

    content = await asyncio.to_thread(write_answer, rows, body.encoding_format == "base64", body.model, tokens)
    return Response(content, media_type="application/json")


def write_answer(rows: torch.Tensor, coded: bool, model: str, tokens: int) -> bytes:
    """Return the JSON answer with embeddings (N, D) float32; `coded` writes each as base64 of little-endian float32.

    It is encoded row by row: Python's JSON encoder blocks all threads until its call ends.
    """
    data = []
    for i, row in enumerate(rows):
        embedding = base64.b64encode(row.numpy().astype("<f4").tobytes()).decode("ascii") if coded else row.tolist()
        data.append(json.dumps({"object": "embedding", "index": i, "embedding": embedding}, separators=(",", ":")))
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    metadata = json.dumps({"model": model, "usage": usage}, separators=(",", ":"))
    return f'{{"object":"list","data":[{",".join(data)}],{metadata[1:]}'.encode()


def _inputs(
    body: EmbeddingsRequest, service: Service
) -> tuple[dict[int, tuple[str, str | None]], dict[int, tuple[bytes, str]]]:
    models = service.models
    count = len(body.input)
    adapter = models.adapter_of(body.model)
    if isinstance(body.language, list) and len(body.language) != count:
        sentence = f"language: expected one, or one for each of the {count} inputs, got {len(body.language)}"
        raise bad(sentence, "language")

    languages = body.language if isinstance(body.language, list) else [body.language] * count
    number_of_pictures = sum(entry.text is None for entry in body.input)
    at_most(limits.TEXTS, count - number_of_pictures, "texts", "input")
    at_most(limits.PICTURES, number_of_pictures, "pictures", "input")

    texts: dict[int, tuple[str, str | None]] = {}
    pictures: dict[int, tuple[bytes, str]] = {}
    for index, (entry, language) in enumerate(zip(body.input, languages, strict=True)):
        name = f"input[{index}]" if count > 1 else "input"
        if entry.text is None:
            pictures[index] = read_data_uri(entry.image or "", name), name
        else:
            at_most(limits.CHARACTERS, len(entry.text), "characters", name)
            texts[index] = entry.text, _adapter(entry.language or language, adapter, models)

    return texts, pictures


def _adapter(language: str | None, adapter: str | None, models: Models) -> str | None:
    if language is None:
        return adapter

    try:
        adapter_of_language = models.adapter_for(language)
    except ConfigError as error:
        raise bad(str(error), "language") from error

    if adapter is not None and adapter_of_language != adapter:
        model = models.model_of(adapter)
        raise bad(f"language: expected none or {adapter}, which model {model} is for, got {language!r}", "language")

    return adapter_of_language


@router.get("/v1/models")
async def list_models(service: Served) -> dict[str, Any]:
    """List the base encoder and each adapter."""
    return {"object": "list", "data": service.models.describe()}


@router.get("/v1/models/{model:path}")
async def show_model(model: str, service: Served) -> dict[str, Any]:
    """Describe the base encoder or an adapter."""
    return _described(service, service.models.adapter_of(model))


async def _folder(service: Served) -> Path:
    if service.adapters_dir is None:
        raise Refusal(
            403, "adapters of this server are fixed: it was started without a folder of adapters (adapters_dir)"
        )
    return service.adapters_dir


Folder = Annotated[Path, Depends(_folder)]


@router.post("/v1/load_adapter")
async def load_adapter(body: LoadAdapter, folder: Folder, service: Served) -> dict[str, Any]:
    """Load an adapter file of the server's folder, under its language or `name`."""
    files = {file.name: file for file in folder.glob(f"*{SUFFIX}") if file.is_file() and not file.is_symlink()}
    if body.file not in files:
        names = ", ".join(sorted(files)[:20]) or "none yet"
        sentence = f"file: expected one in the folder of adapters ({names}), got {quoted(body.file)}"
        raise Refusal(404, f"{sentence}{suggest(body.file, files)}", "file", "file_not_found")

    def load() -> dict[str, Any]:
        return _described(service, service.models.load(files[body.file], body.name))

    try:
        return await service.alone(load)
    except PeclError as error:
        sentence = str(error)
        # errors name the file and its result; their paths stay private
        for path in (folder, folder.parent):
            sentence = sentence.replace(f"{path}{os.sep}", "")
        raise bad(sentence, "file") from error


@router.post("/v1/unload_adapter")
async def unload_adapter(body: UnloadAdapter, folder: Folder, service: Served) -> dict[str, Any]:
    """Unload an adapter."""

    def unload() -> str:
        # here, since a request before this one may have unloaded it
        adapter = service.models.adapter_of(body.model)
        if adapter is None:
            raise bad(f"model: expected an adapter, got {body.model}, the base encoder, which stays", "model")
        service.models.remove(adapter)
        return service.models.model_of(adapter)

    return {"id": await service.alone(unload), "object": "model", "deleted": True}


def _described(service: Service, adapter: str | None) -> dict[str, Any]:
    model = service.models.model_of(adapter)
    for row in service.models.describe():
        if row["id"] == model:
            return row
    raise Refusal(404, f"model: {model} has just been unloaded", "model", "model_not_found")
