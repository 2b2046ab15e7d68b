"""The head of a language: all of it, or a change of low rank; merged, and on towers whose head has no bias."""

import pytest
import torch
from helpers.adapter_towers import TEXTS, filled, tower_of

from pecl.adapters.merge import merge_slot


def test_a_change_of_low_rank_is_what_its_name_says():
    tower = tower_of("xlm-roberta")
    batch = tower.pad(tower.tokenize(TEXTS), range(len(TEXTS)))
    with torch.no_grad():
        features = tower.pooled(batch.input_ids, batch.attention_mask)  # (B, 32)
        plain = tower(batch.input_ids, batch.attention_mask)
        adapter = filled(tower, "head:rank=3")
        down, up, shift = (adapter.slot_state(0)[f"head.{name}"] for name in ("down", "up", "shift"))
        assert (down.shape, up.shape, shift.shape) == ((3, 32), (8, 3), (8,))
        found = tower(batch.input_ids, batch.attention_mask)
    torch.testing.assert_close(found, plain + features @ (up @ down).T + shift, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("spec", ["head", "head:rank=3", "lora+head:rank=8"])
def test_merged_it_computes_the_same(spec, bias):
    tower = tower_of("xlm-roberta")
    if not bias:
        tower.head = torch.nn.Linear(32, 8, bias=False).double()
    adapter = filled(tower, spec, slots=2)
    merged = merge_slot(adapter, 1)
    slots = torch.ones(len(TEXTS), dtype=torch.long)
    expected = tower.encode_token_ids(tower.tokenize(TEXTS), slots=slots)
    torch.testing.assert_close(merged.encode_text(TEXTS, normalize=False), expected, rtol=0, atol=1e-6)
    assert (merged.head.bias is None) is (spec == "head" and not bias)
    assert (tower.head.base.bias is None) is not bias
