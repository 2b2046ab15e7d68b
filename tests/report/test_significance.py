"""Tests of differences against SciPy, enumeration and a worked table."""

import itertools

import numpy as np
import pytest
from scipy import stats

from pecl.report.significance import (
    Sides,
    holm,
    interval_over_languages,
    seeds_and_items,
    sign_flip_p,
    t_p,
    t_quantile,
    wilcoxon_p,
)
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


@pytest.mark.parametrize("freedom", [1, 1.5, 2.7, 10, 899, 40_000])
def test_students_t_is_that_of_scipy(freedom):
    for t in (0.0, 0.1, 1.0, 1.96, 5.0, 40.0):
        assert t_p(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-6)
        assert t_p(-t, freedom) == t_p(t, freedom)
    assert t_quantile(0.95, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-9)
    assert t_quantile(0.5, freedom) == pytest.approx(stats.t.ppf(0.75, freedom), rel=1e-9)


def test_with_equal_items_it_is_welchs_test():
    first = np.repeat([[0.3], [0.5], [0.45]], 40, axis=1)  # all items of a seed are equal
    second = np.repeat([[0.2], [0.25]], 40, axis=1)
    welch = stats.ttest_ind(first[:, 0], second[:, 0], equal_var=False)
    estimate = seeds_and_items(first, second)
    assert estimate.p == pytest.approx(welch.pvalue)
    assert estimate[2:] == pytest.approx(tuple(welch.confidence_interval()))
    assert estimate.mean == pytest.approx(0.4166667 - 0.225)


def test_with_equal_seeds_it_is_the_paired_test():
    generator = np.random.default_rng(2)
    one, other = (generator.integers(2, size=60).astype(float) for _ in range(2))
    paired = stats.ttest_rel(one, other)
    for first, second in ((np.tile(one, (3, 1)), np.tile(other, (2, 1))), (np.tile(one, (3, 1)), other[None])):
        estimate = seeds_and_items(first, second)
        assert estimate.p == pytest.approx(paired.pvalue)
        assert estimate[2:] == pytest.approx(tuple(paired.confidence_interval()))
    assert seeds_and_items(one[None], one[None]) == (0, 1, 0, 0)


def test_with_both_it_is_the_worked_number():
    first = np.array([[1, 1, 0, 1], [1, 0, 0, 1]], dtype=float)
    second = np.array([[0, 0, 0, 1]], dtype=float)
    # differences of the items 1, .5, 0, 0: mean .375, variance .6875 / 3, of their mean .6875 / 12
    # scores of the seeds .75, .5: variance .03125, of their mean .015625, with one degree of freedom
    variance = 0.6875 / 12 + 0.015625
    freedom = variance**2 / ((0.6875 / 12) ** 2 / 3 + 0.015625**2 / 1)
    estimate = seeds_and_items(first, second)
    assert estimate.p == pytest.approx(2 * stats.t.sf(0.375 / variance**0.5, freedom))
    assert estimate.high - 0.375 == pytest.approx(stats.t.ppf(0.975, freedom) * variance**0.5)


def test_seeds_without_an_effect_are_rejected_as_rarely_as_stated():
    """Two methods of one distribution, whose scores differ by seed: sign flips reject far too many."""
    generator = np.random.default_rng(0)
    rejected = {"seeds and items": 0, "items": 0}
    for _ in range(200):
        difficulty = generator.random(900) * 0.3
        methods = []
        for _ in range(2):
            of_seeds = difficulty + generator.normal(0, 0.02, size=(3, 1))
            methods.append((generator.random((3, 900)) < of_seeds).astype(float))
        first, second = methods
        rejected["seeds and items"] += seeds_and_items(first, second).p < 0.05
        rejected["items"] += sign_flip_p(first.mean(axis=0) - second.mean(axis=0)) < 0.05
    assert 1 <= rejected["seeds and items"] <= 0.05 * 200 + 6  # two standard errors above 5 %
    assert rejected["items"] > 40


def without_seeds(differences):
    return [Sides(row[None], np.zeros((1, len(row)))) for row in differences]


def test_two_levels_with_one_kind_of_variation_are_one_level():
    items = np.random.default_rng(1).normal(size=200)
    same_languages = without_seeds(np.tile(items, (5, 1)))
    assert interval_over_languages(same_languages) == pytest.approx(bootstrap_interval(items), abs=0.03)

    languages = np.array([0.0, 0.1, 0.4])
    same_items = without_seeds(np.tile(languages[:, None], (1, 50)))
    # All 27 equally likely draws of three languages; the quantiles are those of their means
    means = [np.mean(draw) for draw in itertools.product(languages, repeat=3)]
    expected = np.quantile(np.repeat(means, 1000), [0.025, 0.975])
    assert interval_over_languages(same_items) == pytest.approx(expected)


def test_one_language_without_variation_of_items_resamples_seeds():
    first, second = (np.repeat(np.array(scores)[:, None], 50, axis=1) for scores in ([0.1, 0.2, 0.6], [0.3, 0.5]))
    drawn = [
        np.mean(one) - np.mean(other)
        for one in itertools.product([0.1, 0.2, 0.6], repeat=3)
        for other in itertools.product([0.3, 0.5], repeat=2)
    ]
    expected = np.quantile(np.repeat(drawn, 1000), [0.025, 0.975])
    assert interval_over_languages([Sides(first, second)], samples=20_000) == pytest.approx(expected, abs=1e-9)


def test_levels_have_the_variance_of_all():
    generator = np.random.default_rng(5)
    differences = generator.normal(size=(12, 1)) + generator.normal(size=(1, 100)) * 3
    seeds = generator.normal(size=(12, 3, 1)) * 2
    sides = [Sides(row + of_seeds, np.zeros((1, 100))) for row, of_seeds in zip(differences, seeds, strict=True)]
    low, high = interval_over_languages(sides, samples=20_000)
    # for a sum of effects the variances of their means add up
    languages = (differences + seeds.mean(axis=1)).mean(axis=1).var() / 12
    variance = languages + seeds[..., 0].var(axis=1).mean() / 3 / 12 + differences.mean(axis=0).var() / 100
    assert (high - low) / 2 == pytest.approx(1.96 * variance**0.5, rel=0.05)
