"""Ranks, recall and evaluation, against values worked out by hand."""

import numpy as np
import pytest
import torch
from helpers.retrieval import cosine_similarity, plain_metrics, sorted_ranks
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.retrieval import measures
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.retrieval.measures import (
    LEVEL,
    RetrievalMetrics,
    bootstrap_interval,
    bootstrap_intervals,
    difference_interval,
)
from pecl.retrieval.ranks import BLOCK, best_ranks, compare, correct_ranks, cosine_blocks, metrics

# 4 texts x 8 images, worked by hand. Images of the texts: 0, 2, 5, 7.
SIMILARITY = torch.tensor(
    [
        [0.9, 0.1, 0.2, 0.3, 0.0, 0.1, 0.2, 0.3],  # rank 1
        [0.8, 0.1, 0.7, 0.3, 0.0, 0.1, 0.2, 0.3],  # rank 2
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5],  # all tie: the worst, rank 8
        [0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0, 0.35],  # three are nearer: rank 4
    ]
)
ITEM = [0, 2, 5, 7]


def compared(similarity, item, rows=None, block=BLOCK, nearest=5):
    """Compare by a similarity matrix in blocks of so many rows."""
    rows = rows or len(similarity)
    places = [slice(start, start + rows) for start in range(0, len(similarity), rows)]
    return compare(lambda: ((place, similarity[place]) for place in places), torch.tensor(item), nearest, block)


def text_metrics(similarity, item):
    ranks = compared(similarity, item).ahead_of_item + 1
    return ranks.tolist(), metrics(ranks, torch.arange(len(item)), similarity.shape[1])


def item_metrics(similarity, item):
    ranks = correct_ranks(compared(similarity, item).ahead_of_text, torch.tensor(item))
    return ranks.tolist(), metrics(ranks, torch.tensor(item), len(item))


def test_hand_worked_text_to_image():
    ranks, result = text_metrics(SIMILARITY, ITEM)
    assert ranks == [1, 2, 8, 4]
    assert result.recall == {1: 0.25, 5: 0.75, 10: 1.0}
    assert (result.mean_rank, result.median_rank) == (3.75, 3.0)
    assert (result.queries, result.gallery) == (4, 8)


def test_hand_worked_image_to_text():
    # image 0: (.9 .8 .5 .6) rank 1; image 2: (.2 .7 .5 .4) rank 1; image 5: (.1 .1 .5 .1) rank 1;
    # image 7: (.3 .3 .5 .35) rank 2
    ranks, result = item_metrics(SIMILARITY[:, ITEM], [0, 1, 2, 3])
    assert ranks == [1, 1, 1, 2]
    assert result.recall == {1: 0.75, 5: 1.0, 10: 1.0}
    assert result.mean_rank == 1.25


def test_several_captions_an_image_any_hit_and_true_recall():
    # image 0 has two of five captions, at places 1 and 3 of its ranking; image 1 has the others at 1, 2 and 4
    similarity = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.5], [0.1, 0.9, 0.2, 0.8, 0.0]]).T
    ranks, result = item_metrics(similarity, [0, 1, 0, 1, 1])
    assert ranks == [1, 1, 3, 2, 5]
    assert result.recall[1] == 1.0
    assert result.true_recall[1] == pytest.approx((1 / 2 + 1 / 3) / 2)
    assert result.true_recall[5] == 1.0
    assert (result.queries, result.gallery) == (2, 5)


@pytest.mark.parametrize("item", [[0, 1, 0, 1, 1], [0, 1, 2, 3, 4]])  # `true_recall` is another, and the same
def test_metrics_come_back_from_the_form_of_results(item):
    similarity = torch.randn(5, max(item) + 1, generator=torch.Generator().manual_seed(0))
    _, result = item_metrics(similarity, item)
    assert RetrievalMetrics.from_dict(result.to_dict()) == result
    assert (result.true_recall == result.recall) == (len(set(item)) == 5)


def test_equal_correct_items_do_not_count_against_each_other():
    similarity = torch.tensor([[0.9, 0.9, 0.1, 0.1], [0.1, 0.2, 0.3, 0.3]]).T
    ranks, result = item_metrics(similarity, [0, 0, 1, 1])
    assert ranks == [1, 2, 1, 2]
    assert result.recall[1] == 1.0


def test_a_constant_matrix_finds_nothing():
    for direction in (text_metrics, item_metrics):
        _, result = direction(torch.zeros(20, 20), range(20))
        assert result.recall == {1: 0.0, 5: 0.0, 10: 0.0}
        assert result.mean_rank == 20


@st.composite
def ties(draw):
    """Return a similarity matrix of few values, and for each text its item; each item has a text."""
    size = draw(st.integers(1, 7))
    item = draw(st.permutations([*range(size), *draw(st.lists(st.integers(0, size - 1), max_size=8))]))
    row = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 1.0]), min_size=size, max_size=size)
    return torch.tensor(draw(st.lists(row, min_size=len(item), max_size=len(item)))), item


