"""A server of tiny towers with adapters of many languages: in this process, or behind a port of the loopback."""

import asyncio
import base64
import contextlib
import functools
import io
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
import torch
from PIL import Image
from starlette.testclient import TestClient

from helpers.adapter_towers import filled, states
from helpers.loopback import without_proxies
from helpers.project import ROOT
from helpers.reading import restored
from helpers.small_experiment import tiny_towers
from helpers.waiting import wait_until
from pecl.adapters.formats.files import AdapterFile, save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.apps.serving.models import Models
from pecl.apps.serving.photographs import Photographs
from pecl.apps.serving.server import Server, make_app
from pecl.apps.serving.service import Service
from pecl.apps.serving.sockets import LOOPBACK, open_socket

LANGUAGES = ("de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh", "cs", "nl")


def plain_tower():
    return tiny_towers().text.eval()


@functools.cache
def adapter_files(languages=LANGUAGES, spec="lora"):
    """Adapters of random parameters, large enough that every language gives other embeddings."""
    tower = plain_tower()
    found = zip(languages, states(tower, spec, len(languages)), strict=True)
    trained_on = (tower.name, tower.fingerprint)
    return [
        AdapterFile(Path(f"{language}.safetensors"), language, parse_adapter(spec), state, *trained_on)
        for language, state in found
    ]


def write_adapters(folder, languages=LANGUAGES, spec="lora"):
    """Write them as files, and return their paths."""
    tower = plain_tower()
    folder.mkdir(exist_ok=True)
    return [
        save_adapter(folder / file.path, file.state, file.configs, file.language, tower)
        for file in adapter_files(languages, spec)
    ]


def make_models(files=None, name="tiny"):
    models = Models(name, plain_tower())
    for file in adapter_files() if files is None else files:
        models.add(file.language, file)
    return models


def make_service(models=None, index=None, **options):
    """Return a service with the tiny image tower, which searches in the index of this folder."""
    image = tiny_towers().image
    photographs = None if index is None else Photographs(index, image)
    return Service(make_models() if models is None else models, image, photographs=photographs, **options)


@contextlib.contextmanager
def client_of(service, hosts=LOOPBACK, **options):
    """Yield a client of the application within this process."""
    with TestClient(
        make_app(service, hosts, **options), base_url="http://127.0.0.1", raise_server_exceptions=False
    ) as client:
        yield client


@contextlib.contextmanager
def running(service, **options):
    """Yield the address of a real server on the loopback, run by a thread."""
    server = Server(make_app(service, LOOPBACK, **options))
    with open_socket("127.0.0.1", 0) as listening, pytest.MonkeyPatch.context() as patch:
        without_proxies(patch)
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listening])), daemon=True)
        thread.start()
        try:
            wait_until(lambda: server.started, 120, "the server's start")
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(120)
            assert not thread.is_alive()


_SOURCE = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from helpers.serving import make_service
from pecl.apps.serving.limits import Limits
from pecl.apps.serving.server import serve
from pecl.apps.serving.sockets import open_socket
%s
with open_socket("127.0.0.1", 0) as listening:
    print(listening.getsockname()[1], flush=True)
    serve(service, listening, "127.0.0.1")
print("stopped", flush=True)
"""


@contextlib.contextmanager
def server_process(setup):
    """Yield a process that serves the `service` which these lines of Python make, and its port, once it answers."""
    command = [sys.executable, "-c", _SOURCE % setup]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            port = int(process.stdout.readline())
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=120, trust_env=False).raise_for_status()
            yield process, port
        finally:
            process.kill()


def picture(colour=(200, 30, 30), size=(6, 6), format="PNG"):
    """The bytes of a picture of one colour."""
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, format)
    return out.getvalue()


def data_uri(content, kind="image/png"):
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@functools.cache
def _alone(language):
    """A tower that holds the adapter of one language, or none, and nothing else."""
    tower = plain_tower()
    if language is not None:
        (file,) = (file for file in adapter_files() if file.language == language)
        filled(tower, "lora").load_slot_state(0, file.state)
    return tower


def expected(texts, languages):
    """The embeddings of texts, each alone in a tower of its language alone: whatever a bank or a pass might mix up.

    A text is read as people of its language write it.
    """
    return as_written(restored(texts, [language or "en" for language in languages]), languages)


def as_written(texts, languages):
    """The embeddings of texts as `expected`, without marks or capitals that they lack."""
    rows = [_alone(language).encode_text([text]) for text, language in zip(texts, languages, strict=True)]
    return torch.nn.functional.normalize(torch.cat(rows), dim=1)
