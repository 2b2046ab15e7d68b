"""Tests of differences against SciPy, enumeration and a worked table."""

import itertools

import numpy as np
import pytest
from scipy import stats

from pecl.report.significance import holm, sign_flip_p, two_level_interval, wilcoxon_p
from pecl.retrieval.measures import bootstrap_interval


@pytest.mark.parametrize("count", [1, 5, 12, 40])
def test_wilcoxon_is_that_of_scipy(count):
    values = np.random.default_rng(count).normal(0.3, 1, size=count)
    assert wilcoxon_p([*values, 0.0]) == pytest.approx(stats.wilcoxon(values, method="exact").pvalue, abs=1e-12)


def test_wilcoxon_with_ties_is_that_of_all_signs():
    values = np.array([0.1, 0.1, -0.1, 0.2, 0.2, -0.3, 0.4, 0.0])
    ranks = stats.rankdata(np.abs(values[:-1]))
    signs = itertools.product([-1, 1], repeat=len(ranks))
    sums = np.array([abs(np.dot(sign, ranks)) for sign in signs])
    observed = abs(np.dot(np.sign(values[:-1]), ranks))
    assert wilcoxon_p(values.tolist()) == pytest.approx((sums >= observed - 1e-9).mean())
    assert wilcoxon_p([0.0, 0.0]) == 1


def test_the_sign_flip_test_is_mcnemars_for_hits():
    first = np.array([1] * 40 + [0] * 60)
    second = np.array([1] * 25 + [0] * 15 + [1] * 4 + [0] * 56)  # 15 items are lost, 4 are won
    expected = stats.binomtest(4, 15 + 4).pvalue
    assert sign_flip_p((first - second).astype(float)) == pytest.approx(expected)
    assert sign_flip_p(np.zeros(5)) == 1


def test_the_sign_flip_test_is_that_by_permutation():
    values = np.random.default_rng(3).choice([-1, -0.5, 0, 0.5, 1], p=[0.02, 0.1, 0.7, 0.15, 0.03], size=600)
    permuted = stats.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=9999, rng=np.random.default_rng(0)
    )
    assert sign_flip_p(values) == pytest.approx(permuted.pvalue, abs=0.015)  # four standard errors of the draws
    without_denominator = np.random.default_rng(4).normal(0.05, 1, size=600)
    assert sign_flip_p(without_denominator) == pytest.approx(stats.ttest_1samp(without_denominator, 0).pvalue, abs=0.01)


def test_holm_is_the_worked_table():
    # Worked by hand: 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04 * 1 < 0.06, so it is 0.06, too
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_two_levels_with_one_kind_of_variation_are_one_level():
    items = np.random.default_rng(1).normal(size=200)
    same_languages = np.tile(items, (5, 1))
    assert two_level_interval(same_languages) == pytest.approx(bootstrap_interval(items), abs=0.03)

    languages = np.array([0.0, 0.1, 0.4])
    same_items = np.tile(languages[:, None], (1, 50))
    # All 27 equally likely draws of three languages; the quantiles are those of their means
    means = [np.mean(draw) for draw in itertools.product(languages, repeat=3)]
    expected = np.quantile(np.repeat(means, 1000), [0.025, 0.975])
    assert two_level_interval(same_items) == pytest.approx(expected)


def test_two_levels_have_the_variance_of_both():
    generator = np.random.default_rng(5)
    differences = generator.normal(size=(12, 1)) + generator.normal(size=(1, 100)) * 3
    low, high = two_level_interval(differences, samples=20_000)
    # for a sum of both effects the variances of their means add up
    variance = differences.mean(axis=1).var() / 12 + differences.mean(axis=0).var() / 100
    assert (high - low) / 2 == pytest.approx(1.96 * variance**0.5, rel=0.05)
