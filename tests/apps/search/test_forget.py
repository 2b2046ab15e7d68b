"""Nothing of a removed index or photograph stays: not in the cache, and not in the file. Only the user can read it."""

import contextlib
import json
import os
import sqlite3
import stat

import numpy as np
import pytest
from helpers.small_index import COUNT, by_hand, paint, paint_album
from safetensors.numpy import load_file

import pecl
from pecl.apps.search import build
from pecl.apps.search.build import build_index
from pecl.apps.search.catalogue import FILE, index_folder
from pecl.apps.search.options import IndexOptions
from pecl.cli import main
from pecl.encoders.store import FOLDER, EmbeddingStore, forget_images
from pecl.errors import ConfigError, DataError
from pecl.files import LOCK, BusyError, locked, write_stream
from pecl.files.images import ImageFiles


@pytest.fixture(autouse=True)
def _usual_rights():
    before = os.umask(0o022)
    yield
    os.umask(before)


def cached(folder):
    """All embeddings in the files of a cache, each of length 1, as tuples of rounded numbers."""
    rows = [row.astype(np.float64) for path in folder.rglob("*.safetensors") for row in load_file(path)["embeddings"]]
    return sorted(tuple(np.round(row / np.linalg.norm(row), 4).tolist()) for row in rows)


def embeddings_of(*paths):
    """The embeddings of photographs by the tower's formula, as `cached` returns them."""
    return sorted(tuple(np.round(by_hand(path), 4).tolist()) for path in paths)


def image_fingerprint(path):
    """The hash of a file's content."""
    return ImageFiles((path,)).fingerprint(0)


def rights(path):
    """The rights of a file or folder, such as 0o600."""
    return stat.S_IMODE(path.stat().st_mode)


