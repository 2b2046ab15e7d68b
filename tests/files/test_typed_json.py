"""Long lists of numbers in results take few bytes."""

import json
import tracemalloc

import pytest
from helpers.report_results import both, document
from hypothesis import example, given
from hypothesis import strategies as st

from pecl.files.typed_json import smallest
from pecl.results.result import Result, read_result, write_result

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


def test_a_result_that_is_read_takes_two_bytes_a_rank_and_a_few_thousand_beside(tmp_path):
    """It is what lets thousands of results be reported at once. An int object by itself takes 28 bytes, its place 8."""
    items, results = 2000, 20
    states = {name: both(*[[1 + (7 * i) % items for i in range(items)]] * 2) for name in ("zero_shot", "final", "best")}
    paths = []
    for seed in range(results):
        made = document("train", states, seed=seed)
        made["curve"]["loss"] = [[step, 1 / (step + seed)] for step in range(1, 101)]
        paths.append(write_result(tmp_path, Result.from_json(made)))
    read_result(paths[0])  # what is made once
    tracemalloc.start()
    try:
        held = [read_result(path) for path in paths]
        taken = tracemalloc.get_traced_memory()[0] / results
    finally:
        tracemalloc.stop()
    assert held[3].ranks("text_to_image") == tuple(states["best"]["text_to_image"])
    assert json.loads(paths[3].read_text())["ranks"] == {"test": states}
    assert taken < 6 * 2 * items + 100 * 96 + 16_000
