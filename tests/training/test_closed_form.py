"""Ridge regression towards a given map, against least squares on augmented rows and a singular value decomposition."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import pecl.training.closed_form
from pecl.errors import DataError
from pecl.training.closed_form import LinearMap, NormalEquations, choose_ridge

D_IN, D_OUT, PAIRS = 7, 5, 60


def normal(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def pairs(n=PAIRS, seed=0):
    """Return features of unequal widths and means, and anchors that depend on them, with noise."""
    features = normal(n, D_IN, seed=seed) * torch.linspace(0.2, 3, D_IN, dtype=torch.float64) + 1.5
    return features, features @ normal(D_IN, D_OUT, seed=90) - 2 + 0.5 * normal(n, D_OUT, seed=seed + 1)


def some_map(seed):
    return LinearMap(normal(D_OUT, D_IN, seed=seed), normal(D_OUT, seed=seed + 1))


def sums_of(features, anchors, bias=True):
    equations = NormalEquations(features.shape[1], anchors.shape[1], bias=bias)
    equations.add(features, anchors)
    return equations


def by_least_squares(features, anchors, prior, ridge):
    """The minimum of 1/n sum |W x + b - y|^2 + ridge s |W - W0|^2, s the mean variance of a feature, by one lstsq.

    Its rows are the pairs, and rows that ask for the prior's weights.
    """
    n, scale = len(features), features.var(dim=0, unbiased=False).mean()
    strength = (ridge * scale * n).sqrt()
    wanted = torch.cat([torch.eye(D_IN, dtype=torch.float64), torch.zeros(D_IN, 1, dtype=torch.float64)], 1) * strength
    left = torch.cat([torch.cat([features, torch.ones(n, 1, dtype=torch.float64)], 1), wanted])
    right = torch.cat([anchors, prior.weight.T * strength])
    solution = torch.linalg.lstsq(left, right).solution  # (D_IN + 1, D_OUT)
    return LinearMap(solution[:-1].T, solution[-1])


def assert_equal_maps(found, expected, tolerance=1e-8):
    torch.testing.assert_close(found.weight, expected.weight, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(found.bias, expected.bias, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("ridge", [1e-4, 0.03, 1.0])
@pytest.mark.parametrize("n", [4, PAIRS])  # fewer pairs than features, and more
def test_it_is_the_least_squares_solution_on_augmented_rows(ridge, n):
    features, anchors = pairs(n)
    prior = some_map(seed=5)
    found = sums_of(features, anchors).solve(prior, ridge)
    assert_equal_maps(found, by_least_squares(features, anchors, prior, ridge))


def test_without_a_bias_the_map_goes_through_zero():
    features, anchors = pairs()
    prior, ridge = LinearMap(some_map(seed=5).weight, torch.zeros(D_OUT, dtype=torch.float64)), 0.03
    found = sums_of(features, anchors, bias=False).solve(prior, ridge)
    scale = features.square().mean(0).mean()
    strength = (ridge * scale * PAIRS).sqrt()
    left = torch.cat([features, strength * torch.eye(D_IN, dtype=torch.float64)])
    right = torch.cat([anchors, strength * prior.weight.T])
    torch.testing.assert_close(found.weight, torch.linalg.lstsq(left, right).solution.T)
    assert not found.bias.any()


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 99))
def test_batches_in_any_split_and_order_give_the_same(sizes, seed):
    features, anchors = pairs(sum(sizes) + 3)
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(seed))
    streamed = NormalEquations(D_IN, D_OUT)
    for chosen in order.split([*sizes, 3]):
        streamed.add(features[chosen], anchors[chosen])
    assert streamed.count == len(features)
    prior = some_map(seed=5)
    assert_equal_maps(streamed.solve(prior, 0.01), sums_of(features, anchors).solve(prior, 0.01))


def test_sums_are_float64_whatever_the_features_are():
    """1,000 float32 pairs with a mean 1,000 times their spread: float32 sums would lose the map."""
    features, _ = pairs(1000)
    features = (features + 1000).float()
    weight = some_map(seed=3).weight
    anchors = features.double() @ weight.T
    found = sums_of(features, anchors).solve(some_map(seed=5), 0.0)
    torch.testing.assert_close(found.weight, weight, rtol=0, atol=1e-5)


# --- low rank


@pytest.mark.parametrize("rank", [1, 2, 3, D_OUT])
def test_a_low_rank_change_is_the_truncated_singular_value_decomposition_in_the_metric(rank):
    """With the symmetric square root of the metric; the code has a Cholesky factor."""
    features, anchors = pairs()
    base, prior, ridge = some_map(seed=5), some_map(seed=7), 0.03
    equations = sums_of(features, anchors)
    centred = features - features.mean(0)
    covariance = centred.T @ centred / PAIRS
    metric = covariance + ridge * covariance.diagonal().mean() * torch.eye(D_IN, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(metric)
    root = vectors @ values.sqrt().diag() @ vectors.T
    u, s, vh = torch.linalg.svd((equations.solve(prior, ridge).weight - base.weight) @ root)
    expected = u[:, :rank] @ s[:rank].diag() @ vh[:rank] @ torch.linalg.inv(root)
    change = equations.solve_low_rank(base, prior, ridge, rank)
    assert (change["down"].shape, change["up"].shape) == ((rank, D_IN), (D_OUT, rank))
    torch.testing.assert_close(change["up"] @ change["down"], expected)


def test_the_two_factors_are_of_one_size_and_the_bias_fits_the_means():
    features, anchors = pairs()
    base = some_map(seed=5)
    change = sums_of(features, anchors).solve_low_rank(base, base, 0.03, 2)
    found = LinearMap(base.weight + change["up"] @ change["down"], base.bias + change["shift"])
    torch.testing.assert_close(found(features).mean(0), anchors.mean(0))
    centred = features - features.mean(0)
    metric = centred.T @ centred / PAIRS
    metric = metric + 0.03 * metric.diagonal().mean() * torch.eye(D_IN, dtype=torch.float64)
    down = (change["down"] @ metric @ change["down"].T).diagonal()
    torch.testing.assert_close(down, change["up"].square().sum(0))


# --- the strength


def test_the_strength_with_the_smallest_held_out_error_is_chosen():
    features, anchors = pairs(10)
    held_x, held_y = pairs(40, seed=50)
    equations, prior = sums_of(features, anchors), some_map(seed=5)
    expected = {
        one: float((by_least_squares(features, anchors, prior, one)(held_x) - held_y).square().mean())
        for one in pecl.training.closed_form.RIDGES
    }
    assert choose_ridge(equations, prior, held_x, held_y) == min(expected, key=expected.get)
    assert len({round(error, 6) for error in expected.values()}) == len(expected)


def test_of_equal_errors_the_larger_strength_wins():
    """Anchors that the prior gives exactly: every strength leaves it as it is."""
    features, _ = pairs()
    prior = LinearMap(torch.zeros(D_OUT, D_IN, dtype=torch.float64), torch.zeros(D_OUT, dtype=torch.float64))
    anchors = torch.zeros(PAIRS, D_OUT, dtype=torch.float64)
    assert choose_ridge(sums_of(features, anchors), prior, features, anchors) == 3.0


# --- systems without a solution


@pytest.mark.parametrize(
    ("n", "copies", "ridge", "message"),
    [
        (1, 1, 0.1, "expected at least 2 pairs for the closed form, got 1"),
        (5, 1, 0.0, "5 pairs do not determine a map of 7 features at the ridge 0: expected more than 7 pairs, or"),
        (1, 6, 0.1, "expected different texts for the closed form, got 6 of equal features"),
    ],
)
def test_a_system_without_a_solution_says_what_it_needs(n, copies, ridge, message):
    equations, prior = sums_of(*(column.repeat(copies, 1) for column in pairs(n))), some_map(seed=5)
    with pytest.raises(DataError, match=message):
        equations.solve(prior, ridge)
    with pytest.raises(DataError, match=message):
        equations.solve_low_rank(prior, prior, ridge, 1)