def test_forget_removes_the_index_and_what_the_cache_has_of_it(photographs, tmp_path, capsys):
    cache, other = tmp_path / "cache", paint_album(tmp_path / "other", shift=20)
    for number, path in enumerate(sorted(other.rglob("*.png"))):
        paint(path, seed=50 + number)
    build_index(photographs)
    build_index(other)
    pecl.ImageIndex.open(photographs).search("a dog", "en")  # queries leave nothing in the cache
    assert len(cached(cache)) == 2 * COUNT

    assert main(["index", "--forget", str(photographs), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer == {"folder": str(index_folder(photographs)), "photographs": COUNT, "embeddings": COUNT}
    assert cached(cache) == embeddings_of(*other.rglob("*.png"))
    assert not index_folder(photographs).exists()
    assert len(list(photographs.rglob("*.png"))) == COUNT
    assert len(pecl.ImageIndex.open(other)) == COUNT

    assert main(["index", "--forget", str(photographs)]) == 2
    assert f"{photographs}: there is no index of it in" in capsys.readouterr().err
    assert build_index(photographs).new == COUNT


@pytest.mark.parametrize("count", [1, COUNT])
def test_an_index_holds_no_embedding_that_another_process_forgets_while_it_is_made(photographs, monkeypatch, count):
    """Another folder has the same photographs."""
    contents = [image_fingerprint(path) for path in sorted(photographs.rglob("*.png"))[:count]]
    add = EmbeddingStore._add

    def add_then_forget(*args):
        add(*args)
        assert forget_images(contents) == count

    with monkeypatch.context() as patch:
        patch.setattr(EmbeddingStore, "_add", add_then_forget)
        with pytest.raises(DataError, match=f"embeddings of {count} photographs, .* were removed while they were read"):
            build_index(photographs)
    assert not (index_folder(photographs) / FILE).exists()
    build_index(photographs)
    assert len(pecl.ImageIndex.open(photographs)) == COUNT


def killed_update(photographs, monkeypatch):
    """Update an index until the embeddings of new photographs are cached."""
    with monkeypatch.context() as patch:
        patch.setattr(build._Update, "_write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            build_index(photographs)


def interrupt(*_):
    raise KeyboardInterrupt


def test_embeddings_of_a_killed_update_are_forgotten(photographs, tmp_path, monkeypatch):
    killed_update(photographs, monkeypatch)
    assert len(cached(tmp_path / "cache")) == COUNT
    with locked(index_folder(photographs) / LOCK, ""), pytest.raises(BusyError, match="is being updated"):
        forget(photographs)
    assert forget(photographs)[1:] == (0, COUNT)  # photographs of the index, embeddings
    assert (cached(tmp_path / "cache"), index_folder(photographs).exists()) == ([], False)

    build_index(photographs)
    new = paint(photographs / "new.png", seed=70)
    killed_update(photographs, monkeypatch)
    new.unlink()
    assert forget(photographs)[1:] == (COUNT, COUNT + 1)
    assert cached(tmp_path / "cache") == []


@pytest.mark.parametrize("again", [False, True])
def test_the_next_update_forgets_what_a_killed_one_left_of_a_photograph_that_is_gone(
    photographs, tmp_path, monkeypatch, again
):
    build_index(photographs)
    for number in range(1 + again):
        new = paint(photographs / "new.png", seed=70 + number)
        killed_update(photographs, monkeypatch)
        new.unlink()
    assert build_index(photographs).removed == 0
    assert cached(tmp_path / "cache") == embeddings_of(*photographs.rglob("*.png"))
    assert sorted(path.name for path in index_folder(photographs).iterdir()) == [FILE]


def test_a_removed_or_changed_photograph_leaves_the_cache_and_the_file(photographs, tmp_path, towers):
    secret = paint(photographs / "Lilienthal" / "Xaverhof.png", seed=70)
    build_index(photographs, options=IndexOptions(thumbnails=True))
    index = pecl.ImageIndex.open(photographs)
    row = index.paths.index(secret)
    embedding = index.embeddings[row].tobytes()
    file = index.folder / FILE
    content = file.read_bytes()
    assert embedding in content
    assert b"xaverhof" in content

    secret.unlink()
    paint(photographs / "00.png", seed=71)
    build_index(photographs)
    assert cached(tmp_path / "cache") == embeddings_of(*photographs.rglob("*.png"))
    content = file.read_bytes()
    assert embedding not in content
    assert b"xaverhof" not in content.lower()
    towers.pictures = 0
    build_index(photographs, options=IndexOptions(rebuild=True))
    assert towers.pictures == 0  # the others are still cached


def test_the_photographs_may_be_gone_and_the_index_damaged_or_elsewhere(photographs, tmp_path, caplog):
    place = tmp_path / "place"
    build_index(photographs, place)
    with pytest.raises(ConfigError, match=r"place is the index of .*photographs, got .*cache: name another one"):
        forget(tmp_path / "cache", place)
    photographs.rename(tmp_path / "moved")
    forget(photographs, place)
    assert (place.exists(), cached(tmp_path / "cache")) == (False, [])

    moved = tmp_path / "moved"
    build_index(moved)
    (index_folder(moved) / FILE).write_text("{" * 512)
    forget(moved)
    assert "cached embeddings of its photographs stay" in caplog.text
    assert not index_folder(moved).exists()
    with pytest.raises(DataError, match="there is no index of it"):
        forget(moved)


def test_an_index_that_another_program_has_locked_stays(photographs, tmp_path, monkeypatch):
    build_index(photographs)
    monkeypatch.setattr("pecl.apps.search.catalogue._PATIENCE", 0.1)
    with contextlib.closing(sqlite3.connect(index_folder(photographs) / FILE, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DataError, match="database is locked; try again"):
            forget(photographs)
    assert len(cached(tmp_path / "cache")) == COUNT
    assert forget(photographs).embeddings == COUNT
    assert cached(tmp_path / "cache") == []


def test_forget_waits_for_no_update(photographs, tmp_path):
    build_index(photographs)
    with locked(index_folder(photographs) / LOCK, ""), pytest.raises(BusyError, match="is being updated"):
        forget(photographs)
    assert len(cached(tmp_path / "cache")) == COUNT


@pytest.mark.parametrize(
    "rest", [".pecl-index.sqlite.new", ".pecl-index.sqlite.new-journal", "pecl-index.sqlite-journal"]
)
@pytest.mark.parametrize("is_whole", [True, False])
def test_what_a_killed_process_left_is_removed(photographs, rest, is_whole):
    folder = index_folder(photographs)
    folder.mkdir(parents=True)
    if is_whole:
        build_index(photographs)
    (folder / rest).write_bytes(b"")
    assert forget(photographs).photographs == (COUNT if is_whole else 0)
    assert not folder.exists()


def forget(folder, out=None):
    from pecl.apps.search.forget import forget_index

    return forget_index(folder, out)


def test_forget_takes_no_other_flag(photographs, capsys):
    build_index(photographs)
    for flags in (["--rebuild"], ["--profile", "mini"], ["--no-words"]):
        assert main(["index", "--forget", str(photographs), *flags]) == 2
        assert "--forget: expected no other flags with it than --out and --json" in capsys.readouterr().err
    assert len(pecl.ImageIndex.open(photographs)) == COUNT


def test_only_the_user_can_read_an_index(photographs, tmp_path):
    build_index(photographs)
    place = index_folder(photographs)
    assert (rights(place), rights(place / FILE)) == (0o700, 0o600)

    place.chmod(0o755)
    (place / FILE).chmod(0o644)  # as earlier versions of pecl left it
    build_index(photographs)
    assert (rights(place), rights(place / FILE)) == (0o700, 0o600)
    paint(photographs / "new.png", seed=80)
    build_index(photographs)
    assert (rights(place), rights(place / FILE)) == (0o700, 0o600)

    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    (shared / "notes.txt").write_text("of other people")
    build_index(photographs, shared)
    assert (rights(shared), rights(shared / FILE)) == (0o755, 0o600)


def test_only_the_user_can_read_the_cached_embeddings(photographs, tmp_path):
    build_index(photographs)
    store = tmp_path / "cache" / FOLDER
    paths = [store, *store.rglob("*")]
    assert len(paths) == 3
    assert {rights(path) for path in paths if path.is_dir()} == {0o700}
    assert {rights(path) for path in paths if path.is_file()} == {0o600}

    for path in paths:  # as earlier versions of pecl left it
        path.chmod(0o755 if path.is_dir() else 0o644)
    paint(photographs / "new.png", seed=81)
    sorted(photographs.rglob("*.png"))[0].unlink()
    build_index(photographs)  # which adds a file and writes another one again
    paths = [store, *store.rglob("*")]
    assert {rights(path) for path in paths if path.is_dir()} == {0o700}
    assert {rights(path) for path in paths if path.is_file()} == {0o600}


def test_the_folder_of_all_indexes_names_no_photographs_to_others(photographs, tmp_path, monkeypatch):
    monkeypatch.delenv("PECL_INDEX_DIR", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    build_index(photographs)
    place = index_folder(photographs)
    assert place.parent == tmp_path / "data" / "pecl" / "indexes"
    assert (rights(place.parent), rights(place), rights(place / FILE)) == (0o700, 0o700, 0o600)
    assert rights(tmp_path / "data") == 0o755


def test_a_private_file_is_private_while_it_is_written(tmp_path):
    def write(_):
        (path,) = tmp_path.iterdir()
        seen.append(rights(path))

    seen = []
    write_stream(tmp_path / "a", write, private=True)
    (tmp_path / "a").unlink()
    write_stream(tmp_path / "b", write)
    assert seen == [0o600, 0o644]
