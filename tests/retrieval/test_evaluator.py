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


def test_a_text_gallery_has_its_own_names():
    found = RetrievalEvaluator(GALLERY, [0, 1, 2], "english")(GALLERY)
    assert set(found.metrics) == {"english_to_text", "text_to_english"}
    assert found.mean_recall_at_1 == found.mean_recall == 1.0
