"""Dropout by row: what a row drops depends on its own seed and tokens, never on the batch around it."""

import numpy as np
import pytest
import torch
from helpers.tiny import sentences, tiny_tower

from pecl.adapters.adapter import attach
from pecl.adapters.merge import second_tower
from pecl.adapters.spec import parse_adapter
from pecl.encoders.dropout import DropoutSeeds, RowDropout, row_seeds, use_row_dropout

TEXTS = sentences(6, seed=3)


def tower_of(spec=None):
    tower = tiny_tower(dropout=0.3)
    if spec is not None:
        attach(tower, parse_adapter(spec), seeds=[1])
    use_row_dropout(tower, tower.dropout_seeds)
    return tower.train()


def embed(tower, texts, seeds):
    batch = tower.pad(tower.tokenize(texts), range(len(texts)))
    with tower.dropout_seeds.use(np.asarray(seeds, np.uint64)), torch.no_grad():
        return tower(batch.input_ids, batch.attention_mask)


def masks(shape=(40, 60, 64), p=0.1, seed=5, site="a"):
    draws = DropoutSeeds()
    dropout = RowDropout(p, draws, site).train()
    with draws.use(row_seeds(seed, shape[0])):
        return dropout(torch.ones(shape)) == 0


@pytest.mark.parametrize("p", [0.01, 0.5, 0.9])
def test_the_share_that_is_dropped_is_p_along_every_dimension(p):
    """Within 4.5 standard errors of a binomial share, for rows, positions, features and all."""
    dropped = masks(p=p).double()
    for keep in ((), (0,), (1,), (2,)):
        other = [i for i in range(3) if i not in keep]
        share, count = dropped.mean(dim=other), dropped.numel() / max(1, np.prod([dropped.shape[i] for i in keep]))
        assert (share - p).abs().max() < 4.5 * (p * (1 - p) / count) ** 0.5


def test_what_is_dropped_depends_on_seed_row_site_and_shape_of_the_head_alone():
    same = masks()
    assert torch.equal(same, masks())
    assert masks((2, 3, 4), p=1.0).all()
    assert torch.equal(same[:7, :5], masks(shape=(7, 5, 64)))  # fewer rows, shorter ones
    for other in (masks(seed=6), masks(site="b"), masks().flip(0)):
        assert 0.15 < (same != other).double().mean() < 0.21  # 2 p (1 - p) of independent masks


def test_kept_elements_are_scaled_and_gradients_follow():
    draws = DropoutSeeds()
    dropout = RowDropout(0.25, draws, "a").train()
    x = torch.randn(3, 5, 7, requires_grad=True)
    with draws.use(row_seeds(1, 3)):
        y = dropout(x)
    y.sum().backward()
    kept = y != 0
    torch.testing.assert_close(y[kept], x[kept] / 0.75)
    torch.testing.assert_close(x.grad, kept / 0.75)


def test_without_seeds_or_training_it_is_torchs():
    dropout = RowDropout(0.5, DropoutSeeds(), "a")
    x = torch.ones(10, 10, 10)
    assert torch.equal(dropout.eval()(x), x)
    torch.manual_seed(0)
    found = dropout.train()(x)
    torch.manual_seed(0)
    assert torch.equal(found, torch.nn.functional.dropout(x, 0.5))


@pytest.mark.parametrize("spec", [None, "lora:lora_dropout=0.4", "prefix", "soft_prompt"])
def test_a_row_drops_the_same_alone_packed_padded_or_among_others(spec):
    tower = tower_of(spec)
    seeds = row_seeds(3, len(TEXTS))
    together = embed(tower, TEXTS, seeds)
    single = torch.cat([embed(tower, [text], seeds[i : i + 1]) for i, text in enumerate(TEXTS)])
    backwards = embed(tower, TEXTS[::-1], seeds[::-1]).flip(0)
    tower.packing = False
    padded = embed(tower, TEXTS, seeds)
    for other in (single, backwards, padded):
        torch.testing.assert_close(other, together, rtol=1e-4, atol=1e-5)
    assert (embed(tower, TEXTS, row_seeds(4, len(TEXTS))) - together).abs().max() > 1e-2
    assert (tower.encode_text(TEXTS, normalize=False) - together).abs().max() > 1e-2  # without dropout


def test_layers_draw_different_masks_and_the_same_whatever_was_attached_before():
    tower = tiny_tower()
    adapter = attach(tower, parse_adapter("prefix"))
    use_row_dropout(tower, tower.dropout_seeds)
    adapter.remove()
    use_row_dropout(tower, tower.dropout_seeds)
    sites = [module.site for module in tower.modules() if isinstance(module, RowDropout)]
    plain = tiny_tower()
    use_row_dropout(plain, plain.dropout_seeds)
    assert sites == [module.site for module in plain.modules() if isinstance(module, RowDropout)]
    assert len(set(sites)) == len(sites) == 1 + 3 * 2
    copied = second_tower(tower)
    use_row_dropout(copied, copied.dropout_seeds)
    assert all(one.row_seeds is copied.dropout_seeds for one in copied.modules() if isinstance(one, RowDropout))


def test_eager_attention_draws_by_row_as_well():
    tower = tower_of()
    seeds = row_seeds(3, len(TEXTS))
    expected = embed(tower, TEXTS, seeds)
    tower.backbone.config._attn_implementation = "eager"
    torch.testing.assert_close(embed(tower, TEXTS, seeds), expected, rtol=1e-4, atol=1e-5)
