import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.retrieval.measures import bootstrap_interval
from pecl.retrieval.ranks import correct_ranks, correspondence, cosine_similarity, metrics

# 4 texts x 8 images, worked by hand. Correct images of the texts: 0, 2, 5, 7.
SIMILARITY = torch.tensor(
    [
        [0.9, 0.1, 0.2, 0.3, 0.0, 0.1, 0.2, 0.3],  # rank 1
        [0.8, 0.1, 0.7, 0.3, 0.0, 0.1, 0.2, 0.3],  # rank 2
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],  # all tie: the worst, rank 8
        [0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.35],  # three are nearer: rank 4
    ]
)
CORRECT = correspondence([0, 2, 5, 7], range(8))


def test_hand_worked_text_to_image():
    result = metrics(SIMILARITY, CORRECT)
    assert correct_ranks(SIMILARITY, CORRECT).flatten().tolist() == [1, 2, 8, 4]
    assert result.recall == {1: 0.25, 5: 0.75, 10: 1.0}
    assert (result.mean_rank, result.median_rank) == (3.75, 3.0)
    assert (result.queries, result.gallery) == (4, 8)


def test_hand_worked_image_to_text():
    images = [0, 2, 5, 7]
    result = metrics(SIMILARITY.T[images].contiguous(), CORRECT.T[images].contiguous())
    # image 0: (.9 .8 .5 .6) rank 1; image 2: (.2 .7 .5 .4) rank 1; image 5: (.1 .1 .5 .1) rank 1;
    # image 7: (.3 .3 .5 .35) rank 2
    assert result.recall == {1: 0.75, 5: 1.0, 10: 1.0}
    assert result.mean_rank == 1.25


def test_several_captions_an_image_any_hit_and_true_recall():
    # one image, five captions, two of them its own at places 1 and 3 of the ranking
    similarity = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5]])
    correct = torch.tensor([[True, False, True, False, False]])
    result = metrics(similarity, correct)
    assert correct_ranks(similarity, correct).tolist() == [[1, 3]]
    assert result.recall[1] == 1.0
    assert result.true_recall[1] == 0.5
    assert result.true_recall[5] == 1.0


def test_equal_correct_items_do_not_count_against_each_other():
    similarity, correct = torch.tensor([[0.9, 0.9, 0.1]]), torch.tensor([[True, True, False]])
    assert correct_ranks(similarity, correct).tolist() == [[1, 2]]
    assert metrics(similarity, correct).recall[1] == 1.0


def test_a_constant_matrix_finds_nothing():
    result = metrics(torch.zeros(20, 20), torch.eye(20, dtype=torch.bool))
    assert result.recall == {1: 0.0, 5: 0.0, 10: 0.0}
    assert result.mean_rank == 20


def reference_ranks(similarity, correct):
    """Sort by similarity, wrong items before correct ones in a tie; ranks of the correct ones in that order."""
    ranks = []
    for row, mask in zip(similarity.tolist(), correct.tolist(), strict=True):
        order = sorted(range(len(row)), key=lambda j: (-row[j], mask[j]))
        ranks.append([place + 1 for place, j in enumerate(order) if mask[j]])
    return ranks


@settings(deadline=None)
@given(st.integers(1, 7), st.integers(1, 9), st.integers(0, 10_000))
def test_ranks_against_sorting(queries, size, seed):
    generator = torch.Generator().manual_seed(seed)
    similarity = torch.randint(0, 4, (queries, size), generator=generator).float()  # few values: many ties
    correct = torch.rand(queries, size, generator=generator) < 0.4
    correct[torch.arange(queries), torch.randint(0, size, (queries,), generator=generator)] = True
    expected = reference_ranks(similarity, correct)
    result = metrics(similarity, correct)
    for row, wanted in zip(correct_ranks(similarity, correct).tolist(), expected, strict=True):
        assert row == wanted + [size + 1] * (len(row) - len(wanted))
    for k in (1, 5, 10):
        assert result.recall[k] == pytest.approx(np.mean([min(r) <= k for r in expected]))
        assert result.true_recall[k] == pytest.approx(np.mean([np.mean([x <= k for x in r]) for r in expected]))


def test_metrics_refuse_what_has_no_answer():
    with pytest.raises(ValueError, match="query 1 has no correct item"):
        metrics(torch.zeros(2, 2), torch.tensor([[True, False], [False, False]]))
    with pytest.raises(ValueError, match="expected numbers, got NaN"):
        metrics(torch.tensor([[float("nan")]]), torch.tensor([[True]]))
    with pytest.raises(ValueError, match=r"expected similarity's shape \(1, 2\), got \(2, 1\)"):
        metrics(torch.zeros(1, 2), torch.ones(2, 1, dtype=torch.bool))


def test_cosine_similarity_is_of_directions():
    a = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    torch.testing.assert_close(cosine_similarity(a, a), torch.tensor([[1.0, 2**-0.5], [2**-0.5, 1.0]]))


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
