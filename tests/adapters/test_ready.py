"""The adapters that are shipped: small enough, with their results, and English as it was."""

import json

import pytest
import torch

from pecl.adapters.ready import SHIPPED, load_bank, ready_adapters
from pecl.encoders.towers import load_text_encoder
from pecl.errors import ConfigError

FIRST = ["cs", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh"]
LARGEST = 100_000  # bytes


def test_each_shipped_adapter_lies_next_to_its_result_and_gains():
    files = ready_adapters("mini")
    assert {*FIRST, "fi", "sw"} <= set(files)
    for language, path in files.items():
        result = json.loads(path.with_suffix(".json").read_text("utf-8"))
        assert path.stat().st_size < LARGEST, path
        assert result["config"]["language"] == language
        assert result["adapter"]["trainable"] <= 188_000
        test = result["metrics"]["test"]
        assert test["best"]["mean_recall@1"] > test["zero_shot"]["mean_recall@1"]


def test_a_profile_without_adapters_and_a_language_without_one_are_refused():
    with pytest.raises(ConfigError, match=r"profile: expected one with ready adapters \(mini\), got 'paper'"):
        load_bank("paper")
    with pytest.raises(
        ConfigError,
        match=r"got Tibetan \(bo\): `pecl distil .*--language bo --dataset xtd200",
    ):
        load_bank("mini", ["cs", "de", "bo"], tower=object())
    assert ready_adapters("paper") == {}
    assert SHIPPED.is_dir()


@pytest.mark.weights
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
    mixed = bank.encode_text(texts, language=["fi", "cs", "en"])  # of two specs, and the plain tower
    for i, language in enumerate(["fi", "cs", "en"]):
        assert torch.allclose(mixed[i], bank.encode_text(texts, language)[i], atol=1e-6)
    with pytest.raises(ConfigError, match=r"language: expected an adapter that is loaded .* got 'bo'"):
        bank.encode_text(texts, language="bo")
    few = load_bank("mini", ["cs", "en"], tower=tower)
    assert few.languages == ["cs", "en"]
    assert torch.allclose(few.encode_text(texts, "cs"), bank.encode_text(texts, "cs"), atol=1e-6)
