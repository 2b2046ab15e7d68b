"""Each kind against a second implementation: PEFT, torch.kron, a changed copy of the tower, attention by hand."""

import copy
import json
from collections import Counter

import peft
import pytest
import torch
from helpers.adapter_towers import TEXTS, batch_of, filled, tower_of
from helpers.tiny import sentences, tiny_tokenizer
from torch import nn
from torch.nn import functional as F
from transformers import ElectraConfig, ElectraModel
from transformers.activations import ACT2FN

from pecl.adapters.adapter import attach
from pecl.adapters.kind import ACTIVATIONS
from pecl.adapters.merge import merge_slot
from pecl.adapters.spec import parse_adapter
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError
from pecl.language.lexicon import make_lexicon

PATTERN = r"encoder\.layer\.1\..*\.(key|dense)"


def hooked(tower, path, function):
    """A copy of the tower in which `function` changes the output of a layer."""
    tower = copy.deepcopy(tower)
    tower.get_submodule(path).register_forward_hook(lambda module, inputs, output: function(output))
    return tower


def test_a_regular_expression_adapts_an_encoder_of_no_known_family():
    sizes = {"embedding_size": 32, "hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 48}
    config = ElectraConfig(**sizes, vocab_size=260, num_attention_heads=4, pad_token_id=1)
    tower = MultilingualTextEncoder(ElectraModel(config).eval(), tiny_tokenizer(), None, name="electra")
    with pytest.raises(WeightsError, match=r"'electra'.* regular expression as target_modules"):
        attach(tower, parse_adapter("lora-only"))
    reference = copy.deepcopy(tower)
    adapter = filled(tower, f"lora-only:r=8,lora_alpha=4,target_modules={json.dumps(PATTERN)}")
    config = peft.LoraConfig(r=8, lora_alpha=4, target_modules=PATTERN)
    reference.backbone = peft.get_peft_model(reference.backbone, config)
    state = adapter.slot_state(0)
    for name, parameter in reference.backbone.named_parameters():
        if ".lora_" in name:
            own = name.replace("base_model.model.", "backbone.").replace(".default.weight", "")
            parameter.data = state.pop(own)
    assert not state
    torch.testing.assert_close(tower(*batch_of(tower)), reference(*batch_of(tower)), rtol=0, atol=1e-6)


def test_word_embeddings_equal_peft_with_zeros_for_all_other_tokens():
    tower = tower_of("xlm-roberta")
    reference = copy.deepcopy(tower)
    adapter = attach(tower, parse_adapter("word_embeddings:tokens=9,rank=3"))
    texts = tower.tokenize(sentences(6))
    adapter.choose(0, [texts])
    for parameter in adapter.parameters():
        parameter.data.normal_()
    state = adapter.slot_state(0)
    name = "backbone.embeddings.word_embeddings"
    counts = Counter(token for text in texts for token in text)
    assert state[f"{name}.tokens"].tolist() == sorted(sorted(counts, key=lambda token: (-counts[token], token))[:9])
    config = peft.LoraConfig(r=3, lora_alpha=3, target_modules=["word_embeddings"])
    reference.backbone = peft.get_peft_model(reference.backbone, config)
    words = reference.backbone.base_model.model.embeddings.word_embeddings
    words.lora_embedding_A["default"].data = torch.zeros(3, tower.backbone.config.vocab_size).double()
    words.lora_embedding_A["default"].data[:, state[f"{name}.tokens"].long()] = state[f"{name}.vectors"].T
    words.lora_embedding_B["default"].data = state[f"{name}.up"]
    torch.testing.assert_close(tower(*batch_of(tower)), reference(*batch_of(tower)), rtol=0, atol=1e-10)


def test_word_embeddings_start_three_quarters_of_the_way_to_the_mean_of_their_translations():
    tower = tower_of("bert", torch.float32)
    words = tower.backbone.get_input_embeddings().weight.detach().clone()
    adapter = attach(tower, parse_adapter(f"word_embeddings:tokens=3,rank={words.shape[1]}"))
    adapter.translate(0, [[5, 6], [5, 7], [5], [8]], [[10, 11], [10, 12], [10], [13]])  # 8 is the rarest, with 7
    merged = merge_slot(adapter, 0).backbone.get_input_embeddings().weight
    lexicon = make_lexicon([[5, 6], [5, 7], [5], [8]], [[10, 11], [10, 12], [10], [13]])
    for token in (5, 6, 7):
        weight = torch.from_numpy(lexicon.weight[lexicon.target == token]).float()
        mean = weight @ words[lexicon.english[lexicon.target == token]] / weight.sum()
        torch.testing.assert_close(merged[token], words[token] + 0.75 * (mean - words[token]), rtol=0, atol=1e-5)
    others = [token for token in range(len(words)) if token not in (5, 6, 7)]
    assert torch.equal(merged[others], words[others])


def test_lora_drops_the_share_of_inputs_that_was_asked_for_and_scales_up_the_rest():
    tower = tower_of("bert")
    adapter = filled(tower, "lora-only:r=4,lora_alpha=4,lora_dropout=0.25,target_modules=key")
    path = "backbone.encoder.layer.0.attention.self.key"
    layer, state = tower.get_submodule(path), adapter.slot_state(0)
    x = torch.ones(1, 2000, 32, dtype=torch.float64)
    layer.train()
    torch.manual_seed(0)
    update = (layer(x) - layer.base(x)).detach()  # (1, 2000, 32); on average B A x
    expected = x[0, 0] @ state[f"{path}.lora_A"].T @ state[f"{path}.lora_B"].T
    torch.testing.assert_close(update.mean((0, 1)), expected, rtol=0, atol=0.03)
    # an input that is 0 with p = 1/4, else 4/3, has the variance p / (1 - p) = 1/3
    product = state[f"{path}.lora_B"] @ state[f"{path}.lora_A"]  # (32, 32)
    torch.testing.assert_close(update.var((0, 1)), product.square().sum(1) / 3, rtol=0.15, atol=0)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_non_linearities_are_those_of_transformers(name):
    x = torch.linspace(-4, 4, 101, dtype=torch.float64)
    torch.testing.assert_close(ACTIVATIONS[name](x), ACT2FN[name](x), rtol=0, atol=1e-12)


def gelu_new(z):
    return 0.5 * z * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (z + 0.044715 * z**3)))


