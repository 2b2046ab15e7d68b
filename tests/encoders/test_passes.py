"""The table of passes: which pass a batch takes, by the tower, its adapter, its cache and the batch's padding."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from helpers.adapter_towers import batch_of, filled, tower_of

from pecl.adapters.adapter import attach
from pecl.adapters.merge import second_tower
from pecl.adapters.spec import parse_adapter
from pecl.encoders.passes.choice import choose_pass
from pecl.encoders.passes.inputs import PassInputs

EVEN = ["one of two words"] * 3
UNEVEN = ["a", "a much longer text than the other, so that half of the batch is padding"]


def chosen(tower, texts, is_cached=False):
    with tower.caching([tower.tokenize(texts)]) if is_cached else nullcontext():
        return choose_pass(tower, PassInputs(*batch_of(tower, texts))).__name__


@pytest.mark.parametrize(
    ("spec", "texts", "is_cached", "expected"),
    [
        (None, EVEN, False, "padded"),
        (None, UNEVEN, False, "packed"),
        ("lora", UNEVEN, False, "packed"),
        ("prefix", UNEVEN, False, "padded"),
        ("soft_prompt", UNEVEN, False, "prompted"),
        ("soft_prompt+head", EVEN, True, "prompted"),
        ("lora:layers=top-1", EVEN, True, "packed_from_cache"),
        ("prefix:layers=top-1", EVEN, True, "padded_from_cache"),
        ("head", UNEVEN, True, "pooled_from_cache"),
    ],
)
def test_each_row_of_the_table(spec, texts, is_cached, expected):
    tower = tower_of("xlm-roberta")
    if spec is not None:
        filled(tower, spec)
    assert chosen(tower, texts, is_cached) == expected


def test_training_ignores_the_cache_and_a_tower_may_refuse_to_pack():
    tower = tower_of("xlm-roberta")
    filled(tower, "head")
    with tower.caching([tower.tokenize(UNEVEN)]):
        tower.train()
        assert chosen(tower, UNEVEN) == "packed"
    tower.packing = False
    assert chosen(tower, UNEVEN) == "padded"


def test_a_runtime_computes_every_batch_and_a_second_tower_has_it_too():
    tower = tower_of("xlm-roberta")
    tower.runtime = SimpleNamespace(
        name="a package", precision="bf16", __name__="runtime", computes=lambda tower: tower.pooling != "cls"
    )
    second = second_tower(tower)
    filled(second, "soft_prompt+head")
    for one in (tower, second):
        with torch.no_grad():
            assert (chosen(one, UNEVEN), one.may_pack) == ("runtime", False)
        assert chosen(one, UNEVEN) != "runtime"  # gradients
        one.pooling = "cls"
        with torch.no_grad():
            assert chosen(one, UNEVEN) != "runtime"  # what it does not compute


def test_a_fingerprint_that_comes_after_an_adapter_is_refused():
    tower = tower_of("bert")
    adapter = attach(tower, parse_adapter("lora"))
    fixed = tower.fingerprint
    tower._fingerprint = None
    with pytest.raises(RuntimeError, match="expected it before an adapter"):
        tower.fix_fingerprint()
    adapter.remove()
    assert tower.fix_fingerprint() == fixed
