"""Every family of text towers: tiny checkpoints in the true form equal their own package, plain and with adapters."""

import logging

import open_clip
import peft
import pytest
import torch
from helpers.adapter_towers import filled, states
from helpers.family_towers import TEXTS, WRITERS
from PIL import Image

from pecl.adapters.adapter import attach
from pecl.adapters.bank import AdapterBank
from pecl.adapters.kind import LINEAR_ROLES, paths_of
from pecl.adapters.spec import KINDS, parse_adapter
from pecl.apps.export.open_clip import export_open_clip
from pecl.encoders import large
from pecl.encoders.store import EmbeddingStore
from pecl.encoders.towers import load_image_encoder, load_text_encoder
from pecl.errors import ConfigError

LORA = "lora-only:r=2,target_modules=" + "/".join(LINEAR_ROLES)
# spec -> whether a fresh one is the identity; every kind is there, and runs on every family
SPECS = {
    "lora:layers=top-1+head:rank=3": True,
    "bottleneck": True,
    "compacter:reduction_factor=4": True,
    "lora-only+soft_prompt:num_virtual_tokens=12+prefix": False,
    "layernorm": True,
    "bitfit": True,
    "word_embeddings:tokens=7,rank=3": True,
    "pooler+lora-only": True,
    "full": True,
}
SLOTS = [0, 1, 2, 0, 1, 2]


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.ERROR)


