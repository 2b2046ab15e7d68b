"""States that frozen layers compute once for each text: the same embeddings, gradients and trainings, for less work."""

import contextlib

import pytest
import torch
from helpers.adapter_towers import batch_of, filled, tower_of
from helpers.tiny import sentences, tiny_tower

from pecl.adapters import engines
from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.config import make_config
from pecl.encoders.text import MultilingualTextEncoder
from pecl.experiment.run import train_fleet

TEXTS = [*sentences(7, seed=4), "a", "a much longer text than any of the others, so that there is padding"]
MIXED = [0, 1, 1, 0, 2, 2, 1, 0, 2]


class Counted:
    """How many tokens, padding included, each layer of a tower is given."""

    def __init__(self, tower):
        self.tokens = [0] * len(tower.backbone.encoder.layer)
        for i, layer in enumerate(tower.backbone.encoder.layer):
            layer.register_forward_pre_hook(lambda _, given, i=i: self._add(i, given[0]))

    def _add(self, i, hidden):
        self.tokens[i] += hidden.shape[0] * hidden.shape[1]


def embedded(tower, parameters, texts=TEXTS, slots=None):
    """Embeddings, and gradients of a scalar of them."""
    found = tower(*batch_of(tower, texts), slots)
    return found, *torch.autograd.grad(found.square().sum(), parameters)


@pytest.mark.parametrize(
    ("spec", "first"),
    [
        ("lora", 0),
        ("lora:layers=top-1+head", 1),
        ("lora:layers=top-1+word_embeddings:rank=2", 0),
        ("lora:layers=top-1+bitfit:target_modules=query", 0),  # the lowest counts
        ("head", 2),
        ("soft_prompt+head", 0),
        ("full", 0),
        ("pooler+head", 2),
        ("pooler", 2),  # of which a tower without pooler has none
    ],
)
def test_the_first_layer_is_the_lowest_that_depends_on_the_adapter(spec, first):
    tower = tower_of("bert" if spec == "pooler" else "labse")
    assert attach(tower, parse_adapter(spec)).first_layer == first


@pytest.mark.parametrize("texts", [TEXTS, ["one of two words"] * 9], ids=["padding", "none"])
@pytest.mark.parametrize("spec", ["lora:layers=top-1+head", "head", "prefix:layers=top-1"])
@pytest.mark.parametrize("architecture", ["xlm-roberta", "labse"])
def test_embeddings_and_gradients_are_those_without_keeping(architecture, spec, texts):
    tower = tower_of(architecture)
    parameters = filled(tower, spec, slots=3).parameters()
    expected = embedded(tower, parameters, texts, torch.tensor(MIXED))
    for known in (texts, texts[::2], []):  # all, some and none of the batch's
        with tower.caching([tower.tokenize(known)]):
            found = embedded(tower, parameters, texts, torch.tensor(MIXED))
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    assert tower.cached_layers is None


@pytest.mark.parametrize(
    ("spec", "pooling"), [("lora:layers=top-1", "mean"), ("head", "mean"), ("head", "cls"), ("head", "lasttoken")]
)
def test_what_is_beyond_the_limit_is_computed_in_each_pass(spec, pooling):
    """States of tokens are kept, or one pooled vector of each text behind all layers."""
    tower = tower_of("xlm-roberta", torch.float32)
    tower.pooling = pooling
    parameters = filled(tower, spec, slots=3).parameters()
    texts, slots = tower.tokenize(TEXTS), torch.tensor(MIXED)
    expected, reference = tower.encode_token_ids(texts, slots=slots), embedded(tower, parameters, slots=slots)
    counted = Counted(tower)
    limit = 32 * 4 * (7 if spec == "head" else sum(map(len, texts[:7])))
    with tower.caching([texts[:5], texts], limit) as kept:
        assert (len(kept), kept.bytes) == (7, limit)
        before = counted.tokens[0]
        torch.testing.assert_close(tower.encode_token_ids(texts, slots=slots), expected, rtol=1e-5, atol=1e-5)
        assert counted.tokens[0] - before == sum(map(len, texts[7:]))
        torch.testing.assert_close(embedded(tower, parameters, slots=slots), reference, rtol=1e-5, atol=1e-5)
    with tower.caching([texts], limit - 1) as kept:
        assert len(kept) == 6


