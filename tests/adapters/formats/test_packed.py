"""Parameters in few bits: near to the original within half a step, of the same shapes, and checked when read."""

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


@pytest.mark.parametrize("bits", [2, 4, 5, 8])
def test_each_number_is_within_half_a_step_of_its_group_and_the_codes_have_no_gaps(bits):
    state = drawn()
    packed = pack(state, bits)
    found = unpack(packed)
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in state.items()}
    size = 0
    for name, tensor in state.items():
        own = min(bits + (tensor.ndim == 1), 8)
        size += -(-tensor.numel() * own // 8)
        axis = int(np.argmax(tensor.shape))
        span = tensor.amax(axis, keepdim=True) - tensor.amin(axis, keepdim=True)
        rounding = tensor.abs().amax() * 2**-11  # of the range, in 16 bits
        assert torch.all((found[name] - tensor).abs() <= span / (2**own - 1) / 2 + 2 * rounding), name
    assert len(packed["codes"]) == size


def test_a_group_of_one_value_keeps_it():
    state = {"zeros": torch.zeros(4, 9), "ones": torch.ones(5)}
    assert all(torch.equal(value, state[name]) for name, value in unpack(pack(state, 4)).items())


def compressed(content):
    return torch.frombuffer(bytearray(zlib.compress(content)), dtype=torch.uint8)


def damage(packed):
    one = [["layer.0.norm", [17], 5]]
    return {
        "fewer codes": ({**packed, "codes": packed["codes"][:-1]}, "got fewer"),
        "more codes": ({**packed, "codes": packed["codes"].repeat(2)}, "belong to no parameter"),
        "fewer ranges": ({**packed, "ranges": packed["ranges"][:-1]}, "got fewer"),
        "ranges of another type": ({**packed, "ranges": packed["ranges"].float()}, "expected codes"),
        "no zlib": ({**packed, "layout": packed["codes"]}, "layout"),
        "a long layout": (
            {**packed, "layout": compressed(json.dumps(one * 100_000).encode())},
            "JSON|layout|Unterminated",
        ),
        **{
            f"an entry {entry}": ({**packed, "layout": compressed(json.dumps([entry]).encode())}, "layout")
            for entry in (1, ["a", [2], 9], ["a", [0], 4], ["a", [], 4], ["a", [True], 4], ["a", [-1, -17], 4])
        },
    }


@pytest.mark.parametrize("case", list(damage(pack(drawn(), 4))))
def test_what_does_not_fit_is_refused(case):
    broken, said = damage(pack(drawn(), 4))[case]
    with pytest.raises(ValueError, match=said):
        unpack(broken)