@pytest.mark.parametrize(
    ("role", "place", "option", "function"),
    [("output", "output", "", gelu_new), ("attention_output", "attention.output", ",non_linearity=tanh", torch.tanh)],
)
def test_bottleneck_by_hand(role, place, option, function):
    tower = tower_of("xlm-roberta")
    plain = copy.deepcopy(tower)
    state = filled(tower, f"bottleneck-only:bottleneck_dim=5,target_modules={role}{option}").slot_state(0)
    for i in range(2):
        path = f"backbone.encoder.layer.{i}.{place}.dense"

        def bottleneck(hidden, path=path):
            z = function(hidden @ state[f"{path}.down_weight"].T + state[f"{path}.down_bias"])
            return hidden + z @ state[f"{path}.up_weight"].T + state[f"{path}.up_bias"]

        plain = hooked(plain, path, bottleneck)
    torch.testing.assert_close(tower(*batch_of(tower)), plain(*batch_of(tower)), rtol=0, atol=1e-10)


def kronecker_sum(rule, left, right):
    """H (i, o) as the paper writes it."""
    return sum(torch.kron(rule[s], left[s] @ right[s]) for s in range(len(rule)))


@pytest.mark.parametrize(("option", "function"), [("", torch.relu), (",non_linearity=silu,phm_dim=2", F.silu)])
def test_compacter_by_hand(option, function):
    tower = tower_of("xlm-roberta")
    plain = copy.deepcopy(tower)
    spec = f"compacter-only:reduction_factor=4,phm_rank=2,target_modules=output{option}"
    state = filled(tower, spec).slot_state(0)
    for i in range(2):
        path = f"backbone.encoder.layer.{i}.output.dense"

        def phm(x, name):
            rule, left, right, bias = (state[f"{name}_{part}"] for part in ("rule", "left", "right", "bias"))
            return x @ kronecker_sum(rule, left, right) + bias

        def compacter(hidden, path=path):
            return hidden + phm(function(phm(hidden, f"{path}.down")), f"{path}.up")

        plain = hooked(plain, path, compacter)
    torch.testing.assert_close(tower(*batch_of(tower)), plain(*batch_of(tower)), rtol=0, atol=1e-10)


