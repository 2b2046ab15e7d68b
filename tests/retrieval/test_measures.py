import numpy as np
import pytest

from pecl.retrieval.measures import bootstrap_interval


def test_bootstrap_interval_covers_like_the_normal_approximation():
    values = (np.arange(400) % 4 == 0).astype(float)  # mean .25
    low, high = bootstrap_interval(values, samples=5000)
    half = 1.96 * np.sqrt(0.25 * 0.75 / 400)
    assert low == pytest.approx(0.25 - half, abs=0.006)
    assert high == pytest.approx(0.25 + half, abs=0.006)


def test_bootstrap_intervals_are_drawn_anew_with_the_same_seed():
    values = np.random.default_rng(3).random(50)
    found = bootstrap_interval(values, samples=300)
    # resamples are kept at hand: two of other sizes take the place of these, which are then drawn again
    bootstrap_interval(values[:7], samples=300)
    bootstrap_interval(values[:9], samples=300)
    assert bootstrap_interval(values, samples=300) == found
    assert bootstrap_interval(values, samples=300, seed=1) != found
