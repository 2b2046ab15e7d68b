import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pecl.config import ExperimentConfig
from pecl.errors import ConfigError
from pecl.training.losses import (
    LOSSES,
    ContrastiveLoss,
    Objective,
    cosine,
    gram_mse,
    match,
    mse,
    register_loss,
)


def test_contrastive_of_a_hand_worked_pair():
    a = torch.tensor([[2.0, 0.0], [3.0, 4.0]])  # normalised: (1, 0), (.6, .8)
    b = torch.tensor([[3.0, 0.0], [5.0, 12.0]])  # normalised: (1, 0), (5, 12) / 13
    # logits with scale 1: rows (13, 5) / 13, (7.8, 12.6) / 13; columns (13, 7.8) / 13, (5, 12.6) / 13
    rows = (math.log(1 + math.exp(-8 / 13)) + math.log(1 + math.exp(-4.8 / 13))) / 2
    columns = (math.log(1 + math.exp(-5.2 / 13)) + math.log(1 + math.exp(-7.6 / 13))) / 2
    assert ContrastiveLoss(logit_scale=1.0)(a, b).item() == pytest.approx((rows + columns) / 2, abs=1e-6)


def test_mse_is_of_raw_embeddings_and_cosine_of_normalised():
    a, b = torch.tensor([[3.0, 4.0]]), torch.tensor([[6.0, 8.0]])
    assert mse(a, b).item() == pytest.approx((9 + 16) / 2)
    assert cosine(a, b).item() == pytest.approx(0.0, abs=1e-6)
    assert cosine(a, -b).item() == pytest.approx(2.0)


def test_total_is_the_weighted_sum_of_its_terms():
    query, anchor, images = torch.randn(5, 8), torch.randn(5, 8), torch.randn(5, 8)
    total = Objective(("mse", "contrastive"), 0.3, image_weight=2.0, logit_scale=20.0)
    of_anchors = ((query - anchor) ** 2).mean() + ContrastiveLoss(100.0)(query, anchor)
    expected = 2.0 * ContrastiveLoss(20.0)(images, query) + 0.3 * of_anchors
    torch.testing.assert_close(total(query, anchor, images), expected)


def test_images_of_other_pairs_are_compared_with_their_own_captions():
    query, anchor, images, captions = torch.randn(5, 8), torch.randn(5, 8), torch.randn(3, 8), torch.randn(3, 8)
    objective = Objective(alignment_weight=0.3, image_weight=2.0)
    expected = 2.0 * ContrastiveLoss()(images, captions) + 0.3 * ((query - anchor) ** 2).mean()
    torch.testing.assert_close(objective(query, anchor, images, captions), expected)


def test_text_alone_needs_no_images_and_a_baseline_no_anchor():
    query, anchor = torch.randn(5, 8), torch.randn(5, 8)
    text_alone = Objective(("mse",), alignment_weight=1.0, image_weight=0.0)
    torch.testing.assert_close(text_alone(query, anchor, None), mse(query, anchor))
    baseline = Objective(("mse",), alignment_weight=5.0)
    torch.testing.assert_close(baseline(query, None, anchor), ContrastiveLoss()(anchor, query))


@given(st.sampled_from(sorted(LOSSES)), st.integers(2, 6), st.integers(0, 1000))
def test_gradients_reach_both_texts_and_match_finite_differences(name, rows, seed):
    generator = torch.Generator().manual_seed(seed)
    query, anchor, images = (torch.randn(rows, 3, generator=generator, dtype=torch.float64) for _ in range(3))
    query.requires_grad_()
    anchor.requires_grad_()
    objective = Objective((name,), alignment_weight=0.5, logit_scale=1.0)
    assert torch.autograd.gradcheck(lambda q, a: objective(q, a, images), (query, anchor))


# --- losses of distillation

# normalised: (1, 0), (.6, .8), (0, 1) and (0, 1), (.8, .6), (0, 1)
QUERY = torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 5.0]])
ANCHOR = torch.tensor([[0.0, 3.0], [8.0, 6.0], [0.0, 0.5]])


def test_cosine_of_hand_worked_rows():
    # cosines 0, .6 * .8 + .8 * .6 = .96, 1
    assert cosine(QUERY, ANCHOR).item() == pytest.approx(1 - (0 + 0.96 + 1) / 3)


def test_gram_of_hand_worked_rows():
    # above the diagonal, of the queries .6, 0, .8; of the anchors .6, 1, .6; the diagonals are equal
    assert gram_mse(QUERY, ANCHOR).item() == pytest.approx(2 * (0 + 1 + 0.04) / 9)


@given(st.integers(1, 6), st.integers(2, 7), st.integers(0, 1000))
def test_match_is_the_divergence_summed_term_by_term(rows, size, seed):
    generator = torch.Generator().manual_seed(seed)
    query, anchor = (torch.randn(rows, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    bank = torch.randn(size, 3, generator=generator, dtype=torch.float64)

    def shares(row, keys):
        exponents = [math.exp(torch.cosine_similarity(row, key, dim=0).item() / 0.05) for key in keys]
        return [one / sum(exponents) for one in exponents]

    def divergence(keys):
        total = 0.0
        for q, a in zip(query, anchor, strict=True):
            total += sum(p * math.log(p / r) for p, r in zip(shares(a, keys), shares(q, keys), strict=True))
        return total / rows

    assert match(query, anchor, None, bank).item() == pytest.approx(divergence(bank), rel=1e-6, abs=1e-9)
    assert match(query, anchor).item() == pytest.approx(divergence(anchor), rel=1e-6, abs=1e-9)


def test_each_loss_has_its_weight_and_match_the_bank():
    config = ExperimentConfig(alignment="mse:1+match:0.1+gram_mse")
    assert config.losses == ("mse", "match", "gram_mse")
    assert config.loss_weights == (1.0, 0.1, 1.0)
    query, anchor, bank = (torch.randn(n, 8) for n in (5, 5, 9))
    total = Objective(config.losses, 0.5, 0.0, weights=config.loss_weights)
    by_hand = 0.5 * (
        (query - anchor).square().mean() + 0.1 * match(query, anchor, None, bank) + gram_mse(query, anchor)
    )
    torch.testing.assert_close(total(query, anchor, None, bank=bank), by_hand)
    assert not torch.isclose(total(query, anchor, None, bank=bank), Objective(("mse",), 0.5, 0.0)(query, anchor, None))


@pytest.mark.usefixtures("registries")
def test_a_loss_that_returns_no_scalar_is_named():
    register_loss("wide")(lambda query, anchor, images: (query - anchor).square().mean(dim=1))
    objective = Objective(("mse", "wide"), alignment_weight=1.0, image_weight=0.0)
    expected = r'loss: expected "wide" to return a scalar, a tensor of shape \(\), got \(5,\)$'
    with pytest.raises(ConfigError, match=expected):
        objective(torch.ones(5, 8), torch.zeros(5, 8), None)