@pytest.mark.parametrize(("architecture", "pool_prompt"), [("roberta", True), ("labse", False)])
def test_soft_prompt_of_a_text_equals_the_text_in_front(architecture, pool_prompt):
    """The embeddings of real tokens as a prompt are those tokens: same embeddings, positions and mask."""
    tower = tower_of(architecture)
    plain_batch = batch_of(tower, ["abc" + text for text in sentences(6)])
    hidden = tower.backbone(*plain_batch).last_hidden_state
    pooling = plain_batch[1].clone()
    if not pool_prompt:
        pooling[:, 1:4] = 0
    expected = tower.head((hidden * pooling.unsqueeze(-1)).sum(1) / pooling.sum(1, keepdim=True))
    attach(tower, parse_adapter(f"soft_prompt:init_text=abc,pool_prompt={str(pool_prompt).lower()}"))
    torch.testing.assert_close(tower(*batch_of(tower)), expected, rtol=0, atol=1e-10)


def test_soft_prompt_stands_before_the_towers_prefix():
    tower = tower_of("xlm-roberta")
    tower.text_prefix = "q: "
    expected = tower.encode_token_ids(tower.tokenizer(["abq: " + text for text in sentences(6)])["input_ids"])
    attach(tower, parse_adapter("soft_prompt:init_text=ab"))
    torch.testing.assert_close(tower.encode_text(sentences(6), normalize=False), expected, rtol=0, atol=1e-6)


def test_prefix_by_hand():
    """The first layer's attention with prefix, written out: softmax over P + L keys, padding left out."""
    tower = tower_of("xlm-roberta")
    input_ids, mask = batch_of(tower)
    hidden = tower.backbone.embeddings(input_ids)
    layer = tower.backbone.encoder.layer[0].attention.self

    def heads(x):
        return x.unflatten(-1, (4, 8)).transpose(1, 2)  # (B, h, L, d_head)

    query, key, value = heads(layer.query(hidden)), heads(layer.key(hidden)), heads(layer.value(hidden))
    found = {}
    adapter = filled(tower, "prefix:num_virtual_tokens=3")
    tower.backbone.encoder.layer[0].attention.output.register_forward_pre_hook(
        lambda module, inputs: found.update(attention=inputs[0])
    )
    tower(input_ids, mask)
    prefix_key, prefix_value = adapter.slot_state(0)["backbone.encoder.layer.0.attention.self.prefix"]
    scores = torch.cat([query @ prefix_key.mT, query @ key.mT], dim=-1) / 8**0.5  # (B, h, L, 3 + L)
    scores[..., 3:] = scores[..., 3:].masked_fill(mask[:, None, None, :] == 0, float("-inf"))
    weights = scores.softmax(-1)
    expected = weights[..., :3] @ prefix_value + weights[..., 3:] @ value  # (B, h, L, d_head)
    expected = expected.transpose(1, 2).flatten(2)  # (B, L, d)
    real = mask.bool()
    torch.testing.assert_close(found["attention"][real], expected[real], rtol=0, atol=1e-10)


def test_prefix_works_on_eager_attention_and_gives_the_layers_config_back():
    tower = tower_of("xlm-roberta")
    filled(tower, "prefix")
    expected = tower(*batch_of(tower))
    tower.adapter.remove()
    tower.backbone.set_attn_implementation("eager")
    filled(tower, "prefix")
    torch.testing.assert_close(tower(*batch_of(tower)), expected, rtol=0, atol=1e-10)
    tower.adapter.remove()
    assert all(layer.attention.self.config is tower.backbone.config for layer in tower.backbone.encoder.layer)


MERGEABLE = [
    "lora",
    "word_embeddings:tokens=9,rank=3",
    "full",
    "lora-only:target_modules=query/key/value/attention_output/intermediate/output+bitfit+head:rank=3",
]


@pytest.mark.parametrize("spec", MERGEABLE)
def test_merged_tower_is_plain_and_gives_the_slots_embeddings(spec):
    tower = tower_of("labse")
    plain = tower.encode_text(sentences(6))
    plain_names = {name for name, _ in tower.named_parameters()}
    adapter = filled(tower, spec, slots=2)
    merged = merge_slot(adapter, 1)
    assert {name for name, _ in merged.named_parameters()} == plain_names
    assert merged.fingerprint != tower.fingerprint
    expected = tower.encode_text(sentences(6), slots=torch.ones(6, dtype=torch.long))
    torch.testing.assert_close(merged.encode_text(sentences(6)), expected, rtol=0, atol=1e-6)
    assert (expected - plain).abs().max() > 1e-3
    adapter.remove()
    assert torch.equal(tower.encode_text(sentences(6)), plain)
    filled(merged, "lora")  # a merged tower can be adapted again
    assert torch.equal(tower.encode_text(sentences(6)), plain)


