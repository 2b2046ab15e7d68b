"""Adapters that OpenDelta trained: the released checkpoints' pickle, and the names on both sides."""

import os
import typing

import pytest
import torch
from helpers.tiny import sentences, tiny_tower

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import read_adapter
from pecl.adapters.formats.opendelta import from_opendelta_state_dict, infer_configs, load_released_checkpoint
from pecl.adapters.spec import parse_adapter
from pecl.errors import WeightsError

QUERY = "encoder.layer.0.attention.self.query"
NORM = "encoder.layer.0.output.LayerNorm"


def released_state(**tensors):
    """Made by calling `typing.OrderedDict`, as the released code makes it."""
    state = typing.OrderedDict()
    state.update(tensors)
    return state


class Runs:
    """Pickles to a call of os.system."""

    def __reduce__(self):
        return os.system, ("true",)


class TestLoadReleasedCheckpoint:
    def test_reads_what_torch_alone_refuses(self, tmp_path):
        path = tmp_path / "text_model_best.ckpt"
        state = released_state(**{f"transformer.{QUERY}.lora.lora_A": torch.randn(2, 8), "x": torch.ones(3)})
        torch.save(state, path)
        with pytest.raises(Exception, match=r"typing\.OrderedDict"):  # the reason for the function
            torch.load(path, weights_only=True)
        read = load_released_checkpoint(path)
        assert type(read) is dict
        assert list(read) == list(state)
        assert all(torch.equal(read[name], state[name]) for name in state)
        with pytest.raises(Exception, match=r"typing\.OrderedDict"):  # the permission was for that call only
            torch.load(path, weights_only=True)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (released_state(a=Runs()), "expected a state dict that can be read safely"),  # and runs nothing
            ([torch.ones(1)], "holds a list, expected a dictionary of tensors"),
            (None, "is missing"),
        ],
    )
    def test_refuses(self, tmp_path, content, message):
        path = tmp_path / "x.ckpt"
        if content is not None:
            torch.save(content, path)
        with pytest.raises(WeightsError, match=rf"x\.ckpt.* {message}") as caught:
            load_released_checkpoint(path)
        assert "\n" not in str(caught.value)


class TestFromOpenDeltaStateDict:
    @pytest.mark.parametrize("prefix", ["", "transformer."])
    def test_lora_with_layer_norms_and_head(self, prefix):
        state = {f"{prefix}{QUERY}.lora.lora_A": torch.ones(1), f"{prefix}{NORM}.weight": torch.zeros(1)}
        state[f"{prefix}pooler.dense.bias"] = torch.ones(1)  # of which no embedding depends
        kind, converted = from_opendelta_state_dict(state | {"LinearTransformation.bias": torch.full((1,), 2.0)})
        assert kind == "lora"
        assert converted == {f"backbone.{QUERY}.lora_A": 1, f"backbone.{NORM}.weight": 0, "head.bias": 2}


def layer_state(method, shapes, modules):
    """A state of two layers, with both LayerNorms of each."""
    names = [f"transformer.encoder.layer.{i}.{module}.{method}" for i in range(2) for module in modules]
    state = {f"{name}.{key}": torch.zeros(shape) for name in names for key, shape in shapes.items()}
    norms = [
        f"transformer.encoder.layer.{i}.{norm}.LayerNorm" for i in range(2) for norm in ("attention.output", "output")
    ]
    return state | {f"{name}.{key}": torch.zeros(64) for name in norms for key in ("weight", "bias")}


LORA = {"lora_A": (3, 64), "lora_B": (64, 3)}
COMPACTER = {
    "down_sampler.phm_rule": (2, 2, 2),
    "down_sampler.W_left": (2, 32, 1),
    "down_sampler.W_right": (2, 1, 5),
    "down_sampler.b": (10,),  # 64 // 6
    "up_sampler.b": (64,),
}
BOTTLENECK = {"down_proj.weight": (7, 64), "down_proj.bias": (7,), "up_proj.weight": (64, 7), "up_proj.bias": (64,)}
DENSE_LAYERS = ("attention.output.dense", "output.dense")
QUERY_KEY_VALUE = tuple(f"attention.self.{name}" for name in ("query", "key", "value"))
HEAD = {"LinearTransformation.weight": torch.zeros(8, 64)}


class TestInferConfigs:
    @pytest.mark.parametrize(
        ("state", "spec"),
        [
            (layer_state("lora", LORA, QUERY_KEY_VALUE[::2]), "lora:r=3"),
            (layer_state("adapter.modulelist", BOTTLENECK, DENSE_LAYERS), "bottleneck:bottleneck_dim=7"),
            (layer_state("compactor", COMPACTER, DENSE_LAYERS), "compacter:reduction_factor=6,phm_dim=2"),
            ({"transformer.soft_prompt_layer.soft_embeds": torch.zeros(5, 64)}, "soft_prompt:num_virtual_tokens=5"),
            (
                layer_state("lora", LORA, (*QUERY_KEY_VALUE, "attention.output.dense")) | HEAD,
                "lora:r=3,target_modules=query/key/value/attention_output+head",
            ),
        ],
        ids=["lora", "bottleneck", "compacter", "soft_prompt", "run_cross"],
    )
    def test_as_far_as_names_and_shapes_tell(self, state, spec):
        assert infer_configs(*from_opendelta_state_dict(state)) == parse_adapter(spec)


@pytest.mark.parametrize("spec", ["lora:r=2+head", "soft_prompt"])
def test_a_released_checkpoint_becomes_an_adapter(tmp_path, spec):
    """Written under M-CLIP's names as the released code writes it, and read back into a tower."""
    tower = tiny_tower()
    adapter = attach(tower, parse_adapter(spec))
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter)
    theirs = {"backbone.": "transformer.", "head.": "LinearTransformation.", ".lora_": ".lora.lora_"}
    theirs["embeddings.word_embeddings.prompt"] = "soft_prompt_layer.soft_embeds"
    state = {}
    for name, tensor in adapter.slot_state(0).items():
        for ours, other in theirs.items():
            name = name.replace(ours, other)
        state[name] = tensor
    torch.save(released_state(**state), tmp_path / "text_model_best.ckpt")
    expected = tower.encode_text(sentences(5))
    adapter.remove()

    read = read_adapter(tmp_path / "text_model_best.ckpt", tower, "de")
    attach(tower, read.configs).load_slot_state(0, read.state)
    torch.testing.assert_close(tower.encode_text(sentences(5)), expected, atol=0, rtol=0)
    tower.adapter.remove()
    with pytest.raises(WeightsError, match="does not fit the text tower"):
        read_adapter(tmp_path / "text_model_best.ckpt", tower, "de", parse_adapter("lora:r=3"))
