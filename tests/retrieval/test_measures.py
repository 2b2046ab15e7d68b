import numpy as np
import pytest

from pecl.retrieval.measures import bootstrap_interval, difference_interval


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


@pytest.mark.parametrize(
    ("first", "second", "of", "expected"),
    [
        (9, 3, 10, (0.1705, 0.8090)),
        (6, 2, 7, (0.0582, 0.8062)),
        (0, 0, 10, (-0.2775, 0.2775)),
        (10, 0, 10, (0.6075, 1.0000)),
    ],
)
def test_intervals_of_differences_are_those_of_newcombes_paper(first, second, of, expected):
    """Statistics in Medicine 17 (1998), table II, method 10."""
    assert difference_interval(first / of, second / of, of) == pytest.approx(expected, abs=5e-5)
