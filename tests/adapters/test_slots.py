"""Slots of an adapter, and the head of a language: all of it, or a change of low rank."""

import pytest
import torch
from helpers.adapter_towers import TEXTS, filled, tower_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.adapters.groups import SlotGroups
from pecl.adapters.slots import SlotRows


@settings(deadline=None)
@given(
    st.integers(1, 4),
    st.lists(st.integers(0, 3), min_size=1, max_size=9),
    st.booleans(),
    st.booleans(),
    st.integers(0, 1000),
)
def test_every_layout_gives_each_row_its_own_linear_layer(num_slots, slots, bias, flat, seed):
    generator = torch.Generator().manual_seed(seed)
    slots = torch.tensor(slots) % num_slots
    weight = torch.randn(num_slots, 5, 3, generator=generator)
    shift = torch.randn(num_slots, 5, generator=generator) if bias else None
    x = torch.randn(len(slots), 3, generator=generator) if flat else torch.randn(len(slots), 4, 3, generator=generator)
    rows = SlotRows(num_slots)
    rows.select(slots, len(slots))
    expected = [x[i] @ weight[s].T + (shift[s] if bias else 0) for i, s in enumerate(slots.tolist())]
    torch.testing.assert_close(rows.linear(x, weight, shift), torch.stack(expected), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rows.take(weight).expand(len(slots), 5, 3), weight[slots])


@settings(deadline=None)
@given(
    st.integers(2, 4), st.lists(st.tuples(st.integers(0, 3), st.integers(1, 5)), min_size=1, max_size=9), st.booleans()
)
def test_a_packed_batch_gives_each_token_the_layer_of_its_row(num_slots, drawn, in_order):
    """Slots and lengths of rows: in slot order, as in a fleet, or mixed; then the rows themselves again."""
    drawn = sorted(drawn) if in_order else drawn
    slots = torch.tensor([slot for slot, _ in drawn]) % num_slots
    lengths = torch.tensor([length for _, length in drawn])
    generator = torch.Generator().manual_seed(len(drawn))
    weight, shift, x, pooled = (
        torch.randn(*shape, generator=generator)
        for shape in ((num_slots, 5, 3), (num_slots, 5), (1, int(lengths.sum()), 3), (len(drawn), 3))
    )
    rows = SlotRows(num_slots)
    rows.select(slots, len(slots))
    rows.pack(lengths)
    of_tokens = slots.repeat_interleave(lengths)
    expected = torch.stack([x[0, i] @ weight[s].T + shift[s] for i, s in enumerate(of_tokens.tolist())])[None]
    torch.testing.assert_close(rows.linear(x, weight, shift), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rows.spread(shift, expected).expand_as(expected)[0], shift[of_tokens])
    of_each = rows.each(x, torch.nn.functional.linear, weight, shift)
    torch.testing.assert_close(of_each, expected, rtol=1e-5, atol=1e-5)
    rows.pack(None)
    expected = torch.stack([pooled[i] @ weight[s].T + shift[s] for i, s in enumerate(slots.tolist())])
    torch.testing.assert_close(rows.linear(pooled, weight, shift), expected, rtol=1e-5, atol=1e-5)


def test_where_launches_count_groups_are_padded_with_items_of_their_own():
    """What is not finite in one slot stays in it, forwards and backwards."""
    slots, x = torch.tensor([0, 0, 0, 1, 2, 2]), torch.randn(6, 1, 3)
    x[:3] = float("nan")
    weight = torch.randn(3, 5, 3, requires_grad=True)
    groups = SlotGroups(slots, 3, torch.device("cpu"))
    expected = groups.linear(x, weight, None)
    (expected_gradient,) = torch.autograd.grad(expected[3:].sum(), weight)
    padded = padded_groups(slots, 3)
    found = padded.linear(x, weight, None)
    torch.testing.assert_close(found, expected, equal_nan=True)
    (gradient,) = torch.autograd.grad(found[3:].sum(), weight)
    torch.testing.assert_close(gradient[1:], expected_gradient[1:])
    assert found[3:].isfinite().all()


def padded_groups(slots, count):
    """Groups as they are made for another device than the CPU, with all tensors on the CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pecl.adapters.groups.to_device", lambda tensor, device: tensor)
        return SlotGroups(slots, count, torch.device("meta"))


@settings(deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=12).filter(lambda slots: len(set(slots)) > 1))
def test_padded_groups_compute_the_same(slots):
    slots = torch.tensor(slots)
    x, weight, bias = torch.randn(len(slots), 2, 3), torch.randn(4, 5, 3), torch.randn(4, 5)
    expected = SlotGroups(slots, 4, torch.device("cpu")).linear(x, weight, bias)
    torch.testing.assert_close(padded_groups(slots, 4).linear(x, weight, bias), expected, rtol=1e-5, atol=1e-5)


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
