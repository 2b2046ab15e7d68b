import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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


def test_equal_consecutive_groups_are_one_batched_product():
    rows = SlotRows(3)
    rows.select(torch.tensor([0, 0, 1, 1, 2, 2]), 6)
    assert rows.grouped
    rows.select(torch.tensor([0, 1, 0, 1, 2, 2]), 6)
    assert not rows.grouped


def test_wrong_slots_are_refused():
    rows = SlotRows(2)
    with pytest.raises(ValueError, match=r"expected the shape \(3,\)"):
        rows.select(torch.tensor([0, 1]), 3)
    with pytest.raises(ValueError, match="slots: expected 0 to 1, got 0 to 2"):
        rows.select(torch.tensor([0, 2]), 2)
