"""Texts in a column: the same as a list of them, in memory and on disk, in a few bytes each."""

import gzip
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pecl.config import ExperimentConfig
from pecl.data import text_column
from pecl.data.text_column import TextWriter
from pecl.errors import OutputError
from pecl.experiment.text import hold_out, load_text

texts = st.lists(st.text(st.characters(blacklist_categories=("Cs",)), max_size=20), max_size=30)


def column_of(lines):
    writer = TextWriter()
    for line in lines:
        writer.append(line.encode("utf-8"))
    return writer.column()


@pytest.fixture(params=[text_column.IN_MEMORY, 8], ids=["in memory", "on disk"])
def anywhere(request, monkeypatch, tmp_path):
    monkeypatch.setattr(text_column, "IN_MEMORY", request.param)
    monkeypatch.setattr(text_column, "_TOGETHER", 3)
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))


@pytest.mark.usefixtures("anywhere")
def test_a_column_is_read_as_the_list_of_its_texts():
    @given(texts, st.data())
    def check(lines, data):
        column = column_of(lines)
        assert (list(column), len(column), column[:]) == (lines, len(lines), lines)
        places = data.draw(st.lists(st.integers(0, len(lines) - 1)) if lines else st.just([]))
        taken, expected = column.take(places), [lines[i] for i in places]
        assert (list(taken), taken[1::2], taken[::-1]) == (expected, expected[1::2], expected[::-1])
        assert list(taken.take(range(len(places))[::-2])) == expected[::-2]
        for i in range(-len(places), len(places)):
            assert taken[i] == expected[i]
        with pytest.raises(IndexError):
            taken[len(places)]

    check()


def test_a_long_column_leaves_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(text_column, "IN_MEMORY", 8)
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    column = column_of(["a dog runs", "two"])
    assert list((tmp_path / "cache").iterdir()) == []
    assert list(column) == ["a dog runs", "two"]


def test_a_cache_that_cannot_be_written_is_said_where_the_text_is_long(monkeypatch, tmp_path):
    (tmp_path / "cache").touch()
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    column_of(["short"])
    monkeypatch.setattr(text_column, "IN_MEMORY", 8)
    with pytest.raises(OutputError, match=r"cannot write the training text into .*cache: .*; PECL_CACHE_DIR names"):
        column_of(["a dog runs"])


def test_a_pair_of_a_training_text_takes_a_few_bytes_of_memory(monkeypatch, tmp_path):
    """As Python's strings, this one takes some 250."""
    pairs = 10_000
    monkeypatch.setattr(text_column, "IN_MEMORY", 1 << 16)
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    for code in ("en", "de"):
        lines = "".join(f"{code} {i}: {'word ' * 10}\n" for i in range(pairs))
        (tmp_path / f"c.{code}.gz").write_bytes(gzip.compress(lines.encode()))
    config = ExperimentConfig(text=f"{tmp_path}/c.en.gz={tmp_path}/c.de.gz", clean=True)
    load_text(config, {})  # what is imported and made once is not the text's
    tracemalloc.start()
    text = load_text(config, {})
    held, most = tracemalloc.get_traced_memory()
    parts = hold_out(text, None, None)
    tracemalloc.stop()
    assert (held / pairs, most / pairs) < (12, 100)
    assert sorted(np.concatenate([list(parts.train.target), list(parts.held_out.target)])) == sorted(text.target)
