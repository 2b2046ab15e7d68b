"""What every kind of adapter promises, on every architecture: one table of kinds, one test for each promise."""

import re

import pytest
import torch
from helpers.adapter_towers import batch_of, filled, tower_of
from helpers.small_training import slot_run, trainer
from helpers.tiny import tiny_tokenizer
from transformers import XLMRobertaConfig, XLMRobertaModel

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import load_adapter_file, save_adapter
from pecl.adapters.spec import KINDS, parse_adapter
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.files import read_tensors

QUERY_VALUE = [f"attention.self.{name}.lora_{x}" for name in ("query", "value") for x in "AB"]
NORMS = [f"{path}.LayerNorm.{x}" for path in ("attention.output", "output") for x in ("weight", "bias")]
LINEARS = [f"attention.self.{name}" for name in ("query", "key", "value")]
LINEARS += ["attention.output.dense", "intermediate.dense", "output.dense"]
DENSE = ("attention.output.dense", "output.dense")
BOTTLENECK = [f"{p}.{x}_{y}" for p in DENSE for x in ("down", "up") for y in ("weight", "bias")]
COMPACTER = [f"{p}.{x}_{y}" for p in DENSE for x in ("down", "up") for y in ("rule", "left", "right", "bias")]
BITFIT = [f"{p}.bias_offset" for p in (*LINEARS, "attention.output.LayerNorm", "output.LayerNorm")]
HEAD = ["head.weight", "head.bias"]
WORDS = {f"backbone.embeddings.word_embeddings.{name}" for name in ("vectors", "up")}
PROMPT = {"backbone.embeddings.word_embeddings.prompt"}


def in_layers(*names):
    return {f"backbone.encoder.layer.{i}.{name}" for i in range(2) for name in names}


def in_top_layer(*names):
    return {f"backbone.encoder.layer.1.{name}" for name in names}


# spec -> the exact names of its parameters in a tower of two layers
SPECS = {
    "lora": in_layers(*QUERY_VALUE, *NORMS),
    "run_cross": in_layers(*(f"{path}.lora_{x}" for path in LINEARS[:4] for x in "AB"), *NORMS).union(HEAD),
    "bottleneck-only:identity_start=false,bottleneck_dim=5": in_layers(*BOTTLENECK),
    "compacter:reduction_factor=4": in_layers(*COMPACTER, *NORMS),
    "soft_prompt:pool_prompt=false,num_virtual_tokens=2": PROMPT,
    "layernorm": in_layers(*NORMS),
    "lora:layers=top-1+head": in_top_layer(*QUERY_VALUE, *NORMS).union(HEAD),
    "prefix:layers=top-1+bitfit:target_modules=value,layers=top-2": (
        in_top_layer("attention.self.prefix") | in_layers("attention.self.value.bias_offset")
    ),
    "bitfit": in_layers(*BITFIT),
    "word_embeddings:tokens=7,rank=3": WORDS,
    "head": set(HEAD),
    "head:rank=3": {"head.down", "head.up", "head.shift"},
    "full": None,  # every name of the base encoder
    "word_embeddings:rank=2+soft_prompt+prefix+lora-only+bitfit+head": (
        in_layers(*QUERY_VALUE, "attention.self.prefix", *BITFIT).union(HEAD, PROMPT, WORDS)
    ),
}


@pytest.fixture(params=["xlm-roberta", "labse"])
def tower(request):
    return tower_of(request.param)


def embed(tower, slots=None, texts=None):
    return tower(*batch_of(tower, texts), None if slots is None else torch.tensor(slots))


def backward(adapter, embeddings):
    if adapter.parameters():
        (embeddings * torch.linspace(-1, 1, embeddings.shape[1])).square().sum().backward()


def test_the_table_has_every_method():
    tried = {config.kind for spec in SPECS for config in parse_adapter(spec)}
    assert tried == set(KINDS)


@pytest.mark.parametrize(
    ("spec", "change", "message"),
    [
        ("full", lambda encoder: encoder.add_module("extra", torch.nn.Conv1d(1, 1, 1)),
         "full: backbone.encoder.extra is a Conv1d, expected one of Linear, "),
        ("prefix", lambda encoder: setattr(encoder.config, "_attn_implementation", "flex_attention"),
         "prefix: expected the attention implementation sdpa or eager, got 'flex_attention'"),
        ('lora:target_modules=".*nowhere"', lambda _: None,
         'linear layers such as encoder.layer.0.attention.self.query, got ".*nowhere", which matches none'),
    ],
)  # fmt: skip
def test_a_tower_that_a_kind_does_not_fit_is_refused(spec, change, message):
    tower = tower_of("bert")
    change(tower.backbone.encoder)
    with pytest.raises(ConfigError, match=re.escape(message)):
        attach(tower, parse_adapter(spec))
    assert tower.adapter is None


