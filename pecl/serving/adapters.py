"""`GET /v1/models`, and loading and unloading adapters at run time.

    POST /v1/load_adapter   {"file": "cs.safetensors", "name": "cs"}
    POST /v1/unload_adapter {"model": "mini:cs"}

A request names a file of the one folder that the server was started with. The name is compared with the listing of
that folder; it is never made part of a path.
"""

import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from pecl.adapters.formats.files import SUFFIX
from pecl.errors import PeclError, suggest
from pecl.options import quoted
from pecl.serving.bodies import JsonRoute
from pecl.serving.refusals import Refusal, bad
from pecl.serving.schemas import LoadAdapter, UnloadAdapter
from pecl.serving.service import Served, Service

router = APIRouter(route_class=JsonRoute)


@router.get("/v1/models")
async def list_models(service: Served) -> dict[str, Any]:
    """List the plain tower and each adapter."""
    return {"object": "list", "data": service.models.describe()}


@router.get("/v1/models/{model:path}")
async def show_model(model: str, service: Served) -> dict[str, Any]:
    """Describe the plain tower or an adapter."""
    return _described(service, service.models.adapter_of(model))


async def _folder(service: Served) -> Path:
    if service.adapters_dir is None:
        raise Refusal(403, "adapters of this server are fixed: it was started without --adapters-dir")
    return service.adapters_dir


Folder = Annotated[Path, Depends(_folder)]


@router.post("/v1/load_adapter")
async def load_adapter(body: LoadAdapter, folder: Folder, service: Served) -> dict[str, Any]:
    """Add a file of the folder of adapters, under its language or `name`."""
    path = _find(folder, body.file)
    try:
        added = await service.alone(lambda: service.models.load(path, body.name))
    except PeclError as error:
        sentence = str(error)
        for place in (folder, folder.parent):  # of the file and of its result: paths of this machine
            sentence = sentence.replace(f"{place}{os.sep}", "")
        raise bad(sentence, "file") from error
    return _described(service, added)


@router.post("/v1/unload_adapter")
async def unload_adapter(body: UnloadAdapter, folder: Folder, service: Served) -> dict[str, Any]:
    """Unload an adapter."""
    adapter = service.models.adapter_of(body.model)
    if adapter is None:
        raise bad(f"model: expected an adapter, got {body.model}, the plain tower, which stays", "model")
    await service.alone(lambda: service.models.remove(adapter))
    return {"id": service.models.model_of(adapter), "object": "model", "deleted": True}


def _described(service: Service, adapter: str | None) -> dict[str, Any]:
    model = service.models.model_of(adapter)
    return next(row for row in service.models.describe() if row["id"] == model)


def _find(folder: Path, wanted: str) -> Path:
    found = {one.name: one for one in folder.glob(f"*{SUFFIX}") if one.is_file() and not one.is_symlink()}
    if wanted not in found:
        known = ", ".join(sorted(found)[:20]) or "none yet"
        sentence = f"file: expected one in the folder of adapters ({known}), got {quoted(wanted)}"
        raise Refusal(404, f"{sentence}{suggest(wanted, found)}", "file", "file_not_found")
    return found[wanted]
