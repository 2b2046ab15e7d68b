"""`GET /v1/models`, and loading and unloading adapters at run time.

    POST /v1/load_adapter   {"file": "cs.safetensors", "name": "cs"}
    POST /v1/unload_adapter {"model": "mini:cs"}

A request names a file of the one folder that the server was started with. The name is compared with the listing of
that folder; it is never made part of a path.
"""

import os
import re
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse

from pecl.adapters.formats.convert import SUFFIX
from pecl.adapters.formats.files import load_adapter_file
from pecl.errors import PeclError, suggest
from pecl.options import quoted
from pecl.serving.refusals import Refusal, bad
from pecl.serving.requests import read_object, text_field
from pecl.serving.service import Service

_NAME = re.compile(r"[\w.-]{1,64}", re.ASCII)


async def list_models(request: Request) -> JSONResponse:
    """Answer `GET /v1/models`: the plain tower and each adapter."""
    service: Service = request.app.state.service
    return JSONResponse({"object": "list", "data": service.models.describe()})


async def show_model(request: Request) -> JSONResponse:
    """Answer `GET /v1/models/{model}`."""
    service: Service = request.app.state.service
    return _described(service, service.models.adapter_of(request.path_params["model"]))


async def load_adapter(request: Request) -> JSONResponse:
    """Answer `POST /v1/load_adapter`: add a file of the folder of adapters, and return its name."""
    service: Service = request.app.state.service
    folder = _folder(service)
    document = await read_object(request, service, ("file", "name"))
    wanted = text_field(document, "file", 255)
    name = text_field(document, "name", 64, "")
    if name and not _NAME.fullmatch(name):
        raise bad(f"name: expected letters, digits, points, lines and hyphens, got {quoted(name)}", "name")
    path = _find(folder, wanted)
    try:
        added = await service.alone(lambda: service.models.add(load_adapter_file(path), name or None))
    except PeclError as error:
        sentence = str(error)
        for place in (folder, folder.parent):  # of the file and of its result: paths of this machine
            sentence = sentence.replace(f"{place}{os.sep}", "")
        raise bad(sentence, "file") from error
    return _described(service, added)


async def unload_adapter(request: Request) -> JSONResponse:
    """Answer `POST /v1/unload_adapter`: take an adapter out."""
    service: Service = request.app.state.service
    _folder(service)
    document = await read_object(request, service, ("model",))
    model = text_field(document, "model", 200)
    adapter = service.models.adapter_of(model)
    if adapter is None:
        raise bad(f"model: expected an adapter, got {model}, the plain tower, which stays", "model")
    await service.alone(lambda: service.models.remove(adapter))
    return JSONResponse({"id": service.models.model_of(adapter), "object": "model", "deleted": True})


def _described(service: Service, adapter: str | None) -> JSONResponse:
    model = service.models.model_of(adapter)
    return JSONResponse(next(row for row in service.models.describe() if row["id"] == model))


def _folder(service: Service) -> Path:
    if service.adapters_dir is None:
        raise Refusal(403, "adapters of this server are fixed: it was started without --adapters-dir")
    return service.adapters_dir


def _find(folder: Path, wanted: str) -> Path:
    """Return the path of the file in `folder` that is called `wanted`; links, which may lead out, are left out."""
    with os.scandir(folder) as listing:
        files = [one for one in listing if one.name.endswith(SUFFIX) and one.is_file(follow_symlinks=False)]
    found = {one.name: one.path for one in files}
    if wanted not in found:
        known = ", ".join(sorted(found)[:20]) or "none yet"
        sentence = f"file: expected one in the folder of adapters ({known}), got {quoted(wanted)}"
        raise Refusal(404, f"{sentence}{suggest(wanted, found)}", "file", "file_not_found")
    return Path(found[wanted])