@pytest.mark.parametrize("spec", SPECS)
def test_exactly_these_names_are_trainable(tower, spec):
    names = SPECS[spec]
    if names is None:
        names = {name for name, _ in tower.named_parameters() if "pooler" not in name}
    if spec == "run_cross" and tower.backbone.pooler is not None:
        names = names | {"backbone.pooler.dense.weight", "backbone.pooler.dense.bias"}
    adapter = attach(tower, parse_adapter(spec))
    assert {name for name, _ in adapter.named_parameters()} == names
    trainable = {id(parameter) for parameter in tower.parameters() if parameter.requires_grad}
    assert trainable == {id(parameter) for parameter in adapter.parameters()}
    assert adapter.learning_rate_scales().keys() == names
    assert adapter.num_parameters() == sum(adapter.slot_state(0)[name].numel() for name in names)


@pytest.mark.parametrize("spec", SPECS)
def test_gradient_reaches_every_parameter_and_nothing_else(tower, spec):
    adapter = filled(tower, spec)
    backward(adapter, embed(tower))
    for name, parameter in adapter.named_parameters():
        if "pooler" in name:  # no embedding depends on it
            assert parameter.grad is None
        elif re.search(r"key\.bias", name) and "prefix" not in spec:  # the same for all scores
            assert parameter.grad.abs().max() < 1e-9
        else:
            assert parameter.grad.abs().max() > 1e-9, name
    mine = {id(parameter) for parameter in adapter.parameters()}
    assert all(parameter.grad is None for parameter in tower.parameters() if id(parameter) not in mine)


def test_learning_rate_scales_are_those_of_each_method(tower):
    run = trainer(tower, [slot_run(tower)], configs=parse_adapter("lora+prefix+head:lr_scale=0.25"))
    scales = run.adapter.learning_rate_scales()
    assert list(scales) == [name for name, _ in run.adapter.named_parameters()]  # the optimizer goes by their order
    assert {name: scale for name, scale in scales.items() if scale != 1} == dict.fromkeys(HEAD, 0.25)
    assert run.optimizer.scales == list(scales.values())


def separate_passes(tower, spec, slots, num_slots):
    """Outputs and gradients of each slot as an adapter of its own, from the same values."""
    adapter = filled(tower, spec, num_slots)
    states = [adapter.slot_state(slot) for slot in range(num_slots)]
    adapter.remove()
    input_ids, attention_mask = batch_of(tower)
    outputs = torch.zeros(len(slots), tower.embedding_dim, dtype=torch.float64)
    gradients = {}
    for slot in sorted(set(slots)):
        single = attach(tower, parse_adapter(spec))
        single.load_slot_state(0, states[slot])
        rows = [i for i, s in enumerate(slots) if s == slot]
        found = tower(input_ids[rows], attention_mask[rows])
        backward(single, found)
        outputs[rows] = found.detach()
        gradients[slot] = {name: p.grad for name, p in single.named_parameters()}
        single.remove()
    return outputs, gradients


def assert_slots_equal_separate(tower, spec, slots, num_slots):
    outputs, gradients = separate_passes(tower, spec, slots, num_slots)
    adapter = filled(tower, spec, num_slots)
    found = embed(tower, slots)
    torch.testing.assert_close(found, outputs, rtol=0, atol=1e-10)
    backward(adapter, found)
    for name, parameter in adapter.named_parameters():
        for slot in range(num_slots):
            by_itself = gradients[slot][name] if slot in gradients else None
            if parameter.grad is None:
                assert by_itself is None
            elif by_itself is None:
                assert not parameter.grad[slot].any(), f"{name}: slot {slot} has no rows, yet a gradient"
            else:
                torch.testing.assert_close(parameter.grad[slot], by_itself[0], rtol=1e-8, atol=1e-10)
    adapter.remove()


MIXED = [2, 0, 1, 1, 0, 2]


