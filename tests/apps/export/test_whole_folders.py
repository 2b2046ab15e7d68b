"""Exported, merged, converted and published folders are whole or absent."""

import itertools
import re
import shutil
from functools import partial

import pytest
from helpers.adapter_towers import states
from helpers.exporting import image_tower, text_tower, write_adapters
from helpers.grid_processes import Command, files_of_at_most, killed_at_random, on_tiny_towers
from helpers.report_results import train

import pecl.encoders.towers
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.cli import main
from pecl.files import sha256_file
from pecl.results.parts import AdapterDescription
from pecl.results.result import adapter_path, run_from_json, write_result

ADAPTER = "FOLDER/de.safetensors"
COMMANDS = {
    "merge": f"adapters merge {ADAPTER} TARGET",
    "convert to a folder": f"adapters convert {ADAPTER} TARGET",
    "convert to a file": "adapters convert FOLDER/peft TARGET.safetensors --language de",
    "sentence-transformers": f"export sentence-transformers TARGET --adapter {ADAPTER}",
    "only the adapter": f"export sentence-transformers TARGET --adapter {ADAPTER} --adapter-only --base FOLDER/base",
    "open-clip": f"export open-clip TARGET --adapter {ADAPTER}",
    "peft": f"export peft TARGET --adapter {ADAPTER} --base FOLDER/base",
    "push": "adapters push FOLDER/results TARGET",
    "pull": "adapters pull FOLDER/published TARGET",
}
FAST = ("convert to a file", "merge", "push")  # of a file, of towers, and of results
ONNX = {"onnx": f"export onnx TARGET --int8 --adapter {ADAPTER}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An adapter of each form, a base encoder to refer to, results with an adapter, and a published folder."""
    root = tmp_path_factory.mktemp("sources")
    write_adapters(root, "lora")
    with pytest.MonkeyPatch.context() as patch:
        in_this_process(patch)
        for line in ("export sentence-transformers FOLDER/base --text-only", f"adapters convert {ADAPTER} FOLDER/peft"):
            assert main(filled(line, root)) == 0
        write_results(root / "results")
        assert main(filled("adapters push FOLDER/results FOLDER/published", root)) == 0
    return root


def write_results(out):
    tower, result = text_tower(), train(4, 6, language="de", out=str(out))
    path = adapter_path(out, result.name)
    save_adapter(path, states(tower, "lora", 1)[0], parse_adapter("lora"), "de", tower)
    adapter = AdapterDescription("lora", 1000, 10**6, 0.001, sha256_file(path))
    write_result(out, run_from_json({**result.to_json(), "adapter": vars(adapter)}))


def in_this_process(patch):
    patch.setattr(pecl.encoders.towers, "load_text_encoder", lambda *_, **__: text_tower())
    patch.setattr(pecl.encoders.towers, "load_image_encoder", lambda *_, **__: image_tower())


def filled(line, folder, target="x"):
    return [part.replace("FOLDER", str(folder)).replace("TARGET", str(target)) for part in line.split()]


def contents(place):
    """Return the files below a folder; in the text of open_clip's, the folder's own path is left out."""
    return {
        path.relative_to(place): path.read_bytes().replace(str(place).encode(), b"")
        for path in sorted(place.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_a_full_disk_leaves_nothing_and_is_one_sentence(line, folder, tmp_path, monkeypatch, capsys):
    in_this_process(monkeypatch)
    assert main(filled(line, folder, tmp_path / "whole" / "x")) == 0
    capsys.readouterr()
    sizes = {len(content) for content in contents(tmp_path / "whole").values()}
    target = tmp_path / "full" / "x"
    for size in sorted({0, 20, *(size - 1 for size in sizes)}):
        with files_of_at_most(size):
            status = main(filled(line, folder, target))
        error = [line for line in capsys.readouterr().err.splitlines() if line.startswith("pecl: ")]
        if status == 0:  # no file is as large as that
            assert size + 1 == max(sizes), size
            shutil.rmtree(tmp_path / "full")
            continue
        assert status == 2, (size, error)
        assert re.fullmatch(rf"pecl: cannot write {target}\S*: File too large", *error), size
        assert list(target.parent.iterdir()) == [], size
    assert main(filled(line, folder, target)) == 0
    assert contents(tmp_path / "full") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("name", "kills"),
    [*((name, 2) for name in FAST), *(pytest.param(name, 12, marks=pytest.mark.slow) for name in COMMANDS | ONNX)],
)
def test_killed_and_run_again_it_gives_the_same_bits(name, kills, folder, tmp_path):
    line, places = (COMMANDS | ONNX)[name], (tmp_path / f"place-{number}" for number in itertools.count())

    def run(place, setup=None):
        log = tmp_path / f"log-{place.name}-{setup is None}"
        command = Command(filled(line, folder, place / "x"), log, partial(on_tiny_towers, setup))
        return command.wait(), command.err

    killed = killed_at_random(partial(next, places), run, kills, f"{name} {kills}", 4)
    plain, _ = next(killed)
    for place, moment in killed:
        if not (place / "x").exists() and not (place / "x.safetensors").exists():
            status, errors = run(place)
            assert status == 0, f"{moment}: {errors}"
        assert contents(place) == contents(plain), moment
        assert [path.name for path in place.iterdir()] == [path.name for path in plain.iterdir()]
