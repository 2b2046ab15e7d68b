"""Methods of PEFT on every family of text towers: roles give PEFT its modules, and each pass reaches them."""

import pytest
import torch
from helpers.family_towers import TEXTS, WRITERS

from pecl.adapters.adapter import attach
from pecl.adapters.merge import merge_slot
from pecl.adapters.peft.spec import parse_adapter
from pecl.encoders.towers import load_text_encoder

pytest.importorskip("peft")

SPECS = (
    "lora:r=2,target_modules=query/key/value/attention_output/intermediate/output+head",
    "vera:r=4,layers=top-1",
    "boft:target_modules=output",
    "ia3",
    "ln_tuning",
    "trainable_tokens:tokens=9",
)


def embed(tower):
    with torch.no_grad():
        return tower.encode_token_ids(tower.tokenize(TEXTS), batch_size=2)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", WRITERS)
def test_methods_work_on_a_family(family, tmp_path):
    WRITERS[family](tmp_path)
    tower = load_text_encoder(tmp_path)
    backbone, plain = tower.backbone, embed(tower)
    for spec in SPECS:
        adapter = attach(tower, parse_adapter(spec))
        adapter.choose(0, [tower.tokenize(TEXTS)])
        generator = torch.Generator().manual_seed(0)
        for parameter in adapter.parameters():
            parameter.data += 0.05 * torch.randn(parameter.shape, generator=generator)
        trained = embed(tower)
        assert not torch.allclose(trained, plain, atol=1e-4), spec
        batch = tower.pad(tower.tokenize(TEXTS), range(len(TEXTS)))
        tower(batch.input_ids, batch.attention_mask).square().sum().backward()
        assert all(parameter.grad is not None for parameter in adapter.parameters()), spec
        assert torch.allclose(embed(merge_slot(adapter, 0)), trained, atol=1e-4), spec
        adapter.remove()
        assert tower.backbone is backbone, spec
        assert torch.allclose(embed(tower), plain, atol=1e-5), spec
