"""Parameters in few levels: near to the original within half a step, of the same shapes, and checked when read."""

import json
import zlib

import numpy as np
import pytest
import torch

from pecl.adapters.formats.packed import pack, unpack


def drawn():
    draw = torch.Generator().manual_seed(0)
    shapes = {"layer.0.lora_A": (3, 40), "layer.0.lora_B": (70, 3), "layer.0.norm": (17,), "deep": (2, 3, 5)}
    return {name: torch.randn(*shape, generator=draw) * 3 - 1 for name, shape in shapes.items()}


@pytest.mark.parametrize("levels", [2, 16, 27, 256])
def test_each_number_is_within_half_a_step_of_its_group(levels):
    state = drawn()
    found = unpack(pack(state, levels))
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in state.items()}
    for name, tensor in state.items():
        own = min(levels * (1 + (tensor.ndim == 1)), 256)
        axis = int(np.argmax(tensor.shape))
        span = tensor.amax(axis, keepdim=True) - tensor.amin(axis, keepdim=True)
        rounding = tensor.abs().amax() * 2**-11  # of the range, in 16 bits
        assert torch.all((found[name] - tensor).abs() <= span / (own - 1) / 2 + 2 * rounding), name


def test_codes_take_about_the_bits_of_their_entropy():
    values = torch.randn(4, 20_000, generator=torch.Generator().manual_seed(1))
    packed = pack({"lora_A": values}, 64)
    steps = (values.amax(1) - values.amin(1)) / 63
    entropy = (np.log2(np.sqrt(2 * np.pi * np.e)) - steps.log2()).mean().item()  # bits a code of a normal distribution
    assert 8 * len(packed["codes"]) / values.numel() == pytest.approx(entropy, abs=0.1)


def test_a_group_of_one_value_keeps_it():
    state = {"zeros": torch.zeros(4, 9), "ones": torch.ones(5)}
    assert all(torch.equal(value, state[name]) for name, value in unpack(pack(state, 4)).items())


def compressed(content):
    return torch.frombuffer(bytearray(zlib.compress(content)), dtype=torch.uint8)


def swapped(layout):
    """The layout whose norm has one value more."""
    return compressed(zlib.decompress(layout.numpy().tobytes()).replace(b"[17]", b"[18]"))


def damage(packed):
    one = [["layer.0.norm", [17], 5, 20]]
    return {
        "fewer codes": ({**packed, "codes": packed["codes"][:-1]}, "got fewer"),
        "codes of another parameter": ({**packed, "layout": swapped(packed["layout"])}, "expected 18 codes"),
        "more codes": ({**packed, "codes": packed["codes"].repeat(2)}, "belong to no parameter"),
        "fewer ranges": ({**packed, "ranges": packed["ranges"][:-1]}, "got fewer"),
        "ranges of another type": ({**packed, "ranges": packed["ranges"].float()}, "expected codes"),
        "no zlib": ({**packed, "layout": torch.arange(40, dtype=torch.uint8)}, "layout"),
        "a long layout": (
            {**packed, "layout": compressed(json.dumps(one * 100_000).encode())},
            "JSON|layout|Expecting",
        ),
        **{
            f"an entry {entry}": ({**packed, "layout": compressed(json.dumps([entry]).encode())}, "layout")
            for entry in (
                *(1, ["a", [2], 257, 9], ["a", [2], 1, 9], ["a", [2], 4, 0], ["a", [2], 4]),
                *(["a", [0], 4, 9], ["a", [], 4, 9], ["a", [True], 4, 9], ["a", [-1, -17], 4, 9]),
            )
        },
    }


@pytest.mark.parametrize("case", list(damage(pack(drawn(), 4))))
def test_what_does_not_fit_is_refused(case):
    broken, said = damage(pack(drawn(), 4))[case]
    with pytest.raises(ValueError, match=said):
        unpack(broken)
