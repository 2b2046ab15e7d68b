from dataclasses import replace

import pytest
import torch
from helpers.tiny import sentences, tiny_tower
from torch.nn import functional as F

from pecl.adapters.adapter import attach
from pecl.adapters.bank import AdapterBank
from pecl.adapters.opendelta.compat import import_opendelta
from pecl.adapters.spec import parse_adapter
from pecl.config import ENGINES, make_config
from pecl.data.registry import load_dataset
from pecl.data.splits import few_shot_split
from pecl.errors import ConfigError
from pecl.experiment.run import train

KINDS = ["lora", "bottleneck", "compacter:reduction_factor=4", "soft_prompt"]


@pytest.fixture
def opendelta():
    try:
        return import_opendelta()
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("kind", KINDS)
def test_opendelta_trains_and_its_adapter_serves_in_pecl(kind, small, opendelta):
    config = make_config({**small, "rank": None, "adapter": kind, "engine": "opendelta", "gallery": "english"})
    result = train(config)
    assert result.status == "complete"
    assert result.adapter.trainable == train(replace(config, engine="pecl")).adapter.trainable
    weights = result.adapter_path
    tower, data = tiny_tower(), load_dataset(config.dataset, "de")
    test = few_shot_split(len(data), config.shots).test
    gallery = F.normalize(tower.encode_text([data.english[i] for i in test]), dim=1)
    bank = AdapterBank.from_files(tower, [weights])
    similarity = F.normalize(bank.encode_text([data.target[i] for i in test], language="de"), dim=1) @ gallery.T
    recorded = torch.tensor(result.ranks("text_to_english", stage="best"))
    closer = similarity - similarity.diagonal()[:, None]  # (test, test): by how much each is nearer than the right one
    closer.fill_diagonal_(-torch.inf)
    assert ((closer > 1e-4).sum(dim=1) < recorded).all()  # the engines differ in the last bits
    assert ((closer > -1e-4).sum(dim=1) + 1 >= recorded).all()
    assert tuple(recorded.tolist()) != result.ranks("text_to_english", stage="zero_shot")


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_state_gives_the_same_embeddings_through_either_engine(kind, opendelta):
    texts = sentences(6)
    tower, configs = tiny_tower(), parse_adapter(kind)
    theirs = ENGINES["opendelta"](tower, configs, seeds=[1])
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    expected = tower.encode_text(texts)
    state = theirs.file_state(theirs.slot_state(0))
    theirs.remove()
    ours = attach(tower, configs)
    assert not torch.allclose(tower.encode_text(texts), expected, atol=1e-4)
    ours.load_slot_state(0, state)
    torch.testing.assert_close(tower.encode_text(texts), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("spec", "seeds", "message"),
    [
        ("prefix", [1], "engine opendelta: expected one of lora, bottleneck, compacter, soft_prompt"),
        ("lora+bottleneck", [1], "got lora\\+bottleneck"),
        ("soft_prompt:pool_prompt=false", [1], "soft_prompt: expected pool_prompt=true, got false"),
        ("lora:layers=top-1", [1], "lora: expected layers=none, got top-1"),
        ("lora+layernorm:layers=top-1", [1], "expected layernorm as it is, got layernorm:layers=top-1"),
        ("lora", [1, 2], "fleet: expected 1 .* got 2"),
    ],
)
def test_what_opendelta_cannot_do_is_said(spec, seeds, message):
    with pytest.raises(ConfigError, match=message):
        ENGINES["opendelta"](tiny_tower(), parse_adapter(spec), seeds=seeds)