@pytest.mark.parametrize(
    ("architecture", "slots"), [("xlm-roberta", [0, 0, 1, 1, 2, 2]), ("labse", MIXED), ("roberta", [0, 2, 2, 2, 0, 0])]
)
@pytest.mark.parametrize("spec", SPECS)
def test_slots_equal_separate_adapters_in_outputs_and_gradients(spec, architecture, slots):
    assert_slots_equal_separate(tower_of(architecture), spec, slots, 3)


@pytest.mark.parametrize("spec", SPECS)
def test_save_load_switch_and_remove_are_bit_identical(tower, spec, tmp_path):
    plain, fingerprint = embed(tower), tower.fingerprint
    adapter = filled(tower, spec, 2)
    german, czech = embed(tower, [0] * 6), embed(tower, [1] * 6)
    for slot, language in enumerate(("de", "cs")):
        path = tmp_path / f"{language}.safetensors"
        save_adapter(path, adapter.slot_state(slot), adapter.configs, language, tower)
        assert parse_adapter(read_tensors(path)[1]["spec"]) == adapter.configs  # the header says it for readers
    configs = adapter.configs
    adapter.remove()
    assert torch.equal(embed(tower), plain)

    adapter = attach(tower, configs)
    for language, expected in (("de", german), ("cs", czech), ("de", german)):
        file = load_adapter_file(tmp_path / f"{language}.safetensors", tower)
        assert (file.language, file.configs) == (language, configs)
        adapter.load_slot_state(0, file.state)
        assert torch.equal(embed(tower), expected)
    adapter.remove()
    assert torch.equal(embed(tower), plain)
    tower._fingerprint = None
    assert tower.fingerprint == fingerprint, "an adapter wrote into the tower"


@pytest.mark.parametrize("spec", SPECS)
def test_half_precision(spec):
    exact, tower = tower_of("xlm-roberta"), tower_of("xlm-roberta", torch.bfloat16)
    filled(exact, spec, 3)
    adapter = filled(tower, spec, 3)
    assert {parameter.dtype for parameter in adapter.parameters()} <= {torch.bfloat16}
    found = embed(tower, MIXED)
    assert found.dtype == torch.bfloat16
    expected = embed(exact, MIXED)
    assert (found.double() - expected).norm() < 0.015 * expected.norm()  # four times the rounding of one value
    if adapter.parameters():
        found.float().square().sum().backward()
        assert all(p.grad.isfinite().all() for n, p in adapter.named_parameters() if "pooler" not in n)


@pytest.mark.parametrize("spec", SPECS)
def test_a_slot_starts_as_a_single_adapter_with_its_seed(spec):
    tower = tower_of("xlm-roberta")
    fleet = attach(tower, parse_adapter(spec), seeds=(7, 8))
    states = [fleet.slot_state(0), fleet.slot_state(1)]
    fleet.remove()
    for seed, state in zip((7, 8), states, strict=True):
        single = attach(tower, parse_adapter(spec), seeds=(seed,))
        for name, value in single.slot_state(0).items():
            assert torch.equal(value, state[name])
        single.remove()


# METHOD.md's table of trainable parameters in XLM-R Large; prefix, head and BitFit by hand:
# 24 layers x 2 x 4 x 1024; 768 x 1025; 24 layers x (9 x 1024 + 4096 - 2 x 1024).
COUNTS = {
    "lora": 884_736,
    "bottleneck": 2_507_904,
    "compacter": 261_120,
    "soft_prompt": 4_096,
    "run_cross": 2_131_712,
    "prefix": 196_608,
    "head:rank=48": 86_784,  # 48 x (1024 + 768) + 768
    "bitfit": 270_336,
    "word_embeddings": 32 * (2048 + 1024),
    "lora:layers=top-3": 3 * (2 * 2 * 8 * 1024 + 2 * 2 * 1024),
    "full": 560_677_632 - 1_049_600,  # all but the pooler
}


@pytest.fixture(scope="module")
def large():
    """XLM-R Large with pooler and M-CLIP's head, without memory."""
    config = XLMRobertaConfig(
        vocab_size=250_002,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        max_position_embeddings=514,
        type_vocab_size=1,
    )
    with torch.device("meta"):
        backbone, head = XLMRobertaModel(config), torch.nn.Linear(1024, 768)
    return MultilingualTextEncoder(backbone, tiny_tokenizer(), head, name="large")


@pytest.mark.parametrize("spec", COUNTS)
def test_parameter_counts_on_xlm_roberta_large(large, spec):
    adapter = attach(large, parse_adapter(spec))
    assert adapter.num_parameters() == COUNTS[spec]
    adapter.remove()
