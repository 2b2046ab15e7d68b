import math

import numpy as np
import pytest
from helpers.report_results import both, changed, made, ranked, train

from pecl.report.tables.statistics import _BLOCK, disparity, gain, hits, intervals, sample_std, share_closed
from pecl.retrieval.measures import bootstrap_intervals


def hits_of(ranks, **gallery):
    result = made("evaluate", {"best": ranks}, weights="de.safetensors")
    return hits(changed(result, {f"data.gallery.{name}": value for name, value in gallery.items()}), "best")


def test_hits_average_to_the_mean_recall():
    per_item = hits_of(both([1, 3, 1, 1], [2, 1, 1, 7]))
    assert per_item.tolist() == [0.5, 0.5, 1.0, 0.5]
    assert per_item.mean() == (3 / 4 + 2 / 4) / 2


def test_captions_of_an_image_stand_or_fall_with_it_and_directions_count_half_each():
    per_item = hits_of(both([1, 2], [1, 1, 1, 2, 2, 2]), items=[0, 0, 1, 1, 1, 0])
    assert per_item.tolist() == pytest.approx([(1 + 2 * 2 / 6) / 2, (0 + 1 * 2 / 6) / 2])
    assert per_item.mean() == pytest.approx((1 / 2 + 3 / 6) / 2)


def test_gain_is_trained_less_zero_shot():
    result = train(5, 8, size=10)
    assert gain(result).tolist() == [0.0] * 5 + [1.0] * 3 + [0.0] * 2


def test_intervals_are_those_of_a_bootstrap_written_as_a_loop():
    generator = np.random.default_rng(5)
    arrays = [generator.normal(size=30), generator.normal(size=20), generator.normal(1, 1, size=30)]
    found = intervals(arrays)
    for values, (low, high) in zip(arrays, found, strict=True):
        drawn = np.random.default_rng(11)
        means = sorted(np.mean(drawn.choice(values, len(values))) for _ in range(4000))
        assert low == pytest.approx(means[100], abs=0.04)  # 2.5 % of 4,000
        assert high == pytest.approx(means[3899], abs=0.04)


def test_intervals_of_many_arrays_are_those_of_each_alone():
    """They are taken from a generator and resampled by blocks; two lengths take turns, and neither fills its last."""
    generator = np.random.default_rng(6)
    arrays = [generator.integers(0, 3, 8 + i % 2) / 2 for i in range(2 * _BLOCK + 7)]
    found = intervals(values for values in arrays)
    assert found.shape == (len(arrays), 2)
    assert found.tolist() == [bootstrap_intervals(values[None])[0].tolist() for values in arrays]
    assert intervals([]).shape == (0, 2)


def test_the_interval_of_a_paired_difference_is_narrower_than_of_unpaired_scores():
    before, after = hits_of(both(*[ranked(40, 100)] * 2)), hits_of(both(*[ranked(45, 100)] * 2))
    ((low, high), (_, unpaired_high)) = intervals([after - before, after])
    assert 0 < low < 0.05 < high  # 5 of 100 gained, none lost
    assert high - low < unpaired_high - after.mean() + 0.01


def test_sample_standard_deviation():
    assert sample_std([0.2, 0.3, 0.4]) == pytest.approx(0.1)  # sqrt((.01 + 0 + .01) / 2)
    assert math.isnan(sample_std([0.2]))


def test_disparity_by_hand():
    scores = {"de": 0.3, "fr": 0.5, "jp": 0.1}
    before = disparity(scores, english=0.7)
    assert before.mean == pytest.approx(0.3)
    assert before.std == pytest.approx(math.sqrt((0.0 + 0.04 + 0.04) / 3))
    assert before.max_minus_min == pytest.approx(0.4)
    assert before.gap == pytest.approx(0.4)
    after = disparity({"de": 0.4, "fr": 0.5, "jp": 0.3}, english=0.7)
    assert share_closed(before, after) == pytest.approx((0.4 - 0.3) / 0.4)


def test_english_counts_in_the_mean_but_not_in_its_own_gap():
    measured = disparity({"en": 0.8, "de": 0.4}, english=0.7)
    assert measured.mean == pytest.approx(0.6)
    assert measured.gap == pytest.approx(0.3)


def test_no_gap_has_no_share_and_no_english_no_gap():
    assert math.isnan(share_closed(disparity({"de": 0.8}, 0.7), disparity({"de": 0.9}, 0.7)))
    assert math.isnan(disparity({"de": 0.8}, None).gap)
    assert math.isnan(disparity({"en": 0.8}, 0.8).gap)
