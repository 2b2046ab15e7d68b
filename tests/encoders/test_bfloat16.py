"""A tower in bf16 gives the results and gradients of fp32 to bf16's digits; copies to a device do not wait."""

import copy

import pytest
import torch
from helpers.adapter_towers import TEXTS, batch_of, filled, tower_of

from pecl.adapters.merge import merge_slot, second_tower
from pecl.config import make_config
from pecl.encoders import bfloat16
from pecl.encoders.attention import sdpa
from pecl.encoders.bfloat16 import Bfloat16Linear, check_bfloat16
from pecl.encoders.pooling import POOLINGS
from pecl.encoders.store import store_of, text_embeddings
from pecl.errors import ConfigError
from pecl.experiment.run import train

STEP = 2**-8  # from one bfloat16 number to the next, relative: rounding errs by half of it at most
SPECS = ("lora", "bottleneck", "compacter:reduction_factor=2", "prefix", "bitfit", "head", "word_embeddings:rank=2")


def pair(architecture="xlm-roberta", states=False):
    """The same tower in fp32 and in bf16."""
    plain = tower_of(architecture, torch.float32)
    lower = copy.deepcopy(plain)
    lower.use_bfloat16(states)
    return plain, lower


def direction(a, b):
    return torch.nn.functional.cosine_similarity(a.flatten(), b.flatten(), dim=0)


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_multiplies_rounded_numbers(bias):
    torch.manual_seed(0)
    plain, x = torch.nn.Linear(48, 32, bias), torch.randn(3, 5, 48, requires_grad=True)
    out = Bfloat16Linear(plain)(x)
    rounded = x.detach().bfloat16().double() @ plain.weight.detach().bfloat16().double().T
    expected = rounded + (plain.bias.detach().double() if bias else 0)
    assert out.dtype == torch.float32
    assert (out.double() - expected).abs().max() <= STEP * expected.abs().max()
    gradient = torch.randn_like(out)
    out.backward(gradient)
    wanted = gradient.double() @ plain.weight.detach().double()
    assert x.grad.dtype == torch.float32
    assert (x.grad.double() - wanted).abs().max() <= 2 * STEP * wanted.abs().max()


def test_a_device_that_cannot_multiply_is_refused_and_a_slow_one_warned_of(monkeypatch, caplog):
    monkeypatch.setattr(bfloat16, "cpu_multiplies_bfloat16", lambda: False)
    check_bfloat16("cpu")
    assert "precision bf16: this processor has neither AVX512-BF16 nor AMX" in caplog.text
    with pytest.raises(ConfigError, match="expected fp32 on the device meta, which"):  # no number can be read
        check_bfloat16("meta")
    monkeypatch.setattr(torch, "ones", lambda *_, **__: torch.zeros(1, 1))
    with pytest.raises(ConfigError, match="expected fp32 on the device cpu, which has no bf16, got bf16"):
        check_bfloat16("cpu")


def test_frozen_matrices_are_held_once_and_in_half_the_memory():
    plain, lower = pair()
    matrices = [module for module in lower.backbone.modules() if isinstance(module, torch.nn.Linear)]
    assert len(matrices) == 2 * 6
    assert all(module.weight.dtype == torch.bfloat16 and module.bias.dtype == torch.float32 for module in matrices)
    halves = sum(2 * module.weight.numel() for module in matrices)
    size = {tower: sum(t.nbytes for t in tower.state_dict().values()) for tower in (plain, lower)}
    assert size[plain] - size[lower] == halves
    assert lower.fingerprint == plain.fingerprint
    assert lower.head.weight.dtype == torch.float32


@pytest.mark.parametrize("states", [False, True], ids=["products", "states"])
@pytest.mark.parametrize("spec", [*SPECS, "layernorm", "soft_prompt", "lora:layers=top-1"])
def test_what_is_trained_is_fp32_and_has_the_gradients_of_fp32(spec, states):
    texts, found = TEXTS[:6], {}
    for tower in pair(states=states):
        adapter = filled(tower, spec, slots=2, seed=1)
        assert {parameter.dtype for parameter in adapter.parameters()} == {torch.float32}
        slots = torch.tensor([0, 0, 0, 1, 1, 1])
        embeddings = tower(*batch_of(tower, texts), slots)
        assert embeddings.dtype == torch.float32
        (embeddings - torch.linspace(-1, 1, embeddings.numel()).view_as(embeddings)).square().mean().backward()
        found[tower.precision] = torch.cat([parameter.grad.flatten() for parameter in adapter.parameters()])
    assert direction(found["bf16"], found["fp32"]) > (0.998 if states else 0.999)
    assert 0.98 < found["bf16"].norm() / found["fp32"].norm() < 1.02


@pytest.fixture
def layer_types():
    """Note the types of numbers that enter and leave the layers of a tower."""

    def noted(tower):
        types = set()
        for layer in tower.backbone.encoder.layer:
            layer.register_forward_hook(lambda _, given, output: types.update((given[0].dtype, output.dtype)))
        return types

    return noted