@pytest.mark.parametrize("engine", ["pecl", "peft"])
def test_the_next_run_on_the_same_texts_takes_the_states_of_the_run_before(engine):
    """Only of the same texts and layers: everything else is computed again."""
    if engine == "peft":
        pytest.importorskip("peft")
    tower = tiny_tower("xlm-roberta")
    texts, others = tower.tokenize(TEXTS), tower.tokenize(sentences(4, seed=9))
    counted = Counted(tower)

    def run(lists, layers="top-1"):
        """Return the number of tokens that the first layer is given, and the cached states."""
        before = counted.tokens[0]
        adapter = engines.attach(engine, tower, engines.parse_adapter(engine, "lora", None, layers), seeds=[1])
        try:
            with tower.caching(lists) as cache:
                states = None if cache is None else [value.clone() for value in cache.states.states.values()]
        finally:
            adapter.remove()
        return counted.tokens[0] - before, states

    size = sum(map(len, texts))
    first, states = run([texts])
    again, same = run([texts])
    assert (first, again) == (size, 0)
    assert all(torch.equal(one, other) for one, other in zip(states, same, strict=True))
    assert run([others])[0] == sum(map(len, others))  # other texts
    assert run([texts])[0] == size  # only the states of the last run are held
    assert run([texts, others])[0] == size + sum(map(len, others))
    assert run([texts])[0] == size  # the batches were others

    with torch.no_grad():
        tower.backbone.encoder.layer[0].output.dense.weight.mul_(1.5)
    changed, other_states = run([texts])
    assert changed == size
    assert any(not torch.equal(one, other) for one, other in zip(states, other_states, strict=True))
    assert run([texts], layers=None) == (0, None)
    assert run([texts])[0] == size  # an adapter in all layers frees them


@pytest.mark.parametrize(
    ("spec", "attention"), [("lora", "sdpa"), ("soft_prompt+head", "sdpa"), (None, "sdpa"), ("head", "eager")]
)
def test_nothing_is_kept_where_no_layer_lies_below_or_the_attention_is_not_known(spec, attention):
    tower = tower_of("xlm-roberta")
    tower.backbone.config._attn_implementation = attention
    if spec is not None:
        filled(tower, spec)
    with tower.caching([tower.tokenize(TEXTS)]) as kept:
        assert kept is tower.cached_layers is None


def test_passes_with_dropout_draw_it_in_every_layer():
    tower = tiny_tower("xlm-roberta", dropout=0.5)
    filled(tower, "head")
    inputs = batch_of(tower, TEXTS)
    with tower.caching([tower.tokenize(TEXTS)]):
        plain = tower(*inputs)
        tower.train()
        torch.manual_seed(0)
        found = tower(*inputs)
    torch.manual_seed(0)
    assert torch.equal(found, tower(*inputs))
    assert (found - plain).abs().max() > 1e-3


def experiments(small, folder, **values):
    shared = {**small, "out": folder, "adapter_layers": "top-1", **values}
    return train_fleet([make_config({**shared, "lr": lr}) for lr in (1e-2, 1e-3)])


@pytest.mark.parametrize("dropout", [False, True])
def test_an_experiment_gives_what_it_gives_without_keeping(small, tmp_path, monkeypatch, dropout):
    values = {"dropout": dropout, "adapter": "lora+head"}
    kept, plain = [], MultilingualTextEncoder.caching

    @contextlib.contextmanager
    def noted(tower, lists):
        with plain(tower, lists) as states:
            kept.append(len(states))
            yield states

    monkeypatch.setattr(MultilingualTextEncoder, "caching", noted)
    found = experiments(small, str(tmp_path / "kept"), **values)
    # 6 and 12 texts to measure with; and, without dropout, 6 pairs to learn from
    assert kept == [6 + 12 if dropout else 6 + 12 + 2 * 6]
    monkeypatch.setattr(MultilingualTextEncoder, "caching", lambda tower, lists: contextlib.nullcontext())
    for one, other in zip(found, experiments(small, str(tmp_path / "plain"), **values), strict=True):
        assert (one.metrics, one.all_ranks, one.best_step) == (other.metrics, other.all_ranks, other.best_step)
        torch.testing.assert_close(torch.tensor(one.curve.loss), torch.tensor(other.curve.loss), rtol=1e-5, atol=1e-5)
