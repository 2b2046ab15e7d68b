"""The adapters that are shipped: small enough, with their results, and English as it was."""

import json

import pytest
import torch

from pecl.adapters.ready import SHIPPED, load_bank, ready_adapters
from pecl.encoders.towers import load_text_encoder
from pecl.errors import ConfigError

LANGUAGES = ["cs", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh"]
LARGEST = 400_000  # bytes


def test_all_languages_are_shipped_for_mini_each_with_its_result():
    files = ready_adapters("mini")
    assert list(files) == LANGUAGES
    for language, path in files.items():
        result = json.loads(path.with_suffix(".json").read_text("utf-8"))
        assert path.stat().st_size < LARGEST
        assert result["config"]["language"] == language
        assert result["adapter"]["trainable"] <= 188_000
        test = result["metrics"]["test"]
        assert test["best"]["mean_recall@1"] > test["zero_shot"]["mean_recall@1"]


def test_a_profile_without_adapters_and_a_language_without_one_are_refused():
    with pytest.raises(ConfigError, match=r"profile: expected one with ready adapters \(mini\), got 'paper'"):
        load_bank("paper")
    with pytest.raises(
        ConfigError,
        match=r"got Finnish \(fi\): `pecl distil .*--language fi --dataset xtd200",
    ):
        load_bank("mini", ["cs", "de", "fi"], tower=object())
    assert ready_adapters("paper") == {}
    assert SHIPPED.is_dir()


@pytest.mark.weights
def test_a_bank_serves_all_languages_and_leaves_english_as_it_was():
    texts = ["a dog on the beach", "two children play football", "an old man"]
    tower = load_text_encoder("mini")
    plain = tower.encode_text(texts)
    bank = load_bank("mini", tower=tower)
    assert torch.equal(tower.encode_text(texts), plain)
    assert set(bank.languages) == {*LANGUAGES, "en"}
    assert torch.equal(bank.encode_text(texts, language="English"), plain)
    assert torch.equal(bank.encode_text(texts, language="ja"), bank.encode_text(texts, language="jp"))
    assert not torch.allclose(bank.encode_text(texts, language="cs"), plain, atol=1e-2)
