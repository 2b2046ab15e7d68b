"""Every family of text towers: tiny checkpoints in the true form equal their own package, plain and with adapters."""

import peft
import pytest
import torch
from helpers.adapter_towers import filled
from helpers.family_towers import TEXTS, WRITERS

from pecl.adapters.adapter import attach
from pecl.adapters.roles import LINEAR_ROLES, paths_of
from pecl.adapters.spec import parse_adapter
from pecl.encoders.towers import load_text_encoder

LORA = "lora-only:r=2,target_modules=" + "/".join(LINEAR_ROLES)


@pytest.fixture(scope="module", params=WRITERS)
def family(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, WRITERS[request.param](folder)


@pytest.fixture
def tower(family):
    return load_text_encoder(family[1], dtype=torch.float64)


def embed(tower, slots=None, texts=TEXTS):
    batch = tower.pad(tower.tokenize(texts), range(len(texts)))
    return tower(batch.input_ids, batch.attention_mask, None if slots is None else torch.tensor(slots))


def test_equals_its_own_package(family):
    _, folder, reference = family
    tower = load_text_encoder(folder)
    with torch.no_grad():
        expected = reference.embed(TEXTS)
    torch.testing.assert_close(tower.encode_text(TEXTS), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(embed(tower).detach(), expected, rtol=0, atol=1e-5)
    alone = torch.cat([tower.encode_text(text) for text in TEXTS])
    torch.testing.assert_close(alone, expected, rtol=0, atol=1e-5)


def test_lora_has_the_gradients_of_peft(family, tower, tmp_path):
    reference = WRITERS[family[0]](tmp_path).double()
    if reference.backbone is None:
        pytest.skip("PEFT has no LoRA for the fused projections of open_clip's attention")
    paths = [path for role in LINEAR_ROLES for path in paths_of(tower.backbone, role)]
    adapter = filled(tower, LORA)
    peft.inject_adapter_in_model(peft.LoraConfig(r=2, lora_alpha=16, target_modules=paths), reference.backbone)
    theirs = dict(reference.backbone.named_parameters())
    for name, parameter in adapter.named_parameters():
        theirs[_peft_name(name)].data = parameter.data[0].clone()
    weights = torch.randn(len(TEXTS), tower.embedding_dim, dtype=torch.float64)
    expected, found = reference.embed(TEXTS), embed(tower)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    (expected * weights).sum().backward()
    (found * weights).sum().backward()
    for name, parameter in adapter.named_parameters():
        gradient = theirs[_peft_name(name)].grad
        assert gradient.abs().max() > 0 or name.endswith("key.lora_A")
        torch.testing.assert_close(parameter.grad[0], gradient, rtol=1e-5, atol=1e-5, msg=name)


def _peft_name(name):
    return name.removeprefix("backbone.") + ".default.weight"


@pytest.mark.parametrize("spec", ["lora+head"])
def test_slots_equal_single_adapters(tower, spec):
    slots = [0, 1, 2, 0, 1, 2]
    adapter = filled(tower, spec, slots=3)
    together = embed(tower, slots)
    states = [adapter.slot_state(slot) for slot in range(3)]
    adapter.remove()
    for slot, state in enumerate(states):
        attach(tower, parse_adapter(spec)).load_slot_state(0, state)
        mine = [i for i, one in enumerate(slots) if one == slot]
        torch.testing.assert_close(embed(tower)[mine], together[mine], rtol=0, atol=1e-9)
        tower.adapter.remove()
