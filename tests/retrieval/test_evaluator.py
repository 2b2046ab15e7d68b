import pytest
import torch

from pecl.retrieval.evaluator import RetrievalEvaluator

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


def test_corrections_lower_a_gallery_item_for_all_texts_and_leave_the_other_direction():
    """The last text is nearer to image 0 by .75 - .66 = .08; images are compared only with texts."""
    plain = RetrievalEvaluator(GALLERY, [0, 0, 1, 2])(TEXTS)
    for correction, rank in ((0.05, 2), (0.1, 1)):
        corrections = torch.tensor([correction, 0.0, 0.0])
        found = RetrievalEvaluator(GALLERY, [0, 0, 1, 2], corrections=corrections)(TEXTS)
        assert found.ranks["text_to_image"] == [1, 1, 1, rank]
        assert found.metrics["image_to_text"] == plain.metrics["image_to_text"]


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
