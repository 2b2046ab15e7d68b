"""The example of an adapter: short, equal to PEFT's IA3, and usable wherever an adapter is named."""

import copy
import json
from dataclasses import dataclass

import peft
import pytest
import torch
from helpers.adapter_towers import ARCHITECTURES, batch_of, filled, tower_of
from helpers.project import ROOT

import pecl
from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.merge import merge_slot
from pecl.adapters.spec import describe, parse_adapter
from pecl.cli import main
from pecl.errors import ConfigError
from pecl.grid.launchers.base import check_workers_know

FEED_FORWARD = r".*layer\.\d+\.output\.dense"


@pytest.fixture
def ia3(example):
    return example("custom_adapter")


def test_the_example_takes_sixty_lines_at_most():
    text = (ROOT / "examples" / "custom_adapter.py").read_text("utf-8")
    assert len(text.splitlines()) <= 60


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


def test_a_fresh_one_is_the_identity(ia3):
    tower = tower_of("bert")
    plain = tower(*batch_of(tower))
    attach(tower, parse_adapter("ia3"))
    assert torch.equal(tower(*batch_of(tower)), plain)


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


def test_the_command_lists_it_and_errors_name_it(ia3, capsys):
    assert main(["adapters", "list", "--json"]) == 0
    (row,) = (row for row in json.loads(capsys.readouterr().out)["kinds"] if row["name"] == "ia3")
    assert row["parameters in XLM-R Large"] == 24 * (1024 + 1024 + 4096)
    assert row["what"] == "Scales of keys, values and inner activations"
    with pytest.raises(ConfigError, match=r"full, hard_prompt, head, ia3, .*did you mean 'ia3'"):
        parse_adapter("ia4")
    assert describe(parse_adapter("head+ia3")) == "head+ia3"


def test_workers_of_a_grid_are_not_sent_it(ia3):
    check_workers_know([pecl.make_config({"adapter": "lora"})])
    with pytest.raises(ConfigError, match='adapter: "ia3" is registered in this process only'):
        check_workers_know([pecl.make_config({"adapter": "lora+ia3"})])


def test_what_is_no_adapter_is_refused(ia3):
    def registered(name):
        @pecl.register_adapter
        @dataclass(frozen=True)
        class Named(ia3.IA3Config):
            kind = name

    for name, message in [
        ("ia3", '"ia3" is registered already'),
        ("lora", '"lora" is built in'),
        ("run_cross", '"run_cross" is built in'),  # a preset
        ("ia3-only", 'got "ia3-only"'),
        ("a+b", 'got "a.b"'),
    ]:
        with pytest.raises(ConfigError, match=message):
            registered(name)
    with pytest.raises(ConfigError, match="expected a frozen dataclass derived from AdapterConfig"):
        pecl.register_adapter(int)
    with pytest.raises(ConfigError, match=r"to be made without arguments: .*abstract"):
        pecl.register_adapter(type("NoPlacements", (pecl.AdapterConfig,), {"kind": "nothing"}))
    pecl.register_adapter(replace=True)(ia3.IA3Config)