@settings(deadline=None)
@given(ties(), st.integers(1, 16), st.integers(1, 40))
def test_ranks_and_metrics_against_sorting(matrix, rows, block):
    similarity, item = matrix
    found, own = compared(similarity, item, rows, block), torch.tensor(item)
    of_texts, of_items = sorted_ranks(similarity, item)
    assert [[rank] for rank in (found.ahead_of_item + 1).tolist()] == of_texts
    ranks = correct_ranks(found.ahead_of_text, own)
    assert [sorted(ranks[own == j].tolist()) for j in range(len(of_items))] == of_items
    assert best_ranks(ranks, own).tolist() == [own[0] for own in of_items]
    order = [sorted(range(len(row)), key=lambda j: (-row[j], j))[:5] for row in similarity.tolist()]
    assert found.nearest.tolist() == order
    pairs = (
        (ranks, own, len(item), of_items),
        (found.ahead_of_item + 1, torch.arange(len(item)), len(of_items), of_texts),
    )
    for found_ranks, query, gallery, expected in pairs:
        assert metrics(found_ranks, query, gallery).to_dict() == pytest.approx(plain_metrics(expected, gallery))


@pytest.mark.parametrize("block", [1, 700, BLOCK])
def test_blocks_of_cosines_give_the_ranks_of_the_whole_matrix(block):
    """All embeddings are of length 1 and their products exact in whatever order they are added: 5 values, many ties."""
    generator = torch.Generator().manual_seed(1)
    directions = torch.cat([torch.eye(4), -torch.eye(4), torch.cartesian_prod(*[torch.tensor([-0.5, 0.5])] * 4)])
    gallery = directions[torch.randint(24, (60,), generator=generator)]
    texts = directions[torch.randint(24, (150,), generator=generator)]
    item = [*range(60), *torch.randint(60, (90,), generator=generator).tolist()]
    found = compare(cosine_blocks(texts, gallery, block), torch.tensor(item), 5, block)
    of_texts, of_items = sorted_ranks(texts @ gallery.T, item)
    ranks = correct_ranks(found.ahead_of_text, torch.tensor(item))
    assert [[rank] for rank in (found.ahead_of_item + 1).tolist()] == of_texts
    assert [sorted(ranks[torch.tensor(item) == j].tolist()) for j in range(60)] == of_items


def test_a_small_set_is_one_product_and_a_second_pass_has_the_same_bits():
    texts, gallery = torch.randn(50, 256), torch.randn(30, 256)
    ((rows, whole),) = cosine_blocks(texts, gallery)()
    assert rows == slice(0, 279_620)
    assert torch.equal(whole, cosine_similarity(texts, gallery))
    blocks = cosine_blocks(texts, gallery, 7 * 30)
    first, second = list(blocks()), list(blocks())
    assert [len(similarity) for _, similarity in first] == [7] * 7 + [1]
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(first, second, strict=True))


def test_damaged_embeddings_are_refused():
    good, damaged = torch.ones(2, 2), torch.tensor([[1.0, float("nan")], [1.0, 0.0]])
    for pair in ((good, damaged), (damaged, good)):
        with pytest.raises(ValueError, match="the embeddings contain NaN"):
            cosine_blocks(*pair)


def test_bootstrap_interval_covers_like_the_normal_approximation():
    values = np.sin(np.arange(400))
    error = values.std() / np.sqrt(400)
    for end, side in zip(bootstrap_interval(values, samples=5000), (-1, 1), strict=True):
        assert end == pytest.approx(values.mean() + side * 1.96 * error, abs=0.1 * error)


def test_bootstrap_intervals_are_drawn_anew_with_the_same_seed():
    values = np.random.default_rng(3).random(50)
    found = bootstrap_interval(values, samples=300)
    # resamples are kept at hand: two of other sizes take the place of these, which are then drawn again
    bootstrap_interval(values[:7], samples=300)
    bootstrap_interval(values[:9], samples=300)
    assert bootstrap_interval(values, samples=300) == found
    assert bootstrap_interval(values, samples=300, seed=1) != found
    assert bootstrap_intervals(values[None]).tolist() == [list(bootstrap_interval(values))]


@pytest.mark.parametrize("queries", [1, 50, 997])
def test_bootstrap_intervals_of_many_queries_have_the_bits_of_all_resamples_at_once(monkeypatch, queries):
    values = np.random.default_rng(4).integers(-2, 3, (3, queries)) / 2
    draws = np.random.default_rng(0).multinomial(queries, np.full(queries, 1 / queries), size=300)
    means = draws.astype(float) @ values.T
    means /= queries
    expected = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0, overwrite_input=True).T
    for numbers in (300 * queries, 7 * queries + 1, 1):  # in one block, in blocks of 7, and one by one
        monkeypatch.setattr(measures, "_NUMBERS", numbers)
        np.testing.assert_array_equal(bootstrap_intervals(values, samples=300), expected)


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


GALLERY = torch.eye(3)
# texts near images 0, 0, 1, 2; the last one is misled to image 0
TEXTS = torch.tensor([[2.0, 0.1, 0.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.2], [0.9, 0.0, 0.8]])


