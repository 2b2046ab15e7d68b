"""Adapters that OpenDelta trained: the released checkpoints' pickle, and the names on both sides."""

import collections
import os
import typing

import pytest
import torch

from pecl.adapters.opendelta_states import from_opendelta_state_dict, load_released_checkpoint
from pecl.errors import WeightsError

QUERY = "encoder.layer.0.attention.self.query"
DENSE = "encoder.layer.3.output.dense"
NORM = "encoder.layer.0.output.LayerNorm"


def released_state(**tensors):
    """Made by calling `typing.OrderedDict`, as the released code makes it."""
    state = typing.OrderedDict()
    for name, tensor in tensors.items():
        state[name] = tensor
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
        with pytest.raises(Exception, match=r"typing\.OrderedDict"):  # the permission was for that call alone
            torch.load(path, weights_only=True)

    def test_reads_a_plain_state_dict(self, tmp_path):
        torch.save(collections.OrderedDict(a=torch.ones(2)), tmp_path / "x.ckpt")
        assert list(load_released_checkpoint(tmp_path / "x.ckpt")) == ["a"]

    def test_runs_nothing(self, tmp_path):
        torch.save(released_state(a=Runs()), tmp_path / "x.ckpt")
        with pytest.raises(WeightsError, match=r"x\.ckpt is no state dict that can be read safely") as caught:
            load_released_checkpoint(tmp_path / "x.ckpt")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ([torch.ones(1)], "holds a list, expected a dictionary of tensors"),
            ({"epoch": 3}, "'epoch' is a int, expected a tensor"),
        ],
    )
    def test_other_content(self, tmp_path, content, message):
        torch.save(content, tmp_path / "x.ckpt")
        with pytest.raises(WeightsError, match=message):
            load_released_checkpoint(tmp_path / "x.ckpt")

    def test_missing(self, tmp_path):
        with pytest.raises(WeightsError, match=r"no\.ckpt is missing"):
            load_released_checkpoint(tmp_path / "no.ckpt")

    @pytest.mark.parametrize("content", [b"", b"not a pickle", bytes(range(200))])
    def test_damaged(self, tmp_path, content):
        (tmp_path / "x.ckpt").write_bytes(content)
        with pytest.raises(WeightsError, match="no state dict that can be read safely"):
            load_released_checkpoint(tmp_path / "x.ckpt")

    def test_cut_short(self, tmp_path):
        torch.save(released_state(a=torch.randn(100)), tmp_path / "x.ckpt")
        whole = (tmp_path / "x.ckpt").read_bytes()
        (tmp_path / "x.ckpt").write_bytes(whole[: len(whole) // 2])
        with pytest.raises(WeightsError, match="no state dict that can be read safely"):
            load_released_checkpoint(tmp_path / "x.ckpt")


class TestFromOpenDeltaStateDict:
    @pytest.mark.parametrize("prefix", ["", "transformer.", "backbone."])
    def test_lora_with_layer_norms_and_head(self, prefix):
        state = {f"{prefix}{QUERY}.lora.lora_A": torch.ones(1), f"{prefix}{NORM}.weight": torch.zeros(1)}
        kind, converted = from_opendelta_state_dict(state | {"LinearTransformation.bias": torch.full((1,), 2.0)})
        assert kind == "lora"
        assert converted == {f"backbone.{QUERY}.lora_A": 1, f"backbone.{NORM}.weight": 0, "head.bias": 2}

    def test_no_delta(self):
        with pytest.raises(WeightsError, match="found none among 1 tensors"):
            from_opendelta_state_dict({f"{NORM}.weight": torch.ones(1)})

    def test_two_deltas(self):
        state = {f"{QUERY}.lora.lora_A": torch.ones(1), f"{DENSE}.compactor.up_sampler.b": torch.ones(1)}
        with pytest.raises(WeightsError, match="found compacter and lora"):
            from_opendelta_state_dict(state)
