import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pecl.training.losses import ALIGNMENTS, AlignmentObjective, ContrastiveLoss, cosine_mse, mse

E1, E2 = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]])


def test_contrastive_of_a_hand_worked_pair():
    a = torch.cat([E1, E2])  # normalised: the identity matrix
    b = torch.tensor([[3.0, 0.0], [4.0, 3.0]])  # normalised: (1, 0), (.8, .6)
    # logits with scale 1: rows (1, .8), (0, .6); columns (1, 0), (.8, .6)
    rows = (math.log(1 + math.exp(-0.2)) + math.log(1 + math.exp(-0.6))) / 2
    columns = (math.log(1 + math.exp(-1.0)) + math.log(1 + math.exp(0.2))) / 2
    assert ContrastiveLoss(logit_scale=1.0)(a, b).item() == pytest.approx((rows + columns) / 2, abs=1e-6)


def test_contrastive_ignores_length_and_is_symmetric():
    a, b = torch.randn(6, 4), torch.randn(6, 4)
    loss = ContrastiveLoss()
    torch.testing.assert_close(loss(a, b), loss(7 * a, 0.1 * b))
    torch.testing.assert_close(loss(a, b), loss(b, a))


def test_mse_is_of_raw_embeddings_and_cosine_mse_of_normalised():
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[6.0, 8.0]])
    assert mse(a, b).item() == pytest.approx((9 + 16) / 2)
    assert cosine_mse(a, b).item() == pytest.approx(0.0, abs=1e-12)
    # opposite unit vectors differ by 2 in length: squared 4, over 2 elements
    assert cosine_mse(a, -b).item() == pytest.approx(2.0)


def test_total_is_the_weighted_sum_of_its_terms():
    query, anchor, images = torch.randn(5, 8), torch.randn(5, 8), torch.randn(5, 8)
    clip = ContrastiveLoss()
    total = AlignmentObjective(("mse", "contrastive_with_image"), alignment_weight=0.3, image_weight=2.0)
    expected = 2.0 * clip(images, query) + 0.3 * (((query - anchor) ** 2).mean() + clip(images, anchor))
    torch.testing.assert_close(total(query, anchor, images), expected)


def test_the_scale_of_an_objective_is_that_of_its_image_term():
    query, images = torch.randn(5, 8), torch.randn(5, 8)
    for scale in (1.0, 20.0):
        objective = AlignmentObjective(image_weight=2.0, logit_scale=scale)
        torch.testing.assert_close(objective(query, None, images), 2.0 * ContrastiveLoss(scale)(images, query))


def test_text_alone_needs_no_images_and_a_baseline_no_anchor():
    query, anchor = torch.randn(5, 8), torch.randn(5, 8)
    text_alone = AlignmentObjective(("mse",), alignment_weight=1.0, image_weight=0.0)
    torch.testing.assert_close(text_alone(query, anchor, None), mse(query, anchor))
    baseline = AlignmentObjective(("mse",), alignment_weight=5.0)
    torch.testing.assert_close(baseline(query, None, anchor), ContrastiveLoss()(anchor, query))


@given(st.sampled_from(sorted(ALIGNMENTS)), st.integers(2, 6), st.integers(0, 1000))
def test_gradients_reach_both_texts_and_match_finite_differences(name, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    query, anchor, images = (torch.randn(rows, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    query.requires_grad_()
    anchor.requires_grad_()
    objective = AlignmentObjective((name,), alignment_weight=0.5, logit_scale=1.0)
    assert torch.autograd.gradcheck(lambda q, a: objective(q, a, images), (query, anchor))
