"""`--format`: one file of all rows for other programs, equal to the shards; a file of another program stays."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.small_experiment import tiny_towers
from helpers.tiny import sentences
from PIL import Image

import pecl
from pecl.bulk.folder import IDS
from pecl.cli import main
from pecl.errors import ConfigError, DataError, OutputError

TEXTS = sentences(11)


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tmp_path):
    monkeypatch.setattr("pecl.bulk.job.load_towers", lambda **_: tiny_towers())
    monkeypatch.setattr("pecl.bulk.formats._ROWS", 4)
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text("".join(f"{text}\n" for text in TEXTS), "utf-8")


def read(name):
    """Return names and rows of a file, by NumPy and pandas."""
    if name != "parquet":
        ids = [json.loads(line)["id"] for line in Path("out", IDS).read_text("utf-8").splitlines()]
        if name == "npy":
            return ids, np.load("out/embeddings.npy")
        faiss = pytest.importorskip("faiss", reason="faiss-cpu is not there")
        index = faiss.read_index("out/embeddings.faiss")
        return ids, index.reconstruct_n(0, index.ntotal)
    parquet = pytest.importorskip("pyarrow.parquet")
    types = [str(field.type) for field in parquet.read_schema("out/embeddings.parquet")]
    assert types == ["string", "fixed_size_list<element: float>[8]"]
    table = pd.read_parquet("out/embeddings.parquet")
    return table["id"].tolist(), np.stack(table["embedding"])


@pytest.mark.parametrize("name", ["npy", "parquet", "faiss"])
def test_the_file_holds_the_rows_and_their_names(name, capsys):
    command = ["embed", "lines.txt", "--out", "out", "--shards", "3", "--format", name]
    for _ in range(2):  # the second finds all there
        assert main([*command, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["file"] == f"out/embeddings.{name}"
        ids, rows = read(name)
        assert ids == [str(i) for i in range(1, 12)]
        assert rows.dtype == np.float32
        assert np.array_equal(rows, pecl.open_embeddings("out")[:])
    assert main(command) == 0
    assert capsys.readouterr().out == f"out: 11 embeddings of width 8 in 3 shards, and out/embeddings.{name}\n"


@pytest.mark.parametrize("name", ["npy", "parquet"])
def test_a_file_that_differs_stays(name):
    path = Path("out", f"embeddings.{name}")
    path.parent.mkdir()
    path.write_text("my own")
    with pytest.raises(OutputError, match=rf"out/embeddings.{name} is there and differs"):
        pecl.embed("lines.txt", "out", format=name)
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    path.unlink()
    pecl.embed("lines.txt", "out", format=name)
    sound = path.read_bytes()
    for content in (sound[:-1], bytes([sound[0] ^ 1]) + sound[1:], sound[:-40] + bytes(40), b"my own", b""):
        path.write_bytes(content)
        with pytest.raises(
            OutputError, match=rf"out/embeddings.{name} is there and differs.*move it away, or delete it"
        ):
            pecl.embed("lines.txt", "out", format=name)
        assert path.read_bytes() == content
    path.unlink()
    path.mkdir()
    with pytest.raises(OutputError, match=rf"cannot read out/embeddings.{name}: Is a directory"):
        pecl.embed("lines.txt", "out", format=name)
    path.rmdir()
    pecl.embed("lines.txt", "out", format=name)
    assert path.read_bytes() == sound


def test_names_that_parquet_cannot_hold_are_named():
    Path("pictures").mkdir()
    Image.new("RGB", (2, 2)).save(os.fsencode("pictures/") + b"\xe9.png", format="png")
    found = pecl.embed("pictures", "out", format="npy")
    assert np.array_equal(np.load("out/embeddings.npy"), found[:])
    with pytest.raises(DataError, match=r"id '\\udce9.png': expected UTF-8, as parquet has it"):
        pecl.embed("pictures", "out", format="parquet")
    assert not Path("out/embeddings.parquet").exists()


def test_what_cannot_be_written_is_said_before_anything_is(monkeypatch):
    with pytest.raises(ConfigError, match="unknown format 'csv': expected one of faiss, npy, parquet"):
        pecl.embed("lines.txt", "out", format="csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="format parquet needs pyarrow"):
        pecl.embed("lines.txt", "out", format="parquet")
    assert not Path("out").exists()
