"""Packed parameters are near to the original: as far off as their steps."""

import pytest
import torch

from pecl.adapters.formats.packed import pack, unpack


def drawn():
    draw = torch.Generator().manual_seed(0)
    shapes = {"layer.0.lora_A": (3, 400), "layer.1.lora_A": (3, 400), "head.up": (500, 3), "layer.0.norm": (1500,)}
    return {name: torch.randn(*shape, generator=draw) * (i + 1) - 1 for i, (name, shape) in enumerate(shapes.items())}


@pytest.mark.parametrize("step", [0.1, 1.0])
def test_numbers_are_as_far_off_as_the_steps_of_their_role_say(step):
    """Rounding to steps of length s has the variance D = s²/12; fitted to values of the variance V, it is VD / (V + D).

    The root mean square of N such errors has a relative standard error of .447 / sqrt(N), .013 for the smallest tensor
    here, so .04 is three of them. A step that is measured around 0 instead of the mean is 5 % too long for `head.up`.
    """
    state = drawn()
    state["layer.1.norm"] = 50 * state["layer.0.norm"]  # vectors share no step
    unpacked = unpack(pack(state, step))
    assert {name: tensor.shape for name, tensor in unpacked.items()} == {n: t.shape for n, t in state.items()}
    lora, norms = ("layer.0.lora_A", "layer.1.lora_A"), ("layer.0.norm", "layer.1.norm")
    for names, factor in ((lora, 1), (("head.up",), 0.5), *(((norm,), 0.5) for norm in norms)):
        deviation = torch.cat([(state[name] - state[name].mean()).ravel() for name in names]).std(correction=0)
        for name in names:
            variance = state[name].var(correction=0)
            rounding = (step * factor * deviation) ** 2 / 12
            errors = (unpacked[name] - state[name]).square().mean().sqrt()
            assert errors == pytest.approx((variance * rounding / (variance + rounding)).sqrt().item(), rel=0.04), name
            steps = unpacked[name] - state[name].mean()  # least squares: no longer or shorter step is nearer
            assert (steps * (unpacked[name] - state[name])).sum().abs() < 1e-3 * steps.square().sum(), name


def words(rows, columns, rank, smaller=0.5):
    """Vectors (rows, rank) and up (columns, rank); each column of the vectors is smaller than the one before."""
    draw = torch.Generator().manual_seed(0)
    sizes = smaller ** torch.arange(rank)
    return {
        "words.vectors": torch.randn(rows, rank, generator=draw) * sizes,
        "words.up": torch.randn(columns, rank, generator=draw),
    }


def product(state):
    return state["words.vectors"] @ state["words.up"].T


@pytest.mark.parametrize(("rows", "rank"), [(300, 8), (3, 8)])
def test_word_embeddings_are_stored_along_the_singular_vectors_of_their_product(rows, rank):
    """So a rotation of the factors changes neither what is stored nor its size. The rank may exceed both sizes."""
    state = words(rows, 30, rank)
    rotation = torch.linalg.qr(torch.randn(rank, rank, generator=torch.Generator().manual_seed(1)))[0]
    packed, turned = (
        pack(factors, 0.1) for factors in (state, {name: factor @ rotation for name, factor in state.items()})
    )
    assert len(packed["codes"]) == pytest.approx(len(turned["codes"]), rel=0.02)
    unpacked = unpack(packed)
    assert {name: tensor.shape for name, tensor in unpacked.items()} == {n: t.shape for n, t in state.items()}
    exact = product(state)
    assert (product(unpacked) - exact).norm() < 0.25 * exact.norm()
    assert (product(unpack(turned)) - product(unpacked)).norm() < 0.1 * exact.norm()


def test_whole_numbers_are_kept():
    tokens = torch.tensor([[0, 5, 250_001, 2**31 - 1, 2**31 - 1], [3, 2, 1, -7, 0]], dtype=torch.int32)
    assert torch.equal(unpack(pack({"words.tokens": tokens, "norm": torch.ones(3)}, 0.2))["words.tokens"], tokens)
