"""States that frozen layers compute once for each text: the same embeddings, gradients and trainings, for less work."""

import contextlib

import pytest
import torch
from helpers.adapter_towers import ARCHITECTURES, batch_of, filled, tower_of
from helpers.devices import close, run_of
from helpers.small_training import task, trainer
from helpers.tiny import sentences, tiny_tower

import pecl.training.trainer
from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.config import make_config
from pecl.encoders.text import MultilingualTextEncoder
from pecl.experiment.run import train_fleet
from pecl.training.schedule import Schedule

PACKED = ("lora:layers=top-1+head", "bottleneck:layers=top-1", "head", "layernorm:layers=top-1")
PADDED = ("prefix:layers=top-1",)
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
        ("lora:layers=top-2", 0),
        ("lora:layers=top-1", 1),
        ("lora:layers=top-1+head", 1),
        ("lora:layers=top-1+word_embeddings:rank=2", 0),
        ("lora:layers=top-1+bitfit:target_modules=query", 0),  # the lowest counts
        ("head", 2),
        ("head:rank=2", 2),
        ("soft_prompt+head", 0),
        ("hard_prompt+lora:layers=top-1", 0),
        ("full", 0),
        ("pooler+head", 2),
    ],
)
def test_the_first_layer_is_the_lowest_that_depends_on_the_adapter(spec, first):
    tower = tower_of("labse")
    assert attach(tower, parse_adapter(spec)).first_layer == first


@pytest.mark.parametrize("texts", [TEXTS, ["one of two words"] * 9], ids=["padding", "none"])
@pytest.mark.parametrize("spec", PACKED + PADDED)
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_embeddings_and_gradients_are_those_without_keeping(architecture, spec, texts):
    tower = tower_of(architecture)
    parameters = filled(tower, spec, slots=3).parameters()
    expected = embedded(tower, parameters, texts, torch.tensor(MIXED))
    for known in (texts, texts[::2], []):  # all, some and none of the batch's
        with tower.caching([tower.tokenize(known)]):
            found = embedded(tower, parameters, texts, torch.tensor(MIXED))
            torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-10)
    assert tower.cached_layers is None


@pytest.mark.parametrize("spec", ["lora:layers=top-1+head", "prefix:layers=top-1"])
def test_layers_below_compute_each_text_once(spec):
    tower = tower_of("xlm-roberta", torch.float32)
    adapter = filled(tower, spec)
    counted, texts = Counted(tower), tower.tokenize(TEXTS)
    with tower.caching([texts[:5], texts]) as kept:
        expected = sum(map(len, texts))
        assert (len(kept), kept.bytes) == (len(set(map(tuple, texts))), expected * 32 * 4)
        for _ in range(3):
            tower.encode_token_ids(texts)
        assert counted.tokens[: adapter.first_layer] == [expected] * adapter.first_layer
        assert all(tokens >= 3 * expected for tokens in counted.tokens[adapter.first_layer :])


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


def learned(change=lambda run: None, **options):
    """Losses and final parameters of a fleet that keeps states."""
    tower = tiny_tower()
    tasks = [task(tower, seed=seed, lr=1e-2 / seed) for seed in (1, 2)]
    run = trainer(tower, tasks, Schedule(4, 5, 3, dropout=False), parse_adapter("lora:layers=top-1+head"), **options)
    change(run)
    with tower.caching([column for one in tasks for column in one.texts]):
        records = run.run()
    return [one.losses for one in records], [run.adapter.slot_state(slot) for slot in range(2)]


def test_a_training_that_was_stopped_ends_with_the_same_bits(tmp_path, monkeypatch):
    begun = []
    expected = learned()
    monkeypatch.setattr(pecl.training.trainer, "SAVE_EVERY_SECONDS", 0.0)

    def stop(run):
        step = run.train_step
        run.train_step = lambda: pytest.fail("stopped") if run.step == 5 else step()

    with pytest.raises(pytest.fail.Exception, match="stopped"):
        learned(change=stop, state_path=tmp_path / "state")
    losses, states = learned(state_path=tmp_path / "state", change=lambda run: begun.append(run.is_saved))
    assert begun == [True]
    assert losses == expected[0]
    for state, other in zip(states, expected[1], strict=True):
        assert all(torch.equal(value, other[name]) for name, value in state.items())


def test_no_step_waits_for_the_device(fake_device):
    runs = [run_of(device, "bert", "a fleet", spec="lora:layers=top-1") for device in (fake_device.device, "cpu")]
    found = []
    for run in runs:
        texts = [column[:9] for one in run.tasks for column in one.texts]  # the other texts are computed in each step
        with run.tower.caching(texts), fake_device.counted() as waits:
            found.append([run.train_step() for _ in range(2)])
        assert waits == []
    for there, here in zip(*found, strict=True):
        close(there.cpu(), here)


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
