"""Long lists of numbers in results take few bytes."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pecl.files.typed_json import smallest

WHOLE = st.integers(-(2**63), 2**63 - 1)


@given(st.lists(st.one_of(WHOLE, st.integers(0, 2**64 - 1)), max_size=6))
@example([2**64 - 1, 0])
@example([-1, 2**63])
def test_numbers_are_what_was_given(values):
    if values and min(values) < 0 and max(values) >= 2**63:
        with pytest.raises(OverflowError):
            smallest(values)
        return
    assert list(smallest(values)) == values
