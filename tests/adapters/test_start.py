"""What each kind of adapter starts from: distributions as documented, and the very draws of a seed."""

import math

import pytest
import torch
from helpers.adapter_towers import tower_of
from helpers.tiny import tiny_tokenizer
from transformers import XLMRobertaConfig, XLMRobertaModel

from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.encoders.text import MultilingualTextEncoder

WIDTH, SLOTS = 256, 20


def normal(std):
    return lambda x: (1 + torch.erf(x / (std * 2**0.5))) / 2


def uniform(bound):
    return lambda x: ((x / bound + 1) / 2).clamp(0, 1)


def glorot(rows, columns):
    """Glorot-uniform with gain sqrt(2), written out: U(+-sqrt(12 / (rows + columns)))."""
    return uniform(math.sqrt(12 / (rows + columns)))


ZEROS = None  # every value is zero


# spec -> the end of a parameter's name -> the distribution function of its initial values, from the papers and
# OpenDelta's documentation. Compacter: n = 4, k = 4, d = 256, m = 64.
STARTS = {
    "lora-only": {"lora_A": uniform(WIDTH**-0.5), "lora_B": ZEROS},
    "bottleneck-only:identity_start=false": {
        "down_weight": normal(0.01),
        "down_bias": ZEROS,
        "up_weight": normal(0.01),
        "up_bias": ZEROS,
    },
    "compacter-only:reduction_factor=4,phm_rank=4": {
        "down_rule": normal(0.01),
        "down_left": glorot(64, 4),
        "down_right": glorot(4, 16),
        "down_bias": ZEROS,
        "up_rule": normal(0.01),
        "up_left": ZEROS,
        "up_right": glorot(4, 64),
        "up_bias": ZEROS,
    },
    "soft_prompt": {"prompt": normal(0.02)},
    "prefix": {"prefix": normal(0.02)},
    "bitfit": {"bias_offset": ZEROS},
    "word_embeddings:tokens=5,rank=16": {"vectors": ZEROS, "up": normal(16**-0.5)},
}


@pytest.fixture(scope="module")
def wide():
    """A tower of one layer, wide enough for statistics."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 40, "hidden_size": WIDTH, "intermediate_size": WIDTH, "max_position_embeddings": 140}
    config = XLMRobertaConfig(**sizes, num_hidden_layers=1, num_attention_heads=4, pad_token_id=1)
    backbone = XLMRobertaModel(config, add_pooling_layer=False)
    return MultilingualTextEncoder(backbone, tiny_tokenizer(), torch.nn.Linear(WIDTH, 8), name="wide")


@pytest.mark.parametrize("spec", STARTS)
def test_every_weight_starts_with_the_documented_distribution(wide, spec):
    adapter = attach(wide, parse_adapter(spec), seeds=range(SLOTS))
    values = {name: parameter.detach().flatten().double() for name, parameter in adapter.named_parameters()}
    adapter.remove()
    for ending, distribution in STARTS[spec].items():
        found = torch.cat([value for name, value in values.items() if name.endswith(ending)]).sort().values
        if distribution is ZEROS:
            assert not found.any(), ending
            continue
        steps = (torch.arange(len(found)) + 0.5) / len(found)
        # Kolmogorov and Smirnov's distance; values of the right distribution exceed this bound once in 1,000 seeds
        assert (distribution(found) - steps).abs().max() < 1.95 * len(found) ** -0.5, ending


def test_of_several_methods_the_deepest_modules_draw_first():
    spec = "soft_prompt+prefix+bottleneck-only:bottleneck_dim=5,identity_start=false"
    state = attach(tower_of("bert", torch.float32), parse_adapter(spec), seeds=(7,)).slot_state(0)
    generator = torch.Generator().manual_seed(7)

    def assert_drawn(name, std):
        shape = state[f"backbone.{name}"].shape
        assert torch.equal(state[f"backbone.{name}"], torch.empty(shape).normal_(0, std, generator=generator)), name

    for path in ("attention.output.dense", "output.dense"):
        for layer in (0, 1):
            assert_drawn(f"encoder.layer.{layer}.{path}.down_weight", 0.01)
            assert_drawn(f"encoder.layer.{layer}.{path}.up_weight", 0.01)
    for layer in (0, 1):
        assert_drawn(f"encoder.layer.{layer}.attention.self.prefix", 0.02)
    assert_drawn("embeddings.word_embeddings.prompt", 0.02)


def test_resetting_one_slot_leaves_the_others_alone(wide):
    adapter = attach(wide, parse_adapter("lora+soft_prompt+prefix"), seeds=(1, 2, 3))
    before = [adapter.slot_state(slot) for slot in range(3)]
    adapter.reset_slot(1, seed=3)
    after = [adapter.slot_state(slot) for slot in range(3)]
    adapter.remove()
    assert any(not torch.equal(before[1][name], after[1][name]) for name in before[1])  # a copy: not changed afterwards
    for name in before[0]:
        assert torch.equal(after[0][name], before[0][name])
        assert torch.equal(after[1][name], before[2][name])
        assert torch.equal(after[2][name], before[2][name])


def test_tokens_of_a_training_come_before_those_of_its_start_and_keep_their_vectors(wide):
    adapter = attach(wide, parse_adapter("word_embeddings:tokens=4,rank=2"), seeds=(1, 2))
    adapter.choose(0, [[[5, 5, 9], [7, 7, 7, 3]]])
    (name, vectors), _ = adapter.named_parameters()
    vectors.data[0] = torch.tensor([[3.0, 3], [5, 5], [7, 7], [9, 9]])
    tokens = name.replace("vectors", "tokens")
    assert adapter.slot_state(0)[tokens].tolist() == [3, 5, 7, 9]
    other = adapter.slot_state(1)
    adapter.choose(0, [[[8, 7], [8, 7, 2]]])  # room for one of 3, 5 and 9
    state = adapter.slot_state(0)
    assert state[tokens].tolist() == [2, 3, 7, 8]
    assert state[name].tolist() == [[0, 0], [3, 3], [7, 7], [0, 0]]
    adapter.choose(0, [[[8, 7], [8, 7, 2]]])  # as of a run that goes on
    assert all(torch.equal(tensor, state[key]) for key, tensor in adapter.slot_state(0).items())
    assert all(torch.equal(tensor, other[key]) for key, tensor in adapter.slot_state(1).items())
    adapter.remove()
