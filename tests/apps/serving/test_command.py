"""`pecl serve`: the service that flags describe, wrong flags, and the announced address."""

import logging
import re
import shlex
import socket
import threading

import pytest
from helpers.serving import make_service, running, write_adapters
from helpers.small_experiment import tiny_towers

import pecl.adapters.ready
import pecl.apps.commands.serve
import pecl.apps.serving.server
import pecl.encoders.towers
from pecl.apps.search.build import build_index
from pecl.apps.serving.limits import Limits
from pecl.cli import main
from pecl.encoders.towers import Towers


@pytest.fixture
def served(monkeypatch):
    """What would have been served, instead of serving it; the towers are tiny."""
    found = []
    monkeypatch.setattr(pecl.encoders.towers, "load_towers", lambda *_, **__: tiny_towers())
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
    more = "--max-waiting 9000 --window 0.5 --host localhost"
    assert run(f"serve --adapter {files} --index {photographs} --adapters-dir {tmp_path.name} --port 0 {more}") == 0
    ((service, listening, host, key, access_log),) = served
    assert service.models.names == ["mini", "mini:de", "mini:cs"]
    assert service.limits == Limits(waiting=9000, window=0.5)
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


def is_open(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def test_the_address_is_announced_when_the_towers_are_loaded(served, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "pecl")
    port, opened = free_port(), threading.Event()
    address = f"http://127.0.0.1:{port}"
    loaded = []

    def load(*_):
        assert not opened.is_set()
        assert address not in caplog.text
        assert not is_open(port)
        loaded.append(caplog.messages[-1])
        return tiny_towers().text

    towers = Towers(load, lambda: tiny_towers().image)
    monkeypatch.setattr(pecl.encoders.towers, "load_towers", lambda *_, **__: towers)
    monkeypatch.setattr(pecl.apps.serving.server, "serve", lambda *_: served.append(is_open(port)))
    monkeypatch.setattr(pecl.apps.commands.serve.webbrowser, "open", lambda address: opened.set() or True)
    assert run(f"serve --text-model other --port {port} --open") == 0
    assert opened.wait(60)
    assert loaded == ["loading the towers; the address follows"]
    assert caplog.messages[-1] == f"{address} serves other"
    assert served == [True]


# Flags -> what is wrong with them; KEY, TAKEN and so on are made by the test
WRONG = {
    "--port TAKEN": r'cannot listen on "127\.0\.0\.1" port \d+: Address already in use',
    "--port 70000": 'port: expected a whole number from 0 to 65535, got "70000"',
    "--host nowhere.invalid": 'cannot listen on "nowhere.invalid" port',
    "--max-waiting 1": "waiting: expected a whole number >= 2048, got 1",
    "--window 2": "window: expected",
    "--device nothing": "device: expected",
    "--api-key-file FOLDER/none": "pecl: --api-key-file: cannot read",
    "--api-key-file FOLDER/short": "pecl: --api-key-file: expected one line of 16 to 512",
    "--adapters-dir FOLDER/none": "pecl: --adapters-dir: expected a folder, got",
    "--index FOLDER": "there is no index of it: make one with `pecl index",
    "--index FOLDER/damaged": "pecl-index.sqlite",
    "--index ALBUM --profile siglip2-b16": "--profile: expected mini, with which the index of .* got siglip2-b16",
    "--adapter misspelt": "misspelt",
    "--adapter none FOLDER/cs.safetensors": "adapter: expected none or adapters, got both",
    "--adapter FOLDER/cs.safetensors FOLDER/twice/cs.safetensors": "adapter: expected one per language",
    "--adapter FOLDER/short": "short",
    "--text-model ./none": r"--text-model: there is no folder \./none: expected the folder of a checkpoint",
    "--image-model ./none": r"--image-model: there is no folder \./none: expected the folder of a checkpoint",
    "--immich-model LABSE-Vit-L-14": "--immich-model: expected --immich-upstream with it",
    "--immich-upstream http://immich:3003": "immich does not list the text tower mini: expected a --profile such as",
    "--immich-upstream http://immich:3003 --profile siglip2-b16 --immich-model ViT-B-16-SigLIP2": "did you mean",
    "--immich-upstream http://immich:3003 --immich-model LABSE-Vit-L-14": "has the text tower .*, got mini",
    "--immich-upstream immich:3003 --profile vit-b-32": "immich_upstream: expected an address such as",
    "--immich-upstream http://localhost:FREE --port FREE --profile vit-b-32": "got this server's",
    "--immich-upstream OTHER --profile vit-b-32": "which answers /ping with pong, got status 404",
}


@pytest.mark.parametrize("flags", WRONG)
def test_a_wrong_flag_ends_the_command_before_a_tower_is_loaded_or_a_port_is_open(
    flags, tmp_path, photographs, monkeypatch, capsys, caplog
):
    def never(*_, **__):
        pytest.fail("a tower is loaded, or a port is open")

    if "ALBUM" in flags:
        build_index(photographs)
    for module, name in ((pecl.encoders.towers, "load_text_encoder"), (pecl.encoders.towers, "load_image_encoder")):
        monkeypatch.setattr(module, name, never)
    monkeypatch.setattr(pecl.apps.commands.serve, "open_socket", never)
    write_adapters(tmp_path, ("cs",))
    write_adapters(tmp_path / "twice", ("cs",))
    (tmp_path / "short").write_text("key\n")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "pecl-index.sqlite").write_text("no database")

    with socket.create_server(("127.0.0.1", 0)) as taken, running(make_service()) as other:
        made = {"FOLDER": tmp_path, "ALBUM": photographs, "TAKEN": taken.getsockname()[1], "OTHER": other}
        made["FREE"] = free_port()
        line = flags if "--port" in flags else f"{flags} --port 0"
        for name, value in made.items():
            line = line.replace(name, str(value))
        assert run(f"serve {line}") == 2
    assert re.search(WRONG[flags], capsys.readouterr().err)
    assert "http://127.0.0.1" not in caplog.text


def test_a_key_and_a_log_reach_the_server(served, tmp_path, caplog, capsys):
    (tmp_path / "key").write_text("a-key-of-this-server\n")
    assert run(f"serve --text-model other --port 0 --host 0.0.0.0 --api-key-file {tmp_path}/key --access-log") == 0
    assert served[0][3:] == (b"a-key-of-this-server", True)
    assert "can use it" not in caplog.text
    assert run("serve --text-model other --port 0 --host 0.0.0.0") == 0
    assert "can use it: --api-key-file sets a key" in caplog.text
    caplog.clear()
    assert run(f"serve --port 0 --api-key-file {tmp_path}/none") == 2
    assert "pecl: --api-key-file: cannot read" in capsys.readouterr().err
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
    address = f"http://127.0.0.1:{free_port()}"  # nobody answers there
    for flags, model in (
        ("--profile vit-b-32", "XLM-Roberta-Large-Vit-B-32"),
        ("--text-model M-CLIP/LABSE-Vit-L-14", "LABSE-Vit-L-14"),
        ("--text-model mine --immich-model ViT-B-32-SigLIP2-256__webli", "ViT-B-32-SigLIP2-256__webli"),
    ):
        assert run(f"serve --port 0 {flags} --immich-upstream {address}/") == 0
        immich = served.pop()[0].immich
        assert (immich.upstream, immich.model) == (address, model)
    flags = "--text-model mine --immich-model ViT-B-16-SigLIP2__webli"  # its embeddings have 768 dimensions
    assert run(f"serve --port 0 {flags} --immich-upstream {address}") == 2
    assert "embeds into 768 dimensions, and the text tower into 8" in capsys.readouterr().err
    assert served == []