@pytest.mark.parametrize("spec", [None, *SPECS, "layernorm", "soft_prompt", "lora:layers=top-1"])
@pytest.mark.parametrize("architecture", ["xlm-roberta", "mini"])
def test_states_are_bf16_from_layer_to_layer_and_embeddings_are_fp32_and_near(architecture, spec, layer_types):
    embeddings = []
    for tower in pair(architecture, states=True):
        if spec is not None:
            filled(tower, spec, seed=1)
        types = layer_types(tower)
        ids = tower.tokenize(TEXTS)
        embeddings.append(tower.encode_token_ids(ids))
        with tower.caching([ids]):
            cached = tower.encode_token_ids(ids)
        assert types == ({torch.bfloat16} if tower.holds_bfloat16 else {torch.float32})
        assert embeddings[-1].dtype == cached.dtype == torch.float32
        assert direction(cached, embeddings[-1]) > 0.9999
    nearest = torch.nn.functional.cosine_similarity(*embeddings).min()
    assert nearest > 0.999


def test_a_tower_with_a_merged_adapter_holds_its_states_in_bf16(layer_types):
    merged = []
    for tower in pair(states=True):
        adapter = filled(tower, "lora:r=2", seed=3)
        merged.append(merge_slot(adapter, 0))
    types = layer_types(merged[1])
    embeddings = [tower.encode_text(TEXTS) for tower in merged]
    assert types == {torch.bfloat16}
    assert torch.nn.functional.cosine_similarity(*embeddings).min() > 0.999


@pytest.mark.parametrize("is_replaced", [False, True])
def test_an_encoder_with_a_layer_of_another_program_converts_in_each_layer(is_replaced):
    tower = tower_of("xlm-roberta", torch.float32)
    if is_replaced:
        layer = tower.backbone.encoder.layer[0]
        layer.forward = layer.forward
    expected = tower.encode_text(TEXTS)

    tower.use_bfloat16()
    assert tower.precision == "bf16"
    assert tower.holds_bfloat16 is not is_replaced
    assert second_tower(tower).holds_bfloat16 is not is_replaced
    assert torch.nn.functional.cosine_similarity(tower.encode_text(TEXTS), expected).min() > 0.999


def test_a_merged_tower_loses_nothing_of_the_update():
    plain, lower = pair()
    weights = []
    for tower in (plain, lower):
        adapter = filled(tower, "lora-only:r=2", seed=3)
        merged = merge_slot(adapter, 0).backbone.encoder.layer[0].attention.self.query
        weights.append(merged.weight.detach() - adapter.modules[0].module.plain_base(0).weight.detach().float())
        assert type(merged) is torch.nn.Linear
        assert merged.weight.dtype == torch.float32
    torch.testing.assert_close(*weights, rtol=0, atol=1e-6)


def test_stores_keep_precisions_apart(monkeypatch, tmp_path):
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path))
    plain, lower = pair()
    theirs, ours = (text_embeddings(tower, TEXTS, store_of(tower)) for tower in (plain, lower))
    assert not torch.equal(theirs, ours)
    assert store_of(pair(states=True)[1]).tower != store_of(lower).tower
    assert torch.equal(text_embeddings(lower, TEXTS, store_of(lower)), ours)


def test_runs_in_bf16_are_other_runs(small):
    lower, plain = (make_config({**small, "precision": name}) for name in ("bf16", "fp32"))
    ours, theirs = train(lower), train(plain)
    assert (ours.config.precision, theirs.config.precision) == ("bf16", "fp32")
    assert ours.run_id != theirs.run_id
    assert theirs.run_id == make_config(small).run_id()
    losses = [[loss for _, loss in result.curve.loss] for result in (ours, theirs)]
    assert losses[0] != losses[1]
    # Single products err by half a step, either way, and the largest difference of these losses is 1.5 steps
    assert losses[0] == pytest.approx(losses[1], rel=2 * STEP)
    assert ours.towers.text == theirs.towers.text


def test_the_mean_of_bfloat16_states_is_rounded_only_once():
    states = torch.randn(40, 300, 16).add(1).bfloat16()  # (B, L, d)
    mask = (torch.arange(300) < torch.randint(250, 300, (40, 1))).long()  # (B, L)
    wide = states.double() * mask.unsqueeze(-1)
    expected = (wide.sum(1) / mask.sum(1, keepdim=True)).bfloat16()
    assert torch.equal(POOLINGS["mean"](states, mask), expected)


@pytest.mark.parametrize("kind", ["none", "bool", "added"])
@pytest.mark.parametrize("length", [12, 16, 17, 31])
def test_padded_keys_change_no_attention(length, kind):
    """The reference is the softmax in float64; keys of 12 and 31 tokens are padded where the processor gains."""
    generator = torch.Generator().manual_seed(length)
    query, key, value = (torch.randn(8, 2, length, 4, generator=generator).bfloat16() for _ in range(3))
    visible = torch.arange(length) < torch.arange(8)[:, None] % length + 1  # (B, K)
    visible = visible[:, None, None]
    mask = {"none": None, "bool": visible, "added": torch.where(visible, 0.0, -torch.inf).bfloat16()}[kind]
    with torch.inference_mode():
        attended, _ = sdpa(torch.nn.Identity(), query, key, value, mask, scaling=0.5)

    scores = 0.5 * query.double() @ key.double().mT
    if kind != "none":
        scores = scores.masked_fill(~visible, -torch.inf)
    expected = (scores.softmax(-1) @ value.double()).transpose(1, 2)
    assert attended.shape == expected.shape
    assert torch.allclose(attended.double(), expected, atol=0.03)
