"""The shipped adapters gain and leave English as it was; one rule says which adapter embeds a language."""

import numpy as np
import pytest
import torch
from helpers.adapter_towers import TEXTS, states, tower_of

import pecl.adapters.ready
from pecl.adapters.bank import AdapterBank
from pecl.adapters.choice import AdapterChoice, KnownAdapters
from pecl.adapters.formats.files import save_adapter
from pecl.adapters.ready import ready_adapters, ready_results
from pecl.adapters.spec import parse_adapter
from pecl.backends.loading import load_bank
from pecl.encoders.towers import load_text_encoder
from pecl.errors import ConfigError, WeightsError
from pecl.language.languages import way_to_adapter

SPECS = {"cs": "lora", "de": "lora", "jp": "lora"}


def write(folder, language, spec="lora", seed=0, name=None):
    tower = tower_of("bert", torch.float32)
    state = states(tower, spec)[seed]
    return save_adapter(folder / (name or f"{language}.safetensors"), state, parse_adapter(spec), language, tower)


@pytest.fixture
def shipped(tmp_path, monkeypatch):
    """Adapters of three languages that ship for the towers mini."""
    folder = tmp_path / "shipped"
    folder.mkdir()
    files = {language: write(folder, language, seed=i) for i, language in enumerate(SPECS)}
    monkeypatch.setattr(
        pecl.adapters.ready, "ready_adapters", lambda profile="mini": files if profile == "mini" else {}
    )
    return files


@pytest.fixture
def dutch(tmp_path):
    return write(tmp_path, "nl", "bottleneck")


@pytest.mark.parametrize(
    ("profile", "language", "reason"),
    [
        ("mini", "en", "the base encoder was trained on English"),
        ("mini", "fi", "there is none for Finnish (fi); there are adapters for cs, de, jp"),
        ("paper", "cs", "no adapter is known"),
    ],
)
def test_the_plain_tower_embeds_the_rest_and_the_line_says_why(shipped, profile, language, reason):
    choice = KnownAdapters(profile).for_language(language)
    assert choice == AdapterChoice(None, "none", reason)
    assert choice.sentence == f"adapter: none ({reason})"


