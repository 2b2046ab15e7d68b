"""Files that are read line by line: of any size, but with lines that fit in memory."""

import gzip

import pytest

from pecl.data import captions, lines
from pecl.data.captions import read_captions
from pecl.data.custom import tables
from pecl.data.custom.sources import TextSource, read_source
from pecl.data.custom.tables import read_table
from pecl.errors import DataError

GERMAN, ENGLISH = [f"Satz {i}" for i in range(50)], [f"sentence {i}" for i in range(50)]


@pytest.fixture
def source(tmp_path):
    """Return a function of a kind: a source of 50 pairs."""
    rows = list(zip(ENGLISH, GERMAN, strict=True))

    def write(kind):
        contents = {
            "aligned": {"c.en": "\n".join(ENGLISH), "c.de": "\n".join(GERMAN)},
            "csv": {"c.csv": "\n".join(["en,de", *map(",".join, rows)])},
            "tsv.gz": {"c.tsv.gz": "\n".join(["en\tde", *map("\t".join, rows)])},
            "jsonl": {"c.jsonl": "\n".join(f'{{"en": "{en}", "de": "{de}"}}' for en, de in rows)},
        }[kind]
        for name, text in contents.items():
            content = text.encode()
            (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return "=".join(str(tmp_path / name) for name in contents)

    return write


KINDS = ["aligned", "csv", "tsv.gz", "jsonl"]


@pytest.mark.parametrize("kind", KINDS)
def test_training_text_may_be_longer_than_other_files_may(source, kind, monkeypatch):
    monkeypatch.setattr(captions, "TEXT_LIMIT", 100)
    monkeypatch.setattr(tables, "TEXT_LIMIT", 100)
    name = source(kind)
    assert list(read_source(TextSource(name), "de", {})[0]) == list(zip(GERMAN, ENGLISH, strict=True))
    for path in name.split("="):
        with pytest.raises(DataError, match=r"(is larger|unpacks to more) than 100 bytes"):
            (read_captions if kind == "aligned" else read_table)(tables.Path(path))


@pytest.mark.parametrize("kind", KINDS)
def test_a_line_that_does_not_end_is_not_read_on(source, kind, monkeypatch):
    monkeypatch.setattr(lines, "LONGEST", 40)
    name = source(kind)
    path = tables.Path(name.split("=")[0])
    content = path.read_bytes()
    packed = path.suffix == ".gz"
    text = gzip.decompress(content) if packed else content
    text = text.replace(b"sentence 3\n", b"x" * 41 + b"\n").replace(b'"sentence 3"', b'"' + b"x" * 41 + b'"')
    text = text.replace(b"sentence 3,", b"x" * 41 + b",").replace(b"sentence 3\t", b"x" * 41 + b"\t")
    path.write_bytes(gzip.compress(text) if packed else text)
    number = {"aligned": 4, "jsonl": 4}.get(kind, 5)
    with pytest.raises(DataError, match=rf"{path.name}, line {number}: longer than 40 characters: is it a file of"):
        list(read_source(TextSource(name), "de", {})[0])
