import logging
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
import torch
from helpers.tiny import sentences, tiny_tower
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.encoders.batches import batches
from pecl.encoders.pooling import POOLINGS
from pecl.errors import ConfigError, DataError

TOWER = tiny_tower()  # for what leaves it as it is


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("pooling", POOLINGS)
@pytest.mark.parametrize("architecture", ["xlm-roberta", "bert"])
def test_embeddings_are_the_head_of_the_pooled_hidden_states(architecture, pooling, packing):
    """Each text alone, without padding: the pooling is then plain indexing."""
    tower = tiny_tower(architecture, dim=5)
    tower.pooling, tower.packing, tower.text_prefix = pooling, packing, "q: "
    texts = sentences(9)
    pick = {
        "mean": lambda hidden: hidden.mean(0),
        "cls": lambda hidden: hidden[0],
        "lasttoken": lambda hidden: hidden[-1],
    }
    with torch.inference_mode():
        for text, found in zip(texts, tower.encode_text(texts, 4, normalize=False), strict=True):
            ids = torch.tensor([tower.tokenizer("q: " + text)["input_ids"]])
            hidden = tower.backbone(input_ids=ids).last_hidden_state[0]  # (L, d)
            expected = pick[pooling](hidden) @ tower.head.weight.T + tower.head.bias
            torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_encoding_leaves_the_mode_alone():
    tower = tiny_tower().train()
    first = tower.encode_text(["a b"])
    assert tower.training
    assert torch.equal(first, tower.encode_text(["a b"]))  # no dropout while encoding


def test_one_warning_counts_the_texts_that_were_cut(caplog):
    tower = tiny_tower()
    tower.max_length = 6  # <s>, four bytes, </s>
    with caplog.at_level(logging.WARNING):
        token_ids = tower.tokenize(["abcd", "abcde", "a", "abcdefghij"])
    assert [len(row) for row in token_ids] == [6, 6, 3, 6]
    assert all(row[-1] == tower.tokenizer.eos_token_id for row in token_ids)
    assert [record.getMessage() for record in caplog.records] == ["2 of 4 texts are longer than 6 tokens and were cut"]


def test_the_share_of_unknown_pieces_is_said(caplog):
    tower = tiny_tower()
    tower.tokenizer.unk_token = "x"
    with caplog.at_level(logging.WARNING):
        tower.tokenize(["a" * 16 + "x"])  # one of 19 pieces
        assert caplog.records == []
        tower.tokenize(["axbx", "ab"])  # two of ten
    assert caplog.records[0].getMessage().startswith("20 % of the pieces of 2 texts are not in the vocabulary of")


def test_one_text_is_one_row_and_a_generator_several():
    one, many = TOWER.encode_text("ein Hund"), TOWER.encode_text(text for text in ("ein Hund", "e"))
    assert one.shape == (1, 8)
    torch.testing.assert_close(one, many[:1])


@pytest.mark.parametrize("languages", [["de"], ["de", None]])
def test_texts_and_languages_that_do_not_fit_are_refused(languages):
    with pytest.raises(DataError, match=r"^language: expected a language for each of 2 texts, got "):
        tiny_tower().tokenize(["a", "b"], languages)


def test_a_text_that_utf_8_cannot_hold_is_refused():
    with pytest.raises(DataError, match="expected a text at position 1"):
        tiny_tower().tokenize(["a", "\ud800"])


def test_threads_do_not_change_each_others_limit_of_length():
    tower = tiny_tower()
    tower.max_length = 16
    long_texts = ["a dog " * 300, "a dog"]
    with ThreadPoolExecutor(6) as threads:
        rows = [row for rows in threads.map(tower.tokenize, [long_texts] * 300) for row in rows]
    assert max(map(len, rows)) == 16


def test_fingerprint_covers_weights_and_settings():
    def changed(change):
        tower = tiny_tower()
        change(tower)
        return tower.fingerprint

    prints = [
        tiny_tower().fingerprint,
        changed(lambda tower: setattr(tower, "pooling", "cls")),
        changed(lambda tower: setattr(tower, "text_prefix", "query: ")),
        changed(lambda tower: tower.head.bias.data[0].add_(1e-7)),
        changed(lambda tower: tower.half()),
    ]
    assert len(set(prints)) == len(prints)
    assert tiny_tower().fingerprint == prints[0]


@given(lengths=st.lists(st.integers(1, 40), max_size=60), batch_size=st.integers(1, 16))
@settings(deadline=None)
def test_batches_hold_every_text_once_with_its_neighbours_in_length(lengths, batch_size):
    token_ids = [list(range(4, 4 + length)) for length in lengths]
    found = list(batches(token_ids, batch_size, TOWER.tokenizer.pad_token_id))
    order = [int(i) for batch in found for i in batch.indices]
    assert sorted(order) == list(range(len(lengths)))
    assert [lengths[i] for i in order] == sorted(lengths, reverse=True)
    for batch in found:
        assert len(batch.indices) <= batch_size
        assert batch.attention_mask.float().mean() >= 0.9 - 1e-6
        for i, row, mask in zip(batch.indices, batch.input_ids, batch.attention_mask, strict=True):
            assert row[mask.bool()].tolist() == token_ids[i]
            assert set(row[~mask.bool()].tolist()) <= {TOWER.tokenizer.pad_token_id}
    for batch, after in pairwise(found):  # no batch had room for the text behind it
        count, tokens = len(batch.indices) + 1, int(batch.attention_mask.sum()) + lengths[int(after.indices[0])]
        assert count > batch_size or tokens < 0.9 * count * batch.input_ids.shape[1]
    with pytest.raises(ConfigError, match="batch_size: expected at least 1, got 0"):
        TOWER.encode_text("a", batch_size=0)


def test_a_query_does_not_set_the_mode_of_the_modules(monkeypatch):
    """Setting a mode visits every module, which took half a millisecond of each query, twice."""
    expected = TOWER.encode_text("ein Hund")
    monkeypatch.setattr(torch.nn.Module, "train", lambda *_: pytest.fail("a mode was set"))
    assert torch.equal(TOWER.encode_text("ein Hund"), expected)