@pytest.mark.parametrize("name", ["cs", "mini:Czech"])
def test_a_shipped_adapter_has_names(shipped, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("a file of that name is ./NAME")
    for language in ("cs", "en", "fi", None):
        assert KnownAdapters("mini").choose(name, language) == AdapterChoice(shipped["cs"], "mini:cs")


def test_an_adapter_is_named_by_its_path_and_none_is_the_plain_tower(shipped, dutch):
    known = KnownAdapters("mini")
    assert known.choose(str(dutch), "cs") == AdapterChoice(dutch, str(dutch))
    assert known.choose(dutch, None).path == dutch
    assert known.choose("none", "cs") == AdapterChoice(None, "none", "as asked for")
    assert known.choose(None, "cs").name == "mini:cs"
    assert KnownAdapters("mini", ["none"]).for_language("cs") == AdapterChoice(None, "none", "as asked for")


def test_a_named_adapter_adds_to_the_shipped_ones_or_replaces_that_of_its_language(shipped, dutch, tmp_path):
    czech = write(tmp_path, "cs", "lora:r=2", name="mine.safetensors")
    known = KnownAdapters("mini", [str(dutch), str(czech)])
    assert list(known.paths) == ["cs", "de", "jp", "nl"]
    assert known.for_language("nl").name == str(dutch)
    assert known.for_language("Czech") == AdapterChoice(czech, str(czech))
    assert known.for_language("ja").name == "mini:jp"
    bank = AdapterBank(tower_of("bert", torch.float32))
    bank.add_files(known.files().items())
    assert len(bank.specs) == 3
    for language, path in {"cs": czech, "de": shipped["de"], "jp": shipped["jp"], "nl": dutch}.items():
        own = AdapterBank.from_files(tower_of("bert", torch.float32), path).encode_text(TEXTS, language)
        torch.testing.assert_close(bank.encode_text(TEXTS, language), own, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("named", "error", "message"),
    [
        (["none", "cs"], ConfigError, "adapter: expected none or adapters, got both: none, cs"),
        (["xx"], ConfigError, "adapter: expected one of cs, de, jp, none, such as mini:cs, or a file, got 'xx'"),
        (["paper:cs"], ConfigError, "adapter: expected one of cs, de, jp, none, .* or a file, got 'paper:cs'"),
        (["./cs"], WeightsError, "adapter file cs is missing"),
        (["~no-such-user/cs"], WeightsError, "adapter file ~no-such-user/cs is missing"),
        (["de", "German"], ConfigError, "adapter: expected one per language, got de and German for de"),
    ],
)
def test_what_is_refused(shipped, named, error, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=message):
        KnownAdapters("mini", named)


FIRST = ["cs", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh"]
LARGEST = 100_000  # bytes


def test_each_shipped_adapter_has_its_result():
    files, results = ready_adapters("mini"), ready_results("mini")
    assert {*FIRST, "fi", "sw"} <= set(files)
    for language, path in files.items():
        result = results[language]
        assert path.stat().st_size < LARGEST, path
        assert result["config"]["language"] == language
        assert result["adapter"]["trainable"] <= 240_000


def test_a_profile_without_adapters_and_a_language_without_one_are_refused():
    with pytest.raises(ConfigError, match=r"profile: expected one with ready adapters \(mini\), got 'paper'"):
        load_bank("paper")
    with pytest.raises(ConfigError, match=r"got Western Frisian \(fy\): `pecl distil .*--language fy --dataset test"):
        load_bank("mini", ["cs", "de", "fy"], tower=object())
    assert "--language bo --dataset xtd200 --text flickr30k200" in way_to_adapter("bo")
    assert ready_adapters("paper") == KnownAdapters("mini", text_model="another").paths == {}


@pytest.mark.weights
def test_a_bank_for_an_evaluation_reads_texts_as_they_are_written():
    tower = load_text_encoder("mini")
    text = "con cho chay tren bai bien"  # Vietnamese without its marks
    written = AdapterChoice(None, "none").bank(tower, "vi").encode_text(text, "vi")
    assert torch.equal(written, tower.encode_text(text, language="vi"))
    assert not torch.equal(written, AdapterBank(tower, plain=None).encode_text(text, "vi"))


def test_a_bank_serves_all_languages_and_leaves_english_as_it_was():
    texts = ["a dog on the beach", "two children play football", "an old man"]
    tower = load_text_encoder("mini")
    plain = tower.encode_text(texts)
    bank = load_bank("mini", tower=tower)
    assert torch.equal(tower.encode_text(texts), plain)
    assert set(bank.languages) == {*ready_adapters("mini"), "en"}
    assert torch.equal(bank.encode_text(texts, language="English"), plain)
    assert torch.equal(bank.encode_text(texts, language="ja"), bank.encode_text(texts, language="jp"))
    assert not torch.allclose(bank.encode_text(texts, language="cs"), plain, atol=1e-2)
    mixed = bank.encode_text(texts, language=["fi", "cs", "en"])  # of two specs, and the base encoder
    for i, language in enumerate(["fi", "cs", "en"]):
        assert torch.allclose(mixed[i], bank.encode_text(texts, language)[i], atol=1e-6)
    with pytest.raises(ConfigError, match=r"language: expected one in the bank .* got 'fy'"):
        bank.encode_text(texts, language="fy")
    few = load_bank("mini", np.array(["cs", "en", "Czech"]), tower=tower)
    assert few.languages == ["cs", "en"]
    assert torch.allclose(few.encode_text(texts, "cs"), bank.encode_text(texts, "cs"), atol=1e-6)