def test_heads_of_several_layers_are_trained_and_merged():
    tower = tower_of("bert")
    tower.head = nn.Sequential(nn.Linear(32, 8), nn.Tanh(), nn.Linear(8, 8)).double()
    tower.pooling = "cls"
    adapter = filled(tower, "lora+head")
    assert {"head.0.weight", "head.2.bias"} < adapter.slot_state(0).keys()
    merged = merge_slot(adapter, 0)
    torch.testing.assert_close(merged(*batch_of(tower)), tower(*batch_of(tower)), rtol=0, atol=1e-10)


def test_a_merged_tower_keeps_the_towers_settings():
    tower = tower_of("bert")
    changed = {"pooling": "lasttoken", "max_length": 77, "text_prefix": "q: ", "clean": "lower", "transliterates": True}
    vars(tower).update(changed)
    merged = merge_slot(filled(tower, "lora"), 0)
    assert vars(merged).items() >= (changed | {"name": tower.name, "tokenizer": tower.tokenizer}).items()
    assert merged.adapter is None


# 140 positions in all; RoBERTa's kind loses those up to the padding token's id, which is 1
@pytest.mark.parametrize(("architecture", "longest"), [("roberta", 10), ("bert", 12)])
def test_a_prompt_may_fill_all_positions_and_no_more(architecture, longest):
    tower = tower_of(architecture)
    adapter = attach(tower, parse_adapter(f"soft_prompt:num_virtual_tokens={longest}"))
    ids = torch.full((1, tower.max_length), 7)
    assert tower(ids, torch.ones_like(ids)).isfinite().all()
    adapter.remove()
    with pytest.raises(ConfigError, match=f"within the {128 + longest} positions"):
        attach(tower, parse_adapter(f"soft_prompt:num_virtual_tokens={longest + 1}"))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("bottleneck:bottleneck_dim=33", "bottleneck_dim: expected 1 to the layer's width 32, got 33"),
        ('soft_prompt:init_text=""', "no tokens"),
        ("lora:r=33", "r: expected 1 to 32, .* got 33"),
        ("compacter:reduction_factor=16", "phm_dim: expected a divisor .* 32 // 16 = 2, got 4"),
    ],
)
def test_what_does_not_fit_leaves_the_tower_as_it_was(spec, message):
    tower = tower_of("xlm-roberta")
    names = [name for name, _ in tower.named_modules()]
    with pytest.raises(ConfigError, match=message):
        attach(tower, parse_adapter("prefix+" + spec))
    assert tower.adapter is None
    assert [name for name, _ in tower.named_modules()] == names
    assert all(layer.attention.self.config is tower.backbone.config for layer in tower.backbone.encoder.layer)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state, name: state.pop(name), "lacks 1 of 16 parameters, first 'backbone"),
        (lambda state, name: state.update(other=state[name]), "1 unknown parameters, first 'other'"),
        (lambda state, name: state.update({name: state[name][:1]}), r"has shape \(1, 32\), expected \(8, 32\)"),
    ],
)
def test_states_that_do_not_fit_are_refused_before_anything_is_written(change, message):
    tower = tower_of("bert")
    adapter = filled(tower, "lora")
    before, state = adapter.slot_state(0), {name: tensor + 1 for name, tensor in adapter.slot_state(0).items()}
    change(state, "backbone.encoder.layer.1.attention.self.query.lora_A")
    with pytest.raises(WeightsError, match=message):
        adapter.load_slot_state(0, state)
    assert all(torch.equal(tensor, before[name]) for name, tensor in adapter.slot_state(0).items())


@pytest.mark.parametrize("bias", [True, False])
def test_a_merged_head_keeps_its_shift_also_without_a_bias_of_its_own(bias):
    tower = tower_of("bert", torch.float32)
    tower.head = torch.nn.Linear(32, 8, bias=bias)
    adapter = filled(tower, "head:rank=3")
    assert adapter.slot_state(0)["head.shift"].abs().max() > 0.01
    torch.testing.assert_close(merge_slot(adapter, 0).encode_text(TEXTS), tower.encode_text(TEXTS), rtol=0, atol=1e-6)