@pytest.fixture(scope="module", params=WRITERS)
def family(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return request.param, folder, WRITERS[request.param](folder)


@pytest.fixture(scope="module")
def shared(family):
    return load_text_encoder(family[1], dtype=torch.float64)


@pytest.fixture
def tower(shared):
    yield shared
    if shared.adapter is not None:
        shared.adapter.remove()


def embed(tower, slots=None, texts=TEXTS):
    batch = tower.pad(tower.tokenize(texts), range(len(texts)))
    return tower(batch.input_ids, batch.attention_mask, None if slots is None else torch.tensor(slots))


def encode(tower, texts=TEXTS):
    return tower.encode_text(texts, normalize=False)


def written(name, folder):
    """Write a checkpoint of the family `name` into the new folder, and load it."""
    folder.mkdir()
    WRITERS[name](folder)
    return load_text_encoder(folder)


def test_equals_its_own_package(family):
    _, folder, reference = family
    tower = load_text_encoder(folder)
    with torch.no_grad():
        expected = reference.embed(TEXTS)
    torch.testing.assert_close(encode(tower), expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(embed(tower).detach(), expected, rtol=0, atol=1e-5)
    single = torch.cat([encode(tower, text) for text in TEXTS])
    torch.testing.assert_close(single, expected, rtol=0, atol=1e-5)
    tower.use_bfloat16()
    assert torch.cosine_similarity(encode(tower), expected).min() > 0.999


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
        torch.testing.assert_close(parameter.grad[0], theirs[_peft_name(name)].grad, rtol=1e-5, atol=1e-5, msg=name)


def _peft_name(name):
    return name.removeprefix("backbone.") + ".default.weight"


def test_the_specs_have_every_kind():
    assert {config.kind for spec in SPECS for config in parse_adapter(spec)} == set(KINDS)


@pytest.mark.parametrize("spec", SPECS)
def test_every_kind_works_on_every_family(tower, spec):
    plain = embed(tower)
    attach(tower, parse_adapter(spec))
    moved = (embed(tower) - plain).abs().max()
    assert moved < 1e-12 if SPECS[spec] else moved > 1e-7
    tower.adapter.remove()
    adapter = filled(tower, spec, slots=3)
    together = embed(tower, SLOTS)
    if adapter.parameters():
        together.sum().backward()
        assert all(parameter.grad is not None for parameter in adapter.parameters())
    found = [adapter.slot_state(slot) for slot in range(3)]
    adapter.remove()
    for slot, state in enumerate(found):
        adapter = attach(tower, parse_adapter(spec))
        adapter.load_slot_state(0, state)
        own = [i for i, one in enumerate(SLOTS) if one == slot]
        torch.testing.assert_close(embed(tower)[own], together[own], rtol=0, atol=1e-9)
        encoded = encode(tower).double()  # packed where that saves something
        torch.testing.assert_close(encoded[own], together[own], rtol=0, atol=2e-6)
        with tower.caching([tower.tokenize(TEXTS)]):
            torch.testing.assert_close(embed(tower)[own], together[own], rtol=0, atol=1e-9)
        adapter.remove()
    torch.testing.assert_close(embed(tower), plain, rtol=0, atol=1e-12)


def test_nllb_begins_a_text_with_its_language(tmp_path):
    reference = WRITERS["nllb"](tmp_path)
    tower = load_text_encoder(tmp_path)
    german = tower.encode_text(TEXTS, language="de", normalize=False)
    with torch.no_grad():
        torch.testing.assert_close(german, reference.embed(TEXTS, "deu_Latn"), rtol=0, atol=1e-5)
    names = ["de", "Czech", "en", "de", "ces_Latn", "en"]
    mixed = tower.encode_token_ids(tower.tokenize(TEXTS, names))
    with torch.no_grad():
        for i, flores in enumerate(["deu_Latn", "ces_Latn", "eng_Latn"] * 2):
            torch.testing.assert_close(mixed[i], reference.embed(TEXTS[i : i + 1], flores)[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("long", [True, False])
def test_cached_embeddings_are_those_of_their_language(tmp_path, monkeypatch, long):
    monkeypatch.setattr(large, "LARGE", 1 if long else len(TEXTS) + 1)
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    reference = WRITERS["nllb"](tmp_path / "tower")
    tower = load_text_encoder(tmp_path / "tower")
    store = EmbeddingStore(tower.fingerprint, tmp_path / "cache")
    for language, flores in {"de": "deu_Latn", "cs": "ces_Latn", None: "eng_Latn"}.items():
        found = large.frozen_embeddings(tower, TEXTS, store, language)[:]
        first = [row[0] for row in large.tokens_of(tower, TEXTS, language)]
        assert first == [tower.language_token(flores)] * len(TEXTS)
        with torch.no_grad():
            torch.testing.assert_close(found, reference.embed(TEXTS, flores), rtol=0, atol=1e-5)


def test_a_bank_begins_a_text_with_the_language_of_its_adapter(tmp_path):
    bank, codes = AdapterBank(written("nllb", tmp_path / "tower"), "lora"), ["de", "cs"]
    for code, state in zip(codes, states(bank.tower, "lora", 2), strict=True):
        bank.add(code, state)
    mixed = bank.encode_text(TEXTS[:2], codes)
    for i, code in enumerate(codes):
        merged = bank.merge(code)
        expected = merged.encode_text(TEXTS[i])[0]  # it begins its texts with this language
        torch.testing.assert_close(mixed[i], expected, rtol=0, atol=1e-5)
    bank.load(bank.save("cs", tmp_path / "cs.safetensors"), "trial")
    assert AdapterBank.from_files(bank.tower, bank.save("trial", tmp_path / "trial.safetensors")).languages == ["cs"]
    torch.testing.assert_close(*(bank.encode_text(TEXTS, name, plain_weight=0.5) for name in ("cs", "Trial")))


def test_a_tower_of_open_clip_goes_back_with_its_images(tmp_path):
    tower = written("open-clip-siglip", tmp_path / "tower")
    image = load_image_encoder(tmp_path / "tower")
    folder = export_open_clip(tower, image, tmp_path / "back")
    assert open_clip.create_model(f"local-dir:{folder}").logit_bias == image.model_config["init_logit_bias"] == -10
    picture = Image.new("RGB", (8, 8), "olive")
    again = load_image_encoder(folder).encode_image(picture)
    torch.testing.assert_close(again, image.encode_image(picture), rtol=0, atol=1e-6)
    image.model_config["text_cfg"]["layers"] = 3
    with pytest.raises(ConfigError, match=r"expected width, layers and vocabulary \(32, 3, \d+\), got \(32, 2, \d+\)"):
        export_open_clip(tower, image, tmp_path / "other")
    image.model_config = None
    with pytest.raises(ConfigError, match="expected the image tower of the same model"):
        export_open_clip(tower, image, tmp_path / "other")
