"""pecl's own BERT against transformers' `BertModel` over the same weights: equal to the last bit."""

import copy

import pytest
import torch
from helpers.tiny import sentences, tiny_tokenizer

from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.encoders.bert import Bert, BertSettings
from pecl.encoders.text import MultilingualTextEncoder


def _towers(bf16=False):
    """Two towers with the same weights, one over each class."""
    torch.manual_seed(5)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    tokenizer = tiny_tokenizer()
    backbone = Bert(
        BertSettings(len(tokenizer), max_position_embeddings=160, type_vocab_size=2, layer_norm_eps=1e-5, **sizes)
    )
    for parameter in backbone.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = MultilingualTextEncoder(backbone, tokenizer, torch.nn.Linear(16, 8), name="ours")
    theirs = MultilingualTextEncoder(
        copy.deepcopy(ours).written_backbone(), tokenizer, copy.deepcopy(ours.head), name="theirs"
    )
    for tower in (ours, theirs) if bf16 else ():
        tower.use_bfloat16()
    return ours, theirs


def test_state_dict_and_fingerprint_are_those_of_transformers():
    ours, theirs = _towers()
    assert type(theirs.backbone).__module__ == "transformers.models.bert.modeling_bert"
    assert list(ours.state_dict()) == list(theirs.state_dict())
    assert ours.fingerprint == theirs.fingerprint
    weights = theirs.backbone.get_input_embeddings().weight
    assert ours.written_backbone().get_input_embeddings().weight is ours.backbone.get_input_embeddings().weight
    assert torch.equal(weights, ours.backbone.get_input_embeddings().weight)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("bf16", [True, False])
def test_embeddings_are_equal(packing, bf16):
    texts, towers = [*sentences(9, seed=1), "a"], _towers(bf16)
    for tower in towers:
        tower.packing = packing
    assert torch.equal(*(tower.encode_text(texts) for tower in towers))


@pytest.mark.parametrize("spec", ["lora:r=2+head", "prefix"])
def test_gradients_with_dropout_are_equal(spec):
    found = []
    for tower in _towers():
        adapter = attach(tower, parse_adapter(spec), seeds=[3])
        batch = tower.pad(tower.tokenize(sentences(6, seed=2)), range(6))
        tower.train()
        torch.manual_seed(1)
        tower(batch.input_ids, batch.attention_mask).square().sum().backward()
        found.append([parameter.grad for parameter in adapter.parameters()])
    assert found[0]
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))
    assert any(gradient.abs().max() > 0 for gradient in found[0])
