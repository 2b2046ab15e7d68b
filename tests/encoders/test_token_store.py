"""Token ids and embeddings in files: what a list and a tensor give, read by safetensors' own reader."""

import numpy as np
import pytest
import torch
from helpers.small_training import task, trainer
from helpers.tiny import tiny_tower
from safetensors.torch import load_file, save_file

from pecl.encoders.embeddings import Embeddings
from pecl.encoders.token_store import TokenStore
from pecl.errors import DataError, OutputError

IDS = [[5, 6, 7], [], [0, 2], [250_001]]


def test_a_store_is_the_list_that_was_written(tmp_path):
    store = TokenStore.write(tmp_path / "new" / "ids", iter(IDS))
    assert list(store) == IDS
    assert [store[i] for i in range(-4, 4)] == IDS * 2
    assert store[1:] == IDS[1:]
    assert store[::-2] == IDS[::-2]
    assert (len(store), store.tokens, store.lengths().tolist()) == (4, 6, [3, 0, 2, 1])
    with pytest.raises(IndexError):
        store[4]
    assert all(type(token) is int for row in store for token in row)  # not numpy's, which JSON has no word for


@pytest.mark.parametrize("count", [0, 1, 5000])
def test_safetensors_reads_the_file(tmp_path, count):
    ids = [[i % 7] * (i % 4) for i in range(count)]
    store = TokenStore.write(tmp_path / "ids", ids)
    tensors = load_file(tmp_path / "ids")
    assert tensors["ids"].dtype == torch.int32
    assert tensors["ids"].tolist() == [token for row in ids for token in row]
    assert tensors["offsets"].tolist() == np.cumsum([0, *map(len, ids)]).tolist()
    assert list(TokenStore(store.path)) == ids


def test_equal_texts_have_an_equal_digest(tmp_path):
    stores = [TokenStore.write(tmp_path / str(i), ids) for i, ids in enumerate((IDS, IDS, IDS[::-1], [*IDS, []]))]
    assert stores[0].digest == stores[1].digest
    assert len({store.digest for store in stores}) == 3


def test_embeddings_are_the_tensor_that_was_written(tmp_path):
    whole = torch.randn(7, 3, generator=torch.Generator().manual_seed(1))
    one = Embeddings.write(tmp_path / "one", whole.split(3), {"tower": "x"})
    assert torch.equal(load_file(tmp_path / "one")["embeddings"], whole)
    assert one.metadata["tower"] == "x"


@pytest.mark.parametrize("at", [0, 20, 4096, -1])
def test_a_changed_byte_is_seen(tmp_path, at):
    for path, open_it in ((tmp_path / "ids", TokenStore), (tmp_path / "rows", Embeddings)):
        TokenStore.write(path, IDS) if open_it is TokenStore else Embeddings.write(path, [torch.ones(2, 2)])
        content = bytearray(path.read_bytes())
        content[at] ^= 1
        path.write_bytes(content)
        with pytest.raises(DataError, match=f"{path}"):
            open_it(path)


def test_what_is_something_else_is_one_sentence(tmp_path):
    save_file({"ids": torch.zeros(2)}, tmp_path / "other")
    Embeddings.write(tmp_path / "rows", [torch.ones(2, 2)])
    Embeddings.write(tmp_path / "wide", [torch.ones(2, 3)])
    TokenStore.write(tmp_path / "ids", IDS)
    cut = tmp_path / "cut"
    cut.write_bytes((tmp_path / "ids").read_bytes()[:-4])
    for path, said in (
        ("nowhere", "cannot read"),
        ("other", "damaged"),
        ("rows", "expected token ids"),
        ("cut", "has"),
    ):
        with pytest.raises(DataError, match=said):
            TokenStore(tmp_path / path)
    with pytest.raises(DataError, match="expected embeddings as"):
        Embeddings(tmp_path / "ids")
    with pytest.raises(DataError, match="expected embeddings of width 2"):
        Embeddings([tmp_path / "rows", tmp_path / "wide"])
    with pytest.raises(DataError, match="at least one file"):
        Embeddings([])


def test_what_ends_early_leaves_no_file(tmp_path):
    def broken():
        yield [1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TokenStore.write(tmp_path / "ids", broken())
    (tmp_path / "file").write_text("")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(OutputError, match="cannot write"):
        TokenStore.write(tmp_path / "file" / "ids", IDS)


def test_a_training_on_files_gives_the_bits_of_one_in_memory(tmp_path):
    states = []
    for anchor in ("student", "frozen"):
        for stored in (False, True):
            tower = tiny_tower()
            pairs = task(tower, anchor=anchor)
            if stored:
                files = {"query": TokenStore.write(tmp_path / "query", pairs.query)}
                files["images"] = Embeddings.write(tmp_path / "images", [pairs.images])
                write = TokenStore.write if anchor == "student" else lambda path, rows: Embeddings.write(path, [rows])
                files["anchor"] = write(tmp_path / anchor, pairs.anchor)
                pairs = type(pairs)(**{**pairs.__dict__, **files})
            run = trainer(tower, [pairs])
            run.run()
            states.append(run.adapter.slot_state(0))
    for plain, stored in (states[:2], states[2:]):
        assert all(torch.equal(value, stored[name]) for name, value in plain.items())
