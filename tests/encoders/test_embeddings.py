"""`Embeddings` are used as a tensor (N, D) is: by rows, in loops, by NumPy; and a file that is cut is an error."""

import errno
import os
import pickle
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from pecl.encoders.embeddings import FORMAT as EMBEDDINGS
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.store import Shard
from pecl.encoders.token_store import FORMAT as TOKENS
from pecl.encoders.token_store import TokenStore
from pecl.errors import DataError
from pecl.files.rows import DamagedRowsError, write_rows

WHOLE = torch.randn(9, 4, generator=torch.Generator().manual_seed(2))


@pytest.fixture
def found(tmp_path):
    """Nine rows in files of 2, 0, 6 and 1."""
    parts = WHOLE.split([2, 0, 6, 1])
    return Embeddings([Embeddings.write(tmp_path / str(i), [part]).paths[0] for i, part in enumerate(parts)])


ROWS = [
    *(0, -1, 8, np.int64(3), torch.tensor(2)),
    *([], [4], [8, 0, 1, 2, 3, 3, 1], [-1, -9], range(1, 8), (0, 2)),
    *(np.array([1, 2]), torch.tensor([5, 4]), np.array([], int), np.array([2, 8], np.uint8)),
    *(slice(None), slice(3), slice(7, 1, -2), slice(20, 30), slice(-3, None)),
    *(np.arange(9) % 2 == 0, torch.arange(9) > 4, [True] * 9),
]


@pytest.mark.parametrize("rows", ROWS, ids=repr)
def test_rows_are_those_of_the_tensor(found, rows):
    like = list(rows) if isinstance(rows, range | tuple) else rows
    like = np.array([], int) if isinstance(like, list) and not like else like
    expected = torch.from_numpy(np.array(WHOLE.numpy()[like]))
    given = found[rows]
    assert given.shape == expected.shape
    assert torch.equal(given, expected)


@pytest.mark.parametrize("rows", [9, -10, [0, 9], [1.5], "a", None, [[1, 2]], [True, False], True, np.zeros(8, bool)])
def test_rows_that_are_not_there_are_an_index_error(found, rows):
    with pytest.raises(IndexError, match="expected "):
        found[rows]


def test_numpy_takes_them(found):
    assert np.array_equal(np.asarray(found), WHOLE.numpy())
    assert np.asarray(found).dtype == np.float32
    assert np.array_equal(np.array(found, dtype=np.float64, copy=True), WHOLE.double().numpy())
    assert np.allclose(found @ np.ones(4, np.float32), WHOLE.numpy().sum(1))
    assert np.array_equal(np.stack(found), WHOLE.numpy())  # row by row
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        with pytest.raises(ValueError, match="lie on disk"):
            np.asarray(found, copy=False)


def test_their_repr_states_their_shape(found, tmp_path):
    assert repr(found) == "Embeddings(rows=9, width=4, files=4)"
    assert repr(TokenStore.write(tmp_path / "t", [[1, 2], []])) == f"TokenStore('{tmp_path}/t', texts=2, tokens=2)"


def test_they_are_sent_to_another_process_by_their_names(found):
    assert torch.equal(pickle.loads(pickle.dumps(found))[:], WHOLE)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_numbers_that_are_none_are_not_written(tmp_path, bad):
    batch = WHOLE.clone()
    batch[3, 1] = bad
    with pytest.raises(DataError, match="rows: expected finite numbers, got NaN or infinity in row 12"):
        Embeddings.write(tmp_path / "rows", [WHOLE, batch])
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_cut_while_it_is_open_is_an_error(tmp_path):
    """And no SIGBUS, which a memory map would end in."""
    found = Embeddings.write(tmp_path / "rows", [torch.ones(5000, 64)])
    tokens = TokenStore.write(tmp_path / "tokens", [[1] * 50] * 5000)
    for path in (tmp_path / "rows", tmp_path / "tokens"):
        os.truncate(path, 8192)
    assert torch.equal(found[[0, 1]], torch.ones(2, 64))
    with pytest.raises(DataError, match=r"rows is damaged \(it was cut while it was open"):
        found[[4999]]
    with pytest.raises(DataError, match=r"tokens is damaged \(it was cut while it was open"):
        tokens[4999]


def test_a_file_that_is_replaced_while_it_is_open_is_the_one_before(tmp_path):
    found = Embeddings.write(tmp_path / "rows", [WHOLE])
    Embeddings.write(tmp_path / "rows", [WHOLE + 1])
    assert torch.equal(found[:], WHOLE)


def test_other_tensors_are_no_embeddings_and_no_token_ids(tmp_path):
    path, ids = tmp_path / "rows", np.arange(3, dtype=np.int32)
    write_rows(path, ("embeddings",), [{"embeddings": ids}], {"format": EMBEDDINGS})
    with pytest.raises(DataError, match=r"expected embeddings \(n, D\) float32, got int32 of shape \(3,\)"):
        Embeddings(path)
    write_rows(path, ("offsets", "ids"), [{"offsets": ids[1:], "ids": ids}], {"format": TOKENS})
    with pytest.raises(DataError, match=r"is damaged \(its parts are of different length\)"):
        TokenStore(path)
    write_rows(path, ("rows",), [{"rows": ids}], {"tower": "t"})
    with pytest.raises(DamagedRowsError, match="it is not a shard"):
        Shard(path, "t")


def test_an_error_of_the_disk_is_said(found, monkeypatch):
    monkeypatch.setattr(os, "preadv", Mock(side_effect=OSError(errno.EIO, "Input/output error")))
    with pytest.raises(DataError, match=r"cannot read .*: Input/output error"):
        found[0]


def test_the_type_of_the_numbers_is_under_the_checksum(tmp_path):
    path = Embeddings.write(tmp_path / "rows", [WHOLE]).paths[0]
    content = path.read_bytes()
    for before, after in ((b'"F32"', b'"I32"'), (b"[9,4]", b"[4,9]"), (b"[9,4]", b"[36] ")):
        assert content.count(before) == 1
        path.write_bytes(content.replace(before, after))
        with pytest.raises(DataError, match="is damaged"):
            Embeddings(path)
