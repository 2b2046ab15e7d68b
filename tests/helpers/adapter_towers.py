"""Tiny random towers of each architecture that adapters know, and ways to fill adapters, for the adapter tests."""

from dataclasses import fields

import torch
from transformers import BertConfig, BertModel, RobertaConfig, RobertaModel

from helpers.tiny import sentences, tiny_tower
from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.encoders.bert import Bert, BertSettings

TEXTS = sentences(12, seed=2)
ARCHITECTURES = ("xlm-roberta", "bert", "labse", "roberta")


def tower_of(architecture, dtype=torch.float64, dropout=0.0):
    """A tower, by default in float64, so that equal computations agree to 1e-10 whatever their order."""
    if architecture in ("xlm-roberta", "bert"):
        return tiny_tower(architecture, dropout=dropout).to(dtype)
    tower = tiny_tower("bert", dropout=dropout)
    options = tower.backbone.config.to_dict()
    if architecture == "mini":  # pecl's own class
        given = BertSettings(**{field.name: options[field.name] for field in fields(BertSettings)})
        weights, tower.backbone = tower.backbone.state_dict(), Bert(given)
        tower.backbone.load_state_dict(weights)
        return tower.to(dtype).eval()
    torch.manual_seed(3)
    if architecture == "labse":  # a BERT that pads with 0, with the pooler that M-CLIP's checkpoint holds
        tower.backbone = BertModel(BertConfig(**options | {"pad_token_id": 0}), add_pooling_layer=True)
    else:
        options.pop("model_type")
        tower.backbone = RobertaModel(RobertaConfig(**options), add_pooling_layer=False)
    return tower.to(dtype).eval()


def filled(tower, spec, slots=1, seed=0):
    """Attach `spec` with random values in every parameter: zeros at the start would hide mistakes."""
    adapter = attach(tower, parse_adapter(spec), seeds=range(slots))
    for slot in range(slots):
        adapter.choose(slot, [tower.tokenize(TEXTS[slot:])])
    generator = torch.Generator().manual_seed(seed)
    for parameter in adapter.parameters():
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.data += 0.1 * noise.to(parameter.dtype)
    return adapter


def batch_of(tower, texts=None):
    texts = sentences(6) if texts is None else texts
    batch = tower.pad(tower.tokenize(texts), range(len(texts)))
    return batch.input_ids, batch.attention_mask


def states(tower, spec="lora", count=3):
    """Random parameters of `count` adapters of `spec`; the tower is left plain."""
    adapter = filled(tower, spec, count)
    found = [adapter.slot_state(slot) for slot in range(count)]
    adapter.remove()
    return found
