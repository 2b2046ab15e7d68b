"""Every example runs as a script, from its first line to its last, on tiny towers."""

import functools
import re
import runpy
import sys

import pytest
from helpers.adapter_towers import filled
from helpers.project import ROOT
from helpers.tiny import tiny_tower

import pecl
import pecl.data.registry
import pecl.experiment.run
from pecl.adapters.formats.files import save_adapter
from pecl.search.build import build_index

EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


def table_of(folder):
    (folder / "captions-hsb.csv").write_text("en,hsb\na dog,pos\n", "utf-8")
    return [str(folder / "captions-hsb.csv")]


def adapters_of(folder):
    paths = []
    for language in ("de", "cs"):
        tower = tiny_tower().eval()
        adapter = filled(tower, "lora:r=2")
        path = folder / f"{language}.safetensors"
        paths.append(str(save_adapter(path, adapter.slot_state(0), adapter.configs, language, tower)))
    return paths


# Example -> its arguments, made in a folder that has a table of captions; and a pattern of the last line it prints
RUNS = {
    "add_language": (table_of, "pos"),
    "bank": (adapters_of, r"cosine similarity of the two sentences: -?\d\.\d{3}"),
    "custom_adapter": (lambda folder: [], r"AdapterDescription\(spec='ia3', trainable=224, .*"),
    "custom_loss": (lambda folder: [], r"\{'zero_shot': \d\.\d+, 'final': \d\.\d+, 'best': \d\.\d+\}"),
    "own_dataset": (lambda folder: [], r"ParallelCaptions.*"),
    "own_table": (lambda folder: [str(folder / "captions.csv"), "de"], r"R@1 .* before, .* after; adapter: .*"),
    "search": (lambda folder: [str(folder / "photographs"), "pes na pláži", "cs"], r"[+-]\d\.\d{3}  \S+\.\w+"),
}


def test_every_example_is_run():
    assert sorted(RUNS) == EXAMPLES


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("name", EXAMPLES)
def test_it_runs_as_a_script(name, small, photographs, tmp_path, monkeypatch, capsys):
    arguments, last = RUNS[name]
    if name == "search":
        build_index(photographs)
    monkeypatch.setattr(pecl, "load_text_encoder", lambda *_: tiny_tower().eval(), raising=False)
    few = functools.partial(pecl.data.registry.load_scenes, size=50)
    monkeypatch.setattr(pecl.data.registry, "load_scenes", few)
    if name == "own_table":  # the shots of the example are more than the table of the tests has
        fewer = {"shots": 6}
        monkeypatch.setattr(pecl, "train", lambda values: pecl.experiment.run.train({**values, **fewer}), raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(last, printed[-1]), printed
