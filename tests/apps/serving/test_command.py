"""`pecl serve`: what the flags come to, and what is missing."""

import logging
import re
import shlex
import socket
import threading

import pytest
from helpers.serving import write_adapters
from helpers.small_experiment import tiny_towers

import pecl.adapters.ready
import pecl.apps.commands.serve
import pecl.apps.serving.server
import pecl.encoders.towers
from pecl.apps.search.build import build_index
from pecl.apps.serving.limits import Limits
from pecl.cli import main


@pytest.fixture
def served(monkeypatch):
    """What would have been served, instead of serving it; the towers are tiny."""
    found = []
    monkeypatch.setattr(pecl.encoders.towers, "load_towers", lambda *_: tiny_towers())
    monkeypatch.setattr(pecl.adapters.ready, "ready_adapters", lambda *_: {})  # which are for the profile's tower
    monkeypatch.setattr(pecl.apps.serving.server, "serve", lambda *arguments: found.append(arguments))
    return found


def run(line):
    return main(shlex.split(line))


def test_flags_reach_the_service(served, tmp_path, photographs, monkeypatch):
    monkeypatch.chdir(tmp_path.parent)  # from where --adapters-dir is relative
    paths = write_adapters(tmp_path, ("de", "cs"))
    build_index(photographs)
    files = " ".join(map(str, paths))
    more = "--max-texts 7 --max-picture-pixels 99 --window 0.5 --host localhost"
    assert run(f"serve --adapter {files} --index {photographs} --adapters-dir {tmp_path.name} --port 0 {more}") == 0
    ((service, listening, host, key, access_log),) = served
    assert service.models.names == ["mini", "mini:de", "mini:cs"]
    assert service.limits == Limits(texts=7, picture_pixels=99, window=0.5)
    assert len(service.photographs) == 12
    assert service.adapters_dir == tmp_path
    assert service.image.name == "colours"
    assert (host, key, access_log) == ("localhost", None, False)
    assert listening.fileno() == -1  # closed by now


def test_adapters_are_added_to_the_shipped_ones(served, tmp_path, monkeypatch, caplog):
    *paths, dutch = write_adapters(tmp_path, ("de", "fr", "nl"))
    (german,) = write_adapters(tmp_path / "mine", ("de",), "bottleneck")
    shipped = {"mini": dict(zip(("de", "fr"), paths, strict=True))}
    monkeypatch.setattr(pecl.adapters.ready, "ready_adapters", lambda profile: shipped.get(profile, {}))
    for flags, names, said in (
        ("", ["mini:de", "mini:fr"], "mini:de, mini:fr"),
        (f"--adapter {dutch}", ["mini:de", "mini:fr", "mini:nl"], f"mini:de, mini:fr, {dutch}"),
        (f"--adapter {german} --adapter {dutch}", ["mini:de", "mini:fr", "mini:nl"], f"{german}, mini:fr, {dutch}"),
        ("--adapter none", [], "none"),
        ("--text-model other", [], "none"),
    ):
        caplog.clear()
        assert run(f"serve --port 0 {flags}") == 0
        service = served.pop()[0]
        plain = "other" if "other" in flags else "mini"
        assert service.models.names == [plain, *names]
        assert f"adapters: {said}" in caplog.messages


def test_the_address_is_said_before_anything_is_loaded(served, monkeypatch, caplog):
    """Whoever opens it then waits, and is not refused."""
    caplog.set_level(logging.INFO, "pecl")
    said = []

    def load(*_):
        said.append(caplog.messages[-1])
        port = int(said[0].split()[0].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=60):
            return tiny_towers()

    monkeypatch.setattr(pecl.encoders.towers, "load_towers", load)
    opened = threading.Event()
    monkeypatch.setattr(pecl.apps.commands.serve.webbrowser, "open", lambda address: opened.set() or True)
    assert run("serve --text-model other --port 0 --open") == 0
    assert opened.wait(60)
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+ answers once the towers are loaded", said[0])
    assert caplog.messages[-1] == f"{said[0].split()[0]} serves other"


def test_a_key_and_a_log_reach_the_server(served, tmp_path, caplog, capsys):
    (tmp_path / "key").write_text("a-key-of-this-server\n")
    assert run(f"serve --text-model other --port 0 --host 0.0.0.0 --api-key-file {tmp_path}/key --access-log") == 0
    assert served[0][3:] == (b"a-key-of-this-server", True)
    assert "can use it" not in caplog.text
    assert run("serve --text-model other --port 0 --host 0.0.0.0") == 0
    assert "can use it: --api-key-file requires a key" in caplog.text
    caplog.clear()
    assert run(f"serve --port 0 --api-key-file {tmp_path}/none") == 2
    assert "api_key_file: cannot read" in capsys.readouterr().err
    assert "answers" not in caplog.text  # no port was opened


def test_without_the_extra_it_says_what_to_install(monkeypatch, capsys):
    package = "fastapi"

    def without(name):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

    monkeypatch.setattr(pecl.apps.commands.serve, "import_module", without)
    assert run("serve --port 0") == 2
    assert f"pecl serve needs {package}: pip install -e '.[serve]'" in capsys.readouterr().err
    package = "pecl.nowhere"  # a fault of ours, which no installation mends
    assert run("serve --port 0") == 1
    assert "unexpected ModuleNotFoundError: No module named 'pecl.nowhere'" in capsys.readouterr().err


def test_immich_is_asked_for_its_model(served, capsys):
    with socket.create_server(("127.0.0.1", 0)) as listening:  # nobody answers there later
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
    for flags, model in (
        ("--profile vit-b-32", "XLM-Roberta-Large-Vit-B-32"),
        ("--text-model M-CLIP/LABSE-Vit-L-14", "LABSE-Vit-L-14"),
        ("--immich-model ViT-B-16-SigLIP2__webli", "ViT-B-16-SigLIP2__webli"),
    ):
        assert run(f"serve --port 0 {flags} --immich-upstream {address}/") == 0
        immich = served.pop()[0].immich
        assert (immich.upstream, immich.model) == (address, model)
    for flags, sentence in (
        (f"--immich-upstream {address}", "immich does not list the text tower mini: expected a --profile such as"),
        (f"--immich-upstream {address} --immich-model ViT-B-16-SigLIP2", "did you mean 'ViT-B-16-SigLIP2__webli'?"),
        ("--immich-model ViT-B-16-SigLIP2__webli", "--immich-model: expected --immich-upstream with it"),
    ):
        assert run(f"serve --port 0 {flags}") == 2
        assert sentence in capsys.readouterr().err
