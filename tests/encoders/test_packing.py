"""A packed pass against the padded one: same embeddings, same gradients, and packed only where that is right."""

import pytest
import torch
from helpers.adapter_towers import batch_of, filled, tower_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.encoders import attention
from pecl.encoders.layers import can_pack
from pecl.encoders.packing import Packing
from pecl.encoders.passes import choice, packed

PER_TOKEN = ("lora+head", "bottleneck", "compacter:reduction_factor=4,phm_dim=2", "bitfit", "word_embeddings:rank=3")
LONG, ALIKE = "two small dogs and a man on a long beach in the sun", "a man and a car on a beach"
TEXTS = ["a dog", LONG, ALIKE, "a red car stands in a street"]  # the last two are padded to one length


@pytest.fixture
def packed_passes(monkeypatch):
    """Counts the passes that are packed."""
    calls = []
    monkeypatch.setattr(choice, "packed", lambda *a: calls.append(1) or packed.packed(*a))
    return calls


def both_ways(tower, parameters, slots=None):
    """Embeddings and gradients with and without packing."""
    inputs, found = batch_of(tower, TEXTS), []
    for tower.packing in (True, False):
        embeddings = tower(*inputs, slots)
        gradients = torch.autograd.grad(embeddings.square().sum(), parameters) if parameters else ()
        found.append((embeddings, *gradients))
    return found


# Rows of one slot; in slot order, as in a fleet; mixed, as in a bank. Segments of the slots are of different lengths
SLOTS = [
    ("xlm-roberta", [1, 1, 1, 1]),
    ("bert", [0, 0, 1, 2]),
    ("labse", [2, 1, 1, 0]),
]


@pytest.mark.parametrize("spec", PER_TOKEN)
@pytest.mark.parametrize(("architecture", "slots"), SLOTS)
def test_embeddings_and_gradients_are_those_of_the_padded_batch(architecture, slots, spec, packed_passes):
    tower = tower_of(architecture)
    adapter = filled(tower, spec, slots=3)
    packed, padded = both_ways(tower, adapter.parameters(), torch.tensor(slots))
    assert len(packed_passes) == 1
    torch.testing.assert_close(packed, padded, rtol=1e-9, atol=1e-10)


def test_a_batch_with_little_padding_is_not_packed(packed_passes):
    tower = tower_of("bert")
    tower(*batch_of(tower, ["a dog runs", "a cat sits"]))
    assert not packed_passes
    tower(*batch_of(tower, TEXTS))
    assert packed_passes


def test_other_attentions_and_architectures_are_left_alone():
    tower = tower_of("bert")
    assert can_pack(tower.backbone)
    layer = tower.backbone.encoder.layer[0]
    layer.forward = layer.forward  # as other libraries wrap it
    assert not can_pack(tower.backbone)
    del layer.forward
    tower.backbone.config._attn_implementation = "eager"
    assert not can_pack(tower.backbone)
    tower.backbone.config._attn_implementation = "sdpa"
    tower.backbone.config.model_type = "deberta"
    assert not can_pack(tower.backbone)


def test_replaced_forwards_are_found_anywhere_without_the_slow_walk(monkeypatch):
    """The answer follows every change of a module, and `modules()`, which builds names, is not called."""
    backbone = tower_of("bert").backbone
    modules = list(backbone.modules())
    monkeypatch.setattr(backbone, "modules", None, raising=True)
    for module in modules:
        assert can_pack(backbone)
        module.forward = module.forward
        assert not can_pack(backbone)
        del module.forward
    layer = backbone.encoder.layer[0]
    before, replacement = layer.output.dense, torch.nn.Linear(1, 1)
    replacement.forward = replacement.forward
    backbone.set_submodule("encoder.layer.0.output.dense", replacement)  # as adapters are attached
    assert not can_pack(backbone)
    backbone.set_submodule("encoder.layer.0.output.dense", before)  # and removed
    assert can_pack(backbone)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_rows_of_like_length_are_a_batch_each(lengths):
    """Every row is in one batch, no row is much shorter than its batch, and each token comes back to its place."""
    mask = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()  # (B, L)
    found = Packing(mask)
    assert sorted(row for batch in found.batches for row in batch.rows.tolist()) == list(range(len(lengths)))
    for batch in found.batches:
        own = [lengths[row] for row in batch.rows.tolist()]
        assert max(own) == batch.length
        assert min(own) ** 2 >= 0.75 * batch.length**2
    packed = torch.randn(sum(lengths), 3, dtype=torch.float64, requires_grad=True)
    whole = found.unpack(packed.unsqueeze(0))
    assert not whole[mask == 0].any()
    assert torch.equal(found.pack(whole).squeeze(0), packed)
    batches = attention._ToBatches.apply(packed, found.batches)
    for batch, padded in zip(found.batches, batches, strict=True):
        torch.testing.assert_close(padded, whole[batch.rows][:, : batch.length])
    again = attention._FromBatches.apply(found.batches, len(packed), *batches)
    torch.testing.assert_close(again, packed)
    weights = torch.randn_like(again)
    (gradient,) = torch.autograd.grad((again * weights).sum(), packed)
    torch.testing.assert_close(gradient, weights)
