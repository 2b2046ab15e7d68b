"""`TokenStore` and `Embeddings` are used as a list of token ids and a tensor (N, D) are, and lie on disk."""

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from pecl.encoders.embeddings import Embeddings, TokenStore
from pecl.errors import DataError
from pecl.files.columns import write_column

WHOLE = torch.randn(9, 4, generator=torch.Generator().manual_seed(2))
IDS = [[0, 7, 2], [], [5] * 40, [2**31 - 1]]


@pytest.fixture
def found(tmp_path):
    """Nine rows in files of 2, 0, 6 and 1."""
    parts = WHOLE.split([2, 0, 6, 1])
    return Embeddings([Embeddings.write(tmp_path / str(i), [part]).paths[0] for i, part in enumerate(parts)])


ROWS = [
    *(0, -1, 8, np.int64(3), torch.tensor(2)),
    *([], [8, 0, 1, 2, 3, 3, 1], [-1, -9], range(1, 8), np.array([2, 8], np.uint8), torch.tensor([5, 4])),
    *(slice(None), slice(7, 1, -2), slice(20, 30), slice(-3, None)),
]


@pytest.mark.parametrize("rows", ROWS, ids=repr)
def test_rows_are_those_of_the_tensor(found, rows):
    like = np.array(rows, int) if isinstance(rows, list | range) else rows
    expected = torch.from_numpy(np.array(WHOLE.numpy()[like]))
    given = found[rows]
    assert given.shape == expected.shape
    assert torch.equal(given, expected)
    assert (len(found), found.shape) == (9, (9, 4))


def test_numbers_that_are_none_are_not_written(tmp_path):
    batch = WHOLE.clone()
    batch[3, 1] = -torch.inf
    with pytest.raises(DataError, match="rows: expected finite numbers, got NaN or infinity in row 12"):
        Embeddings.write(tmp_path / "rows", [WHOLE, batch])
    assert not list(tmp_path.iterdir())


def test_batches_of_two_widths_are_not_written(tmp_path):
    with pytest.raises(DataError, match="rows: expected embeddings of width 4, got 3 in row 9"):
        Embeddings.write(tmp_path / "rows", [WHOLE, WHOLE[:, :3]])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("row", [None, [1.0, None]])
def test_a_file_that_lacks_a_number_is_refused(tmp_path, row):
    """The rows after one that is missing would have the numbers before theirs."""
    kind = pa.list_(pa.float32(), 2)
    write_column(tmp_path / "rows", kind, [pa.array([[1.0, 2.0]], kind), pa.array([[3.0, 4.0], row], kind)])
    with pytest.raises(DataError, match="rows: expected 2 numbers in each row, row 2 differs"):
        Embeddings(tmp_path / "rows")


def test_a_store_is_a_list_of_token_ids(tmp_path, monkeypatch):
    monkeypatch.setattr("pecl.files.columns.ROWS", 3)
    store = TokenStore.write(tmp_path / "ids", iter(IDS))
    assert (list(store), len(store), store[2], store[-1], store[1:]) == (IDS, 4, IDS[2], IDS[-1], IDS[1:])
    assert store.lengths().tolist() == [3, 0, 40, 1]
    assert pa.ipc.open_file(store.path).read_all().to_pydict() == {"values": IDS}  # as other packages read it
    with pytest.raises(IndexError):
        store[4]


def test_what_is_something_else_is_one_sentence(tmp_path):
    save_file({"ids": torch.zeros(2)}, tmp_path / "other")
    Embeddings.write(tmp_path / "rows", [torch.ones(2, 2)])
    Embeddings.write(tmp_path / "wide", [torch.ones(2, 3)])
    TokenStore.write(tmp_path / "ids", IDS)
    (tmp_path / "cut").write_bytes((tmp_path / "ids").read_bytes()[:-4])
    expected = "expected an Arrow file of token ids"
    said_of = {"nowhere": "cannot read", "other": expected, "cut": expected, "rows": "got a column"}
    for path, said in said_of.items():
        with pytest.raises(DataError, match=rf"{path}.*{said}|{said}.*{path}"):
            TokenStore(tmp_path / path)
    with pytest.raises(DataError, match="expected embeddings, lists of D float32, got a column of list"):
        Embeddings(tmp_path / "ids")
    with pytest.raises(DataError, match="expected embeddings of one width, got 2, 3"):
        Embeddings([tmp_path / "rows", tmp_path / "wide"])


def test_what_ends_early_leaves_no_file(tmp_path):
    def broken():
        yield [1]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TokenStore.write(tmp_path / "ids", broken())
    assert not list(tmp_path.iterdir())
