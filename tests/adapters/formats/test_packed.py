"""Parameters in steps: near to the original within half a step, of the same shapes, and checked when read."""

import json
import zlib

import numpy as np
import pytest
import torch

from pecl.adapters.formats.packed import pack, unpack


def drawn():
    draw = torch.Generator().manual_seed(0)
    shapes = {"layer.0.lora_A": (3, 40), "layer.1.lora_A": (3, 40), "layer.0.lora_B": (70, 3), "layer.0.norm": (17,)}
    return {name: torch.randn(*shape, generator=draw) * (i + 1) - 1 for i, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("step", [0.1, 0.2, 1.0])
def test_each_number_is_within_half_a_step_of_its_role(step):
    state = drawn()
    found = unpack(pack(state, step))
    assert {name: tensor.shape for name, tensor in found.items()} == {n: t.shape for n, t in state.items()}
    for roles, factor in ((("layer.0.lora_A", "layer.1.lora_A"), 1), (("layer.0.lora_B",), 0.5)):
        deviation = torch.cat([(state[name] - state[name].mean()).ravel() for name in roles]).std(correction=0)
        for name in roles:
            errors = (found[name] - state[name]).abs() / deviation
            assert step * factor / 4 < errors.max() <= step * factor / 2 * 1.001, name
    norm = state["layer.0.norm"]
    assert (found["layer.0.norm"] - norm).abs().max() <= (norm - norm.mean()).abs().max() / 127 / 2 * 1.001


def test_a_value_far_away_has_a_code_of_its_own():
    state = {"lora_A": torch.cat([torch.zeros(9_999), torch.tensor([50.0])]).reshape(100, 100)}
    assert unpack(pack(state, 0.2))["lora_A"][-1, -1] == pytest.approx(50, rel=0.01)


def test_codes_take_about_the_bits_of_their_entropy():
    values = torch.randn(2, 100, 200, generator=torch.Generator().manual_seed(1))
    entropy = np.log2(np.sqrt(2 * np.pi * np.e) / 0.2)  # bits a code of a normal distribution
    packed = pack({"0.lora_A": values[0], "1.lora_A": values[1]}, 0.2)
    assert 8 * len(packed["codes"]) / values.numel() == pytest.approx(entropy, abs=0.1)


def test_equal_values_are_kept():
    state = {"zeros": torch.zeros(4, 9), "ones": torch.ones(5)}
    assert all(torch.equal(value, state[name]) for name, value in unpack(pack(state, 0.2)).items())


def compressed(content):
    return torch.frombuffer(bytearray(zlib.compress(content)), dtype=torch.uint8)


def bomb():
    """16 MB of equal codes in 16 kB: the codes of zlib's other strategies repeat what came before."""
    codes = zlib.compress(bytes(1 << 24), 9)
    entry = ["layer.0.norm", [1 << 24], len(codes), 0.5, 0.1]
    tensor = torch.frombuffer(bytearray(codes), dtype=torch.uint8)
    return {"codes": tensor, "layout": compressed(json.dumps([entry]).encode())}


def damage(packed):
    longer = compressed(zlib.decompress(packed["layout"].numpy().tobytes()).replace(b"[17]", b"[18]"))
    one = [["layer.0.norm", [17], 20, 0.5, 0.1]]
    return {
        "fewer codes": ({**packed, "codes": packed["codes"][:-60]}, "norm|lora_B|expected"),
        "more codes": ({**packed, "codes": packed["codes"].repeat(2)}, "bytes of codes"),
        "codes of another parameter": ({**packed, "layout": longer}, "expected 18 codes"),
        "codes of another type": ({**packed, "codes": packed["codes"].bfloat16()}, "uint8"),
        "a bomb": (bomb(), "expected at most"),
        "no zlib": ({**packed, "layout": torch.arange(40, dtype=torch.uint8)}, "layout"),
        "a long layout": (
            {**packed, "layout": compressed(json.dumps(one * 100_000).encode())},
            "JSON|layout|Expecting|Unterminated",
        ),
        **{
            f"an entry {entry}": ({**packed, "layout": compressed(json.dumps([entry]).encode())}, "layout")
            for entry in (
                *(1, ["a", [2], 9, 0.5], ["a", [2], 0, 0.5, 0.1], ["a", [2], 9, "0", 0.1], ["a", [0], 9, 0.5, 0.1]),
                *(["a", [], 9, 0.5, 0.1], ["a", [True], 9, 0.5, 0.1], ["a", [-1, -17], 9, 0.5, 0.1]),
            )
        },
    }


@pytest.mark.parametrize("case", list(damage(pack(drawn(), 0.2))))
def test_what_does_not_fit_is_refused(case):
    broken, said = damage(pack(drawn(), 0.2))[case]
    with pytest.raises(ValueError, match=said):
        unpack(broken)
