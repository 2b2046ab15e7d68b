"""Every kind of damage to every file of an index: a search finds the same as before, or one sentence names the file."""

import json
import os
import random
import shutil

import numpy as np
import pytest
from helpers.small_index import COUNT, edit_head, paint_album
from PIL import Image

import pecl
from pecl.errors import PeclError
from pecl.files.rows import open_rows, write_rows
from pecl.search.build import build_index
from pecl.search.plan import IndexOptions
from pecl.search.thumbnails import read_thumbnail

RANDOM = random.Random(3)
HEAD, LIST, MATRIX, SMALL = "pecl-index.json", "photographs-*.jsonl", "embeddings-*.safetensors", "thumbnails/*/*.jpg"


def flip(place):
    def damage(path, other):
        content = bytearray(path.read_bytes())
        content[int(place * (len(content) - 1))] ^= 1 << RANDOM.randrange(8)
        path.write_bytes(content)

    return damage


def cut(bytes_left):
    def damage(path, other):
        with open(path, "r+b") as file:
            file.truncate(int(bytes_left * path.stat().st_size))

    return damage


def longer(path, other):
    path.write_bytes(path.read_bytes() + b"\n")


def of_another_index(path, other):
    """The file of the same kind of another index of the same photographs, embedded by another tower."""
    path.write_bytes(other.read_bytes())


def link(path, other):
    """A link to a sound copy of the file."""
    copy = path.parents[3] / "copy" / path.name
    copy.parent.mkdir(exist_ok=True)
    path.rename(copy)
    path.symlink_to(copy)


def noise(path, other):
    path.write_bytes(RANDOM.randbytes(path.stat().st_size))


def gone(path, other):
    path.unlink()


def folder(path, other):
    path.unlink()
    path.mkdir()


DAMAGES = {
    **{f"a bit at {place}": flip(place) for place in (0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 1)},
    **{f"cut to {left}": cut(left) for left in (0, 0.1, 0.5, 0.99)},
    "longer": longer,
    "of another index": of_another_index,
    "link": link,
    "noise": noise,
    "gone": gone,
    "folder": folder,
}


@pytest.fixture
def two(photographs, towers):
    """An index with small pictures, and another of equal names: each photograph has the next one's colours."""
    build_index(photographs, options=IndexOptions(thumbnails=True))
    other = paint_album(photographs.parent / "other", shift=1)
    build_index(other, options=IndexOptions(thumbnails=True))
    return photographs / ".pecl-index", other / ".pecl-index"


def one_of(place, pattern):
    return sorted(place.glob(pattern))[0]


def found(photographs):
    """Everything that an open index gives."""
    with pecl.ImageIndex.open(photographs) as index:
        hits = index.search(np.eye(8, dtype=np.float32), top=COUNT)
        return [[(hit.path.name, hit.score, read_thumbnail(hit.thumbnail)) for hit in own] for own in hits]


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("pattern", [HEAD, LIST, MATRIX])
def test_damage_is_seen_by_whoever_reads_an_index(two, photographs, pattern, damage):
    expected = found(photographs)
    path = one_of(two[0], pattern)
    DAMAGES[damage](path, one_of(two[1], pattern))
    if (pattern, damage) == (HEAD, "longer"):  # the same JSON
        assert found(photographs) == expected
        return
    for use in (found, build_index):  # with nothing new
        with pytest.raises(PeclError, match=rf"{path.name}|{HEAD}|no index") as error:
            use(photographs)
        assert "\n" not in str(error.value)
        assert pattern == HEAD or damage in ("link", "folder") or "--rebuild" in str(error.value)
    if damage == "folder":
        path.rmdir()  # a folder with such a name is not the index's own
    if pattern == HEAD and not os.path.lexists(path):  # without a head there is no index, but somebody's pictures
        shutil.rmtree(two[0] / "thumbnails")
    build_index(photographs, options=IndexOptions(rebuild=True, thumbnails=True))
    assert found(photographs) == expected
    assert len(list(two[0].iterdir())) == 4 + (damage == "link" and pattern != HEAD)  # nor is a link


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_small_picture_is_not_shown(two, photographs, damage, caplog):
    path = one_of(two[0], SMALL)
    sound = read_thumbnail(path)
    Image.open(path).load()  # other programs read it as the JPEG that it is
    DAMAGES[damage](path, next(one for one in two[0].glob(SMALL) if one != path))  # of another photograph
    assert read_thumbnail(path) is None
    assert damage == "gone" or path.name in caplog.text
    if damage == "folder":
        path.rmdir()
    build_index(photographs, options=IndexOptions(rebuild=True))
    assert read_thumbnail(path) == sound


