"""Every example runs as a script on tiny towers, and gives what the library, or PEFT, gives."""

import copy
import functools
import re
import runpy
import sys
from dataclasses import dataclass

import peft
import pytest
import torch
from helpers.adapter_towers import ARCHITECTURES, batch_of, filled, tower_of
from helpers.project import ROOT
from helpers.serving import write_adapters
from helpers.tiny import tiny_tower

import pecl
import pecl.data.registry
from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.merge import merge_slot
from pecl.cli import main
from pecl.errors import ConfigError

EXAMPLES = sorted(path.stem for path in (ROOT / "examples").glob("*.py"))


# Example -> its arguments, made in a folder (none for most), and a pattern of the last line it prints
RUNS = {
    "add_language": (lambda folder: [], "pos na přibrjohu"),
    "bank": (
        lambda folder: map(str, write_adapters(folder, ("de", "cs"), "lora:r=2")),
        r"cosine similarity of the two sentences: -?\d\.\d{3}",
    ),
    "custom_adapter": (lambda folder: [], r"AdapterDescription\(spec='ia3', trainable=224, .*"),
    "custom_loss": (lambda folder: [], r"\{'zero_shot': \d\.\d+, 'final': \d\.\d+, 'best': \d\.\d+\}"),
    "optuna_search": (lambda folder: ["2"], r"\{'lr': .*, 'alignment_weight': .*\} validation \d\.\d{3}"),
    "own_dataset": (lambda folder: [], r"ParallelCaptions.*"),
    "own_table": (lambda folder: [], r"R@1 .* before, .* after; adapter: .*"),
    "search": (lambda folder: [], r"[+-]\d\.\d{3}  scene-0-\d+\.png"),
}


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize("name", EXAMPLES)
def test_it_runs_as_a_script(name, small, photographs, tmp_path, monkeypatch, capsys):
    arguments, last = RUNS[name]
    monkeypatch.setattr(pecl, "load_text_encoder", lambda *_: tiny_tower().eval(), raising=False)
    few = functools.partial(pecl.data.registry.load_scenes, size=60)
    monkeypatch.setattr(pecl.data.registry, "load_scenes", few)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *arguments(tmp_path)])
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(last, printed[-1]), printed


@pytest.mark.usefixtures("registries")
def test_a_search_without_a_language_detects_it_and_a_table_without_one_is_refused(photographs, monkeypatch, capsys):
    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, arguments)])
        runpy.run_path(str(ROOT / "examples" / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    assert run("search", photographs, "dva psi na pláži") == run("search", photographs, "dva psi na pláži", "cs")
    with pytest.raises(SystemExit) as ended:
        run("own_table", "captions.csv")
    assert ended.value.code == 2
    assert "expected a language after captions.csv, such as de" in capsys.readouterr().err


def test_the_loss_of_a_hand_worked_pair(example):
    query, anchor = torch.tensor([[1.0, 0.0], [1.0, 2.0]]), torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    # inner products 1, 1, 1, 5 and 1, 0, 0, 1: differences 0, 1, 1, 4
    assert example("custom_loss").gram(query, anchor).item() == (0 + 1 + 1 + 16) / 4


def test_a_loss_of_other_arguments_is_refused(registries):
    with pytest.raises(ConfigError, match=r'loss: expected "two" to take \(query, anchor, images\)'):
        pecl.register_loss("two")(lambda query, anchor: query.sum())


FEED_FORWARD = r".*layer\.\d+\.output\.dense"


@pytest.fixture
def ia3(example):
    return example("custom_adapter")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_it_equals_pefts(ia3, architecture):
    tower = tower_of(architecture, torch.float32)
    reference = copy.deepcopy(tower)
    config = peft.IA3Config(target_modules=rf"{FEED_FORWARD}|.*\.(key|value)", feedforward_modules=FEED_FORWARD)
    reference.backbone = peft.get_peft_model(reference.backbone, config)
    state = filled(tower, "ia3").slot_state(0)
    for name, parameter in reference.backbone.named_parameters():
        if ".ia3_l." in name:
            own = name.replace("base_model.model.", "backbone.").replace(".ia3_l.default", ".scale")
            parameter.data = state.pop(own).view_as(parameter)
    assert not state
    torch.testing.assert_close(tower(*batch_of(tower)), reference(*batch_of(tower)), rtol=0, atol=1e-6)


def test_each_row_uses_its_own_slot_and_each_slot_merges(ia3):
    tower = tower_of("xlm-roberta")
    adapter = filled(tower, "ia3+lora", slots=3)
    slots = [2, 0, 1, 1, 2, 0]
    mixed = tower(*batch_of(tower), torch.tensor(slots))
    for slot in range(3):
        single = tower(*batch_of(tower), torch.full((6,), slot))
        rows = [i for i, own in enumerate(slots) if own == slot]
        torch.testing.assert_close(mixed[rows], single[rows], rtol=0, atol=1e-10)
        merged = merge_slot(adapter, slot)
        torch.testing.assert_close(merged(*batch_of(merged)), single, rtol=0, atol=1e-10)


def test_it_trains_and_its_file_serves(ia3, small):
    values = {**small, "rank": None, "gallery": "english", "image_weight": 0.0}
    result = ia3.main(**values)
    assert result.adapter.spec == "ia3"
    assert result.adapter.trainable == 2 * (32 + 32 + 48)  # two layers: keys, values, inner activations
    path = result.adapter_path
    assert any((scale - 1).abs().max() > 1e-4 for scale in load_adapter_file(path).state.values())
    again = pecl.evaluate(pecl.make_config({**values, "weights": str(path)}))
    assert again.adapter.spec == "ia3"


def test_what_is_no_adapter_is_refused(ia3):
    def registered(name):
        @pecl.register_adapter
        @dataclass(frozen=True)
        class Named(ia3.IA3Config):
            kind = name

    for name, message in [
        ("run_cross", '"run_cross" is built in'),  # a preset
        ("a+b", 'got "a.b"'),
    ]:
        with pytest.raises(ConfigError, match=message):
            registered(name)
    with pytest.raises(ConfigError, match="expected a frozen dataclass derived from AdapterConfig"):
        pecl.register_adapter(int)
    with pytest.raises(ConfigError, match=r"to be made without arguments: .*abstract"):
        pecl.register_adapter(type("NoPlacements", (pecl.AdapterConfig,), {"kind": "nothing"}))
    pecl.register_adapter(replace=True)(ia3.IA3Config)


@pytest.mark.usefixtures("registries")
def test_a_registered_data_set_is_trained_on_and_listed(small, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "examples" / "own_dataset.py"), run_name="__main__")
    assert len(list((tmp_path / "swatches").glob("*.json"))) == 1
    capsys.readouterr()
    assert main(["data", "list"]) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("swatches"))
    assert line.split()[1:3] == ["found", "de"]
    assert "plain squares of a colour" in line
    assert main(["data", "check", "swatches"]) == 0