def test_both_directions_with_several_texts_an_image():
    found = RetrievalEvaluator(GALLERY, [0, 0, 1, 2])(TEXTS)
    assert found.metrics["text_to_image"].recall[1] == 0.75
    assert found.metrics["image_to_text"].recall[1] == 1.0  # image 2's best text is the last one
    assert found.mean_recall_at_1 == pytest.approx((0.75 + 1) / 2)
    assert found.metrics["image_to_text"].queries == 3
    assert found.metrics["image_to_text"].gallery == 4
    assert found.ranks["text_to_image"] == [1, 1, 1, 2]
    assert found.nearest == [[0, 1, 2], [0, 1, 2], [1, 2, 0], [0, 2, 1]]


def test_corrections_lower_a_gallery_item_for_all_texts_and_leave_the_other_direction():
    """The last text is nearer to image 0 by .75 - .66 = .08; images are compared only with texts."""
    plain = RetrievalEvaluator(GALLERY, [0, 0, 1, 2])(TEXTS)
    for correction, rank in ((0.05, 2), (0.1, 1)):
        corrections = torch.tensor([correction, 0.0, 0.0])
        found = RetrievalEvaluator(GALLERY, [0, 0, 1, 2], corrections=corrections)(TEXTS)
        assert found.ranks["text_to_image"] == [1, 1, 1, rank]
        assert found.metrics["image_to_text"] == plain.metrics["image_to_text"]


def test_a_subset_of_queries_meets_the_whole_gallery():
    found = RetrievalEvaluator(GALLERY, [0, 0, 1, 2])(TEXTS).subset({"text_to_image": [0, 3], "image_to_text": [2]})
    assert found == {"text_to_image recall@1": 0.5, "image_to_text recall@1": 1.0, "mean_recall@1": 0.75}


def test_a_text_gallery_has_its_own_names_and_directions():
    """Text i is turned from item i; the gallery is the three unit vectors."""
    texts = torch.tensor([[0.9, 0.1, 0.3], [0.8, 0.5, 0.1], [0.7, 0.2, 0.6]])
    found = RetrievalEvaluator(GALLERY, [0, 1, 2], "english")(texts)
    # rows, after division by their lengths: (.94 .10 .31), (.84 .53 .11), (.74 .21 .64)
    # ranks of the diagonal: in its row 1, 2, 2; in its column 1, 1, 1
    assert found.metrics["text_to_english"].recall[1] == pytest.approx(1 / 3)
    assert found.metrics["english_to_text"].recall[1] == 1.0
    assert found.mean_recall_at_1 == pytest.approx((1 / 3 + 1) / 2)
    assert found.mean_recall == pytest.approx((1 / 3 + 1 + 1 + 1 + 1 + 1) / 6)


def test_mean_recall_is_over_1_5_and_10_of_both_directions():
    """Of 12 items, text i is most similar to the items before i, so that its own is at rank i + 1."""
    texts = 2.0 * torch.tril(torch.ones(12, 12), -1) + torch.eye(12)
    found = RetrievalEvaluator(torch.eye(12), range(12))(texts)
    assert found.ranks["text_to_image"] == list(range(1, 13))
    shares = [1 / 12, 5 / 12, 10 / 12]
    assert [found.metrics["text_to_image"].recall[k] for k in (1, 5, 10)] == pytest.approx(shares)
    other = [found.metrics["image_to_text"].recall[k] for k in (1, 5, 10)]
    assert found.mean_recall_at_1 == pytest.approx((shares[0] + other[0]) / 2)
    assert found.mean_recall == pytest.approx((sum(shares) + sum(other)) / 6)


def test_what_has_no_answer_is_refused():
    with pytest.raises(ValueError, match="gallery item 1 has no correct text"):
        RetrievalEvaluator(GALLERY, [0, 0, 2, 2])(TEXTS)
    with pytest.raises(ValueError, match="text 3 has no correct item"):
        RetrievalEvaluator(GALLERY, [0, 1, 2, 3])(TEXTS)
    with pytest.raises(ValueError, match="each of 3 texts, got 4"):
        RetrievalEvaluator(GALLERY, [0, 1, 2])(TEXTS)
    with pytest.raises(ValueError, match="kind: expected one of images, english, got 'text'"):
        RetrievalEvaluator(GALLERY, [0, 1, 2], "text")
    with pytest.raises(ValueError, match="gallery: expected at least one item, got none"):
        RetrievalEvaluator(GALLERY[:0], [])
    with pytest.raises(ValueError, match="text_to_image: expected at least one query, got none"):
        RetrievalEvaluator(GALLERY, [0, 0, 1, 2])(TEXTS).subset({"image_to_text": [2], "text_to_image": []})


def test_each_direction_counts_its_own_queries_and_gallery():
    """Twelve captions of four images: captions search among four images, images among twelve captions."""
    generator = torch.Generator().manual_seed(5)
    images, texts = (torch.randn(size, 6, generator=generator) for size in (4, 12))
    found = RetrievalEvaluator(images, [i % 4 for i in range(12)])(texts).metrics
    sizes = {name: (direction.queries, direction.gallery) for name, direction in found.items()}
    assert sizes == {"image_to_text": (4, 12), "text_to_image": (12, 4)}