def test_a_matrix_that_is_cut_or_exchanged_while_it_is_open_changes_nothing(two, photographs):
    with pecl.ImageIndex.open(photographs) as index:
        matrix = one_of(two[0], MATRIX)
        before = index.search(np.eye(8, dtype=np.float32), top=3)
        os.truncate(matrix, 16)
        assert index.search(np.eye(8, dtype=np.float32), top=3) == before
        matrix.write_bytes(one_of(two[1], MATRIX).read_bytes())
        assert index.search(np.eye(8, dtype=np.float32), top=3) == before
        assert not index.embeddings.flags.writeable


@pytest.mark.parametrize("value", [7e36, np.nan, np.inf, -1.5])
def test_a_similarity_that_cannot_be_is_an_error(two, photographs, value):
    """An index that was made wrong, with digests that fit."""
    path = one_of(two[0], MATRIX)
    matrix = open_rows(path)[0]["embeddings"].load().copy()
    matrix[3] = value
    files = json.loads((two[0] / HEAD).read_text())["files"]
    digest = write_rows(path, ("embeddings",), [{"embeddings": matrix}], {})
    edit_head(two[0], {"files": files | {"embeddings": digest}})
    with pecl.ImageIndex.open(photographs) as index, pytest.raises(PeclError, match="expected -1 to 1: its embeddings"):
        index.search(np.eye(8, dtype=np.float32), top=1)


def test_a_damaged_record_of_the_users_own_is_no_record(two, photographs, tmp_path):
    build_index(photographs, tmp_path / "elsewhere")
    (record,) = (tmp_path / "cache" / "indexes").iterdir()
    sound = record.read_bytes()
    for content in (b"", b"{", b"[]", b'{"root": 3, "collections": 4}', sound.replace(b'"root": "', b'"root": "0')):
        record.write_bytes(content)
        with pytest.raises(PeclError, match="you have not made it here: run `pecl index PHOTOGRAPHS --out"):
            pecl.ImageIndex.open(tmp_path / "elsewhere")
        assert build_index(photographs, tmp_path / "elsewhere").new == 0
        assert record.read_bytes() == sound
    assert len(pecl.ImageIndex.open(tmp_path / "elsewhere")) == COUNT


def test_two_photographs_of_equal_size_and_time_that_change_places_are_seen(photographs, towers):
    """PNG of few colours: both have one size, and their times are set to be equal."""
    one, other = photographs / "00.png", photographs / "03.png"
    contents = one.read_bytes(), other.read_bytes()
    size = max(len(content) for content in contents)
    for path, content in zip((one, other), contents, strict=True):
        path.write_bytes(content.ljust(size, b"\0"))
        os.utime(path, ns=(10**18, 10**18))
    build_index(photographs)
    before = {path.name: row for path, row in _rows(photographs)}
    one.rename(photographs / "x")
    other.rename(one)
    (photographs / "x").rename(other)
    assert one.stat().st_mtime_ns == 10**18
    assert one.stat().st_size == size
    assert build_index(photographs).changed == 2
    after = {path.name: row for path, row in _rows(photographs)}
    np.testing.assert_array_equal(after["00.png"], before["03.png"])
    np.testing.assert_array_equal(after["03.png"], before["00.png"])


def _rows(photographs):
    with pecl.ImageIndex.open(photographs) as index:
        return list(zip(index.paths, index.embeddings.copy(), strict=True))
