"""Long lists lie in files and train as lists in memory do; memory that a pass frees is there for the next one."""

import logging

import pytest
import torch
from helpers.small_experiment import tiny_towers
from helpers.tiny import sentences, tiny_tower

import pecl.encoders.large
from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.config import make_config
from pecl.encoders.embeddings import Embeddings, TokenStore
from pecl.encoders.large import frozen_embeddings, tokens_of
from pecl.encoders.store import EmbeddingStore
from pecl.experiment.frozen import embed_anchors
from pecl.experiment.inputs import read_training
from pecl.experiment.run import train

TEXTS = [*sentences(10), "بنجر"]


@pytest.fixture
def all_are_long(monkeypatch, tmp_path):
    monkeypatch.setattr(pecl.encoders.large, "LARGE", 1)
    monkeypatch.setattr(pecl.encoders.large, "_PART", 4)
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))


def test_token_ids_are_written_once_and_made_anew_where_damaged(all_are_long, monkeypatch, caplog):
    tower = tiny_tower()
    expected = tower.tokenize(TEXTS)
    found = tokens_of(tower, TEXTS)
    assert isinstance(found, TokenStore)
    assert list(found) == expected
    with monkeypatch.context() as patch:
        patch.setattr(type(tower), "tokenize", lambda *_: pytest.fail("tokenised again"))
        assert list(tokens_of(tower, TEXTS)) == expected
    tower.max_length = 7  # other token ids
    assert list(tokens_of(tower, TEXTS)) == tower.tokenize(TEXTS) != expected
    tower.max_length, tower.transliterates = 128, True
    transliterated = tower.tokenize(TEXTS, "bjn_arab")
    assert list(tokens_of(tower, TEXTS, "bjn_arab")) == transliterated != expected
    content = bytearray(found.path.read_bytes())
    content[-1] ^= 1
    found.path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert list(tokens_of(tower, TEXTS)) == expected
    assert "made again" in caplog.text


def test_frozen_embeddings_are_those_of_the_tower_and_go_on_where_they_were(all_are_long, tmp_path, monkeypatch):
    tower, store = tiny_tower(), EmbeddingStore("x" * 64, tmp_path / "stores")
    encode, parts = type(tower).encode_text, []

    def counted(tower, texts, **options):
        parts.append(len(texts))
        if len(parts) == 3:
            raise KeyboardInterrupt
        return encode(tower, texts, **options)

    with monkeypatch.context() as patch:
        patch.setattr(type(tower), "encode_text", counted)
        with pytest.raises(KeyboardInterrupt):
            frozen_embeddings(tower, TEXTS, store)
        found = frozen_embeddings(tower, TEXTS, store)
    assert parts == [4, 4, 3, 3]
    assert isinstance(found, Embeddings)
    torch.testing.assert_close(found[:], tower.encode_text(TEXTS, normalize=False), rtol=1e-5, atol=1e-6)
    assert torch.equal(found[2:9:3], found[[2, 5, 8]])


@pytest.mark.parametrize("long", [True, False])
def test_a_tower_with_an_adapter_has_no_frozen_embeddings(all_are_long, monkeypatch, tmp_path, long):
    monkeypatch.setattr(pecl.encoders.large, "LARGE", 1 if long else 1000)
    tower = tiny_tower()
    attach(tower, parse_adapter("lora"))
    with pytest.raises(ValueError, match="without adapter"):
        frozen_embeddings(tower, TEXTS, EmbeddingStore("x", tmp_path))


def test_damaged_embeddings_are_made_again(all_are_long, tmp_path, caplog):
    tower, store = tiny_tower(), EmbeddingStore("x" * 64, tmp_path / "stores")
    found = frozen_embeddings(tower, TEXTS, store)
    expected, path = found[:], found.paths[1]
    content = bytearray(path.read_bytes())
    content[content.index(expected[5].numpy().tobytes())] ^= 1
    path.write_bytes(content)
    assert torch.equal(frozen_embeddings(tower, TEXTS, store)[:], expected)
    assert f"{path} is damaged" in caplog.text


@pytest.mark.parametrize("anchor", ["student", "frozen"])
def test_an_experiment_on_files_is_that_on_lists(small, monkeypatch, tmp_path, anchor):
    plain = train(make_config({**small, "anchor": anchor, "out": str(tmp_path / "plain")}))
    monkeypatch.setattr(pecl.encoders.large, "LARGE", 1)
    config = make_config({**small, "anchor": anchor})
    inputs = read_training(config, tiny_towers())
    assert isinstance(inputs.train_tokens, TokenStore)
    assert isinstance(embed_anchors(inputs), Embeddings)
    stored = train(config)
    if anchor == "student":
        assert stored.adapter_path.read_bytes() == plain.adapter_path.read_bytes()
    torch.testing.assert_close(torch.tensor(stored.curve.loss), torch.tensor(plain.curve.loss), rtol=1e-4, atol=1e-5)
    assert stored.metrics["test"]["zero_shot"] == plain.metrics["test"]["zero_shot"]
