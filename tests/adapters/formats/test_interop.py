"""PEFT's format both ways, and conversion, on tiny towers."""

import copy
import json

import peft
import pytest
import torch
from helpers.adapter_towers import TEXTS, filled, states, tower_of

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import load_adapter_file, read_adapter, save_adapter, write_adapter
from pecl.adapters.formats.peft import read_peft, write_peft
from pecl.adapters.spec import parse_adapter
from pecl.apps.export.folders import save_text_encoder
from pecl.errors import ConfigError, WeightsError


@pytest.mark.parametrize("architecture", ["xlm-roberta", "labse"])
@pytest.mark.parametrize(
    "spec",
    [
        "lora-only:r=3,lora_alpha=5.0,lora_dropout=0.25",
        "lora:layers=top-1",
        "lora-only:target_modules=attention_output+layernorm:target_modules=output_norm",
    ],
)
def test_peft_loads_what_pecl_writes(architecture, spec, tmp_path):
    tower = tower_of(architecture, torch.float32)
    plain = copy.deepcopy(tower)
    adapter = filled(tower, spec)
    write_peft(tmp_path / "peft", adapter.slot_state(0), adapter.configs, tower)
    plain.backbone = peft.PeftModel.from_pretrained(plain.backbone, tmp_path / "peft").eval()
    expected = tower.encode_text(TEXTS)
    torch.testing.assert_close(plain.encode_text(TEXTS), expected, rtol=0, atol=1e-5)
    with pytest.raises(ConfigError, match="has an adapter"):
        save_text_encoder(tower, tmp_path / "tower")
    configs, state = read_peft(tmp_path / "peft", tower)
    assert configs == adapter.configs
    assert state.keys() == adapter.slot_state(0).keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in adapter.slot_state(0).items())


PEFT_CONFIGS = {
    "expression": (
        {"target_modules": r".*\.\d+\.output\.dense", "r": 2, "lora_alpha": 6},
        "lora-only:r=2,lora_alpha=6.0,target_modules=output",
    ),
    "layer norms": ({"target_modules": ["query", "value"], "modules_to_save": ["output.LayerNorm"]}, "lora"),
    "top layer": (
        {"target_modules": ["query", "value"], "layers_to_transform": [1], "layers_pattern": "layer"},
        "lora-only:layers=top-1",
    ),
    "dropout": ({"target_modules": ["key"], "lora_dropout": 0.25}, "lora-only:lora_dropout=0.25,target_modules=key"),
    "rslora": ({"target_modules": ["query", "value"], "r": 4, "lora_alpha": 8, "use_rslora": True}, None),
}


@pytest.mark.parametrize("name", PEFT_CONFIGS)
def test_pecl_loads_what_peft_writes(name, tmp_path):
    options, spec = PEFT_CONFIGS[name]
    tower = tower_of("labse", torch.float32)
    theirs = copy.deepcopy(tower)
    options = {"r": 8, "lora_alpha": 16} | options
    theirs.backbone = peft.get_peft_model(theirs.backbone, peft.LoraConfig(**options)).eval()
    for parameter in theirs.backbone.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1 * torch.randn_like(parameter)
    theirs.backbone.save_pretrained(tmp_path)
    adapter = read_adapter(tmp_path, tower, "de")
    if spec is not None:
        assert adapter.configs == parse_adapter(spec)
    attach(tower, adapter.configs).load_slot_state(0, adapter.state)
    torch.testing.assert_close(tower.encode_text(TEXTS), theirs.encode_text(TEXTS), rtol=0, atol=1e-5)


@pytest.fixture
def written(tmp_path):
    """A tower and, in `tmp_path`, a LoRA of it in PEFT's format."""
    tower = tower_of("bert", torch.float32)
    write_peft(tmp_path, states(tower)[0], parse_adapter("lora"), tower)
    return tower


def change_options(folder, change):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"r": "eight"}, 'r: expected a whole number >= 1, got "eight"'),
        ({"use_dora": True}, "use_dora: pecl computes only False, got True"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights: .* got 'pissa'"),
    ],
)
def test_peft_adapters_that_pecl_cannot_compute_are_refused(written, change, message, tmp_path):
    change_options(tmp_path, change)
    with pytest.raises(WeightsError, match=message):
        read_peft(tmp_path, written)


def test_a_folder_of_adapterhub_is_refused_in_a_sentence(tmp_path):
    config = {"config": {"architecture": "lora", "r": 8}, "model_class": "BertAdapterModel", "version": "adapters.1.0"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(WeightsError, match="expected the config of a LoRA in PEFT's format"):
        read_adapter(tmp_path, tower_of("bert", torch.float32), "de")


def test_conversion_there_and_back(tmp_path):
    tower = tower_of("bert", torch.float32)
    state = states(tower)[0]
    source = save_adapter(tmp_path / "de.safetensors", state, parse_adapter("lora"), "de", tower)
    folder = write_adapter(tmp_path / "peft", read_adapter(source, tower), tower)
    without_language = read_adapter(folder, tower)
    with pytest.raises(ConfigError, match="does not state its language"):
        write_adapter(tmp_path / "again.safetensors", without_language, tower)
    again = write_adapter(tmp_path / "again.safetensors", read_adapter(folder, tower, "de"), tower)
    assert all(torch.equal(tensor, state[name]) for name, tensor in load_adapter_file(again, tower).state.items())
    with pytest.raises(ConfigError, match="already contains its configuration; leave adapter out"):
        read_adapter(folder, tower, "de", parse_adapter("lora"))
    assert tower.adapter is None
