"""An index is made and renewed: what is new or changed, and nothing else, is embedded, whatever happens in between."""

import io
import os
import shutil
import sqlite3
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.small_index import COUNT, by_hand, edit, paint, words_of
from PIL import Image

import pecl
from pecl.apps.search.build import build_index
from pecl.apps.search.catalogue import FILE, STARTED, index_folder, read_head
from pecl.apps.search.options import IndexOptions
from pecl.apps.search.thumbnails import read_thumbnail
from pecl.data.custom.photographs import find_photographs
from pecl.errors import ConfigError, DataError, OutputError, RunError
from pecl.files import LOCK, BusyError, check_writable, locked


def names(index):
    return [path.relative_to(index.root).as_posix() for path in index.paths]


def seen(folder):
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*")}


def test_an_index_holds_the_photographs_of_any_depth_and_their_embeddings(photographs, towers):
    (photographs / "notes.txt").write_text("not a photograph")
    (photographs / ".hidden").mkdir()
    paint(photographs / ".hidden" / "x.png", 50)
    report = build_index(photographs)
    assert (report.photographs, report.new, report.changed, report.removed) == (COUNT, COUNT, 0, 0)
    index = pecl.ImageIndex.open(photographs)
    assert names(index) == sorted(names(index))
    assert {path.name for path in index.paths} == {f"{i:02}.png" for i in range(COUNT)}
    np.testing.assert_allclose(index.embeddings, [by_hand(path) for path in index.paths], atol=1e-6)
    assert towers.pictures == COUNT


def test_folders_that_cannot_be_read_are_listed(photographs, monkeypatch):
    plain = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("summer"):
            raise PermissionError(13, "Permission denied")
        return plain(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert build_index(photographs).unreadable == {"2019/summer": "Permission denied"}
    (photographs / "summer").mkdir()
    with pytest.raises(DataError, match=r"cannot read the folder .*/summer: Permission denied"):
        build_index(photographs / "summer")
    with pytest.raises(ConfigError, match="out: expected a path, got an empty text"):
        build_index(photographs, "")


def test_photographs_below_a_folder_that_cannot_be_listed_stay(photographs, towers, monkeypatch):
    """A network disk fails for a moment."""
    build_index(photographs)
    names_before = names(pecl.ImageIndex.open(photographs))
    plain = os.scandir

    def scandir(path):
        if os.fspath(path).endswith("2019"):
            raise OSError(5, "Input/output error")
        return plain(path)

    (photographs / "00.png").unlink()
    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", scandir)
        report = build_index(photographs)
    assert report.unreadable == {"2019": "Input/output error"}
    assert (report.photographs, report.removed) == (COUNT - 1, 1)

    index = pecl.ImageIndex.open(photographs)
    assert names(index) == names_before[1:]
    assert "summer" in words_of(index.select("summer"))

    towers.pictures = 0
    assert (build_index(photographs).unreadable, towers.pictures) == ({}, 0)


def test_another_tower_embeds_all_anew(photographs, towers, monkeypatch):
    build_index(photographs)
    load = pecl.encoders.towers.load_image_encoder

    def load_another(*_, **__):
        tower = load()
        with torch.no_grad():
            tower.backbone.weight.mul_(-1)
        return tower

    monkeypatch.setattr("pecl.encoders.towers.load_image_encoder", load_another)
    paint(photographs / "new.png", 100)
    report = build_index(photographs)
    assert "image tower has changed" in report.again
    assert (report.new, report.changed) == (1, COUNT)
    index = pecl.ImageIndex.open(photographs)
    np.testing.assert_allclose(index.embeddings, [-by_hand(path) for path in index.paths], atol=1e-6)


def test_an_emptied_folder_keeps_its_index(photographs, towers):
    """A disk that is not mounted is an empty folder."""
    build_index(photographs)
    for path in photographs.rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match="there are no photographs in it"):
        build_index(photographs)
    assert len(pecl.ImageIndex.open(photographs)) == COUNT


def test_nothing_new_writes_nothing_and_loads_no_tower(photographs, towers, monkeypatch):
    build_index(photographs)
    before = (index_folder(photographs) / FILE).read_bytes()
    monkeypatch.setattr("pecl.encoders.towers.load_image_encoder", lambda *_, **__: pytest.fail("loaded"))
    report = build_index(photographs)
    assert (report.photographs, report.new, report.changed, report.removed) == (COUNT, 0, 0, 0)
    assert (index_folder(photographs) / FILE).read_bytes() == before


def test_a_renewal_embeds_only_what_is_new_or_changed_and_counts_what_moved(photographs, towers, monkeypatch):
    build_index(photographs)
    towers.pictures = 0
    monkeypatch.setattr("pecl.encoders.towers.load_text_encoder", lambda *_, **__: pytest.fail("loaded"))
    paint(photographs / "new.png", 100)
    paint(photographs / "00.png", 101)
    os.utime(photographs / "03.png", ns=(1, 1))  # touched: its content is the same
    (photographs / "06.png").unlink()
    (photographs / "2019").rename(photographs / "2020")
    moved = sum(path.suffix == ".png" for path in (photographs / "2020").rglob("*"))
    report = build_index(photographs)
    assert (report.photographs, report.new, report.changed) == (COUNT, 1, 1)
    assert (report.moved, report.removed) == (moved, 1)
    assert towers.pictures == 2
    index = pecl.ImageIndex.open(photographs)
    assert names(index) == sorted(path.relative_to(photographs).as_posix() for path in photographs.rglob("*.png"))
    np.testing.assert_allclose(index.embeddings, [by_hand(path) for path in index.paths], atol=1e-6)


def test_unreadable_files_are_listed_once_each_and_looked_at_again_when_they_change(photographs, towers, monkeypatch):
    (photographs / "a.jpg").write_bytes(b"no picture")
    (photographs / "b.HEIC").write_bytes(b"no picture")  # of the same content
    (photographs / "c.png").write_bytes((photographs / "00.png").read_bytes()[:60])
    report = build_index(photographs)
    assert (report.photographs, list(report.unreadable)) == (COUNT, ["a.jpg", "b.HEIC", "c.png"])
    assert "cannot identify image file" in report.unreadable["a.jpg"]
    assert build_index(photographs).unreadable == report.unreadable
    towers.pictures = 0
    paint(photographs / "e.png", 60).rename(photographs / "c.png")
    assert (build_index(photographs).new, towers.pictures) == (1, 1)
    (photographs / "00.png").write_bytes(b"no longer one")
    report = build_index(photographs)
    assert (report.photographs, report.removed, "00.png" in report.unreadable) == (COUNT, 1, True)
    # A plug-in was installed, and the file is as it was.
    plain = pecl.files.images.decode_picture
    (photographs / "a.heic").write_bytes(b"HEIC" + (photographs / "03.png").read_bytes())
    assert "a.heic" in build_index(photographs).unreadable
    monkeypatch.setattr("pecl.files.images.decode_picture", lambda content: plain(content.removeprefix(b"HEIC")))
    assert build_index(photographs).new == 0
    monkeypatch.setattr("pecl.apps.search.options._decoders", lambda: "pillow 1, pillow-heif 1")
    assert build_index(photographs).new == 1


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError("no memory")])
def test_a_photograph_is_tried_again_after_an_error_of_the_system(photographs, towers, monkeypatch, error):
    plain = pecl.files.images.read_regular

    def read(path, max_bytes=None):
        if path.name == "00.png":
            raise error
        return plain(path)

    with monkeypatch.context() as patch:
        patch.setattr("pecl.files.images.read_regular", read)
        assert list(build_index(photographs).unreadable) == ["00.png"]
    report = build_index(photographs)
    assert (report.new, report.unreadable) == (1, {})


def test_a_photograph_that_is_deleted_before_it_is_embedded_leaves_its_copies(photographs, towers, monkeypatch):
    shutil.copy(photographs / "00.png", photographs / "copy.png")
    plain = pecl.files.images.read_regular

    def read(path, max_bytes=None):
        (photographs / "00.png").unlink(missing_ok=True)
        return plain(path)

    monkeypatch.setattr("pecl.files.images.read_regular", read)
    assert build_index(photographs).unreadable == {}
    report = build_index(photographs)
    assert (report.photographs, report.removed) == (COUNT, 1)


def test_links_are_followed_to_files_and_what_is_no_regular_file_is_listed(photographs, towers):
    os.mkfifo(photographs / "pipe.jpg")
    (photographs / "in.png").symlink_to("2019/01.png")
    (photographs / "2019" / "loop.jpg").symlink_to("loop.jpg")
    report = build_index(photographs)
    assert report.unreadable == {
        "2019/loop.jpg": "Too many levels of symbolic links",
        "pipe.jpg": "expected a regular file, got a pipe or a device",
    }
    assert report.photographs == COUNT + 1
    assert "in.png" in names(pecl.ImageIndex.open(photographs))


def test_thumbnails_are_made_kept_and_removed(photographs, towers):
    Image.new("RGB", (800, 400), "red").save(photographs / "large.png")
    place = build_index(photographs, options=IndexOptions(thumbnails=True)).folder
    index = pecl.ImageIndex.open(photographs)
    hits = {hit.path.name: hit.fingerprint for hit in index.search(index.embeddings[:1], top=99)[0]}
    assert Image.open(io.BytesIO(read_thumbnail(place, hits["large.png"]))).size == (320, 160)
    (photographs / "large.png").unlink()
    build_index(photographs)  # as it was: with thumbnails
    assert read_thumbnail(place, hits["large.png"]) is None
    sound = read_thumbnail(place, hits["00.png"])
    edit(place, "DELETE FROM thumbnails")
    build_index(photographs)
    assert read_thumbnail(place, hits["00.png"]) == sound
    build_index(photographs, options=IndexOptions(thumbnails=False))
    assert read_thumbnail(place, hits["00.png"]) is None


def test_the_index_lies_with_the_user_and_nothing_with_the_photographs(photographs, towers, tmp_path):
    before = seen(photographs)
    place = build_index(photographs).folder
    assert place == index_folder(photographs)
    assert place.parent == tmp_path / "indexes"
    assert seen(photographs) == before
    assert [path.name for path in place.iterdir()] == [FILE]
    elsewhere = build_index(photographs, tmp_path / "elsewhere").folder
    assert len(pecl.ImageIndex.open(elsewhere)) == COUNT
    moved = photographs.rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match=r"is the index of .*photographs, got .*moved: name another one with out"):
        build_index(moved, elsewhere)
    with pytest.raises(DataError, match="there is no index of it"):
        pecl.ImageIndex.open(moved)


def test_two_at_work_on_one_index_are_one_too_many(photographs, towers):
    place = index_folder(photographs)
    with locked(place / LOCK, "held"), pytest.raises(RunError, match="is being updated by another process"):
        build_index(photographs)


def test_nothing_comes_between_the_search_for_photographs_and_the_update(photographs, towers, monkeypatch):
    """Another process would have to wait for the lock."""
    build_index(photographs)

    def find_then_update(folder):
        source = find_photographs(folder)
        paint(photographs / "new.png", 100)
        with pytest.raises(BusyError, match="is being updated by another process"):
            build_index(photographs)
        return source

    monkeypatch.setattr("pecl.apps.search.build.find_photographs", find_then_update)
    assert build_index(photographs).removed == 0


def test_an_index_that_another_process_has_rebuilt_meanwhile_keeps_its_profile(photographs, towers, monkeypatch):
    place = build_index(photographs).folder

    def rebuild_then_check(path):
        monkeypatch.setattr("pecl.apps.search.build.check_writable", check_writable)
        build_index(photographs, options=IndexOptions(profile="paper", rebuild=True))
        check_writable(path)

    monkeypatch.setattr("pecl.apps.search.build.check_writable", rebuild_then_check)
    with pytest.raises(ConfigError, match=r"^profile: .* has paper, got mini"):
        build_index(photographs, options=IndexOptions(profile="mini"))
    assert read_head(place).profile == "paper"


def test_photographs_of_which_none_can_be_read_are_no_index(tmp_path, towers):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of 1 photographs can be read"):
        build_index(tmp_path / "bad")
    assert not index_folder(tmp_path / "bad").exists()


def test_names_that_are_not_utf8_are_found_or_unreadable_and_may_hold_the_index(photographs, towers, tmp_path):
    odd = os.fsdecode(b"caf\xe9")
    (photographs / f"{odd}.jpg").write_bytes(b"no picture")
    shutil.copy(photographs / "00.png", photographs / f"{odd}.png")
    for _ in range(2):
        assert list(build_index(photographs).unreadable) == [f"{odd}.jpg"]
    moved = photographs.rename(tmp_path / odd)
    build_index(moved, tmp_path / f"index {odd}")
    index = pecl.ImageIndex.open(tmp_path / f"index {odd}")
    (hits,) = index.search(moved / f"{odd}.png", top=2)
    assert {hit.path.name for hit in hits} == {f"{odd}.png", "00.png"}


@pytest.mark.parametrize("error", [KeyboardInterrupt, sqlite3.OperationalError])
def test_a_failing_or_interrupted_build_leaves_the_index_as_it_was(photographs, towers, monkeypatch, error):
    """Photographs are written and the head is not, at the first build, a renewal and a rebuild."""

    def fail(*_):
        raise error("No space left on device")

    def check_fails(options):
        with monkeypatch.context() as patch:
            patch.setattr("pecl.apps.search.build.write_head", fail)
            with pytest.raises((OutputError, KeyboardInterrupt), match="No space left"):
                build_index(photographs, options=options)

    place = index_folder(photographs)
    check_fails(IndexOptions())
    assert [path.name for path in place.iterdir()] == [STARTED]
    build_index(photographs, options=IndexOptions(thumbnails=True))
    before = (place / FILE).read_bytes()
    paint(photographs / "new.png", 100)
    for options in (IndexOptions(), IndexOptions(rebuild=True)):
        check_fails(options)
    assert (place / FILE).read_bytes() == before
    assert {path.name for path in place.iterdir()} == {FILE, STARTED}


KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
thumbnails = [(str(i), bytes(4000)) for i in range(1000)]
database.execute("BEGIN")
database.executemany("INSERT INTO thumbnails VALUES (?, ?)", thumbnails)
database.execute("COMMIT")
database.execute("BEGIN IMMEDIATE")
database.execute("UPDATE photographs SET embedding = zeroblob(4000)")
database.execute("UPDATE thumbnails SET jpeg = zeroblob(3000)")  # more than the cache holds, so pages are written
os._exit(9)
"""


def test_the_journal_of_a_killed_process_is_not_applied_to_another_index(photographs, towers):
    """Somebody deletes the file of the index, and leaves the journal next to it."""
    place = build_index(photographs).folder
    subprocess.run([sys.executable, "-c", KILLED, place / FILE])
    assert (place / f"{FILE}-journal").stat().st_size
    (place / FILE).unlink()
    for path in photographs.rglob("*.png"):
        paint(path, seed=100 + int(path.stem))
    build_index(photographs)
    index = pecl.ImageIndex.open(photographs)
    np.testing.assert_allclose(index.embeddings, [by_hand(path) for path in index.paths], atol=1e-6)
    assert [path.name for path in place.iterdir()] == [FILE]


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE photographs SET embedding = ? WHERE id = 3", bytes(12)),
        ("UPDATE photographs SET embedding = ? WHERE id = 3", np.full(8, np.nan, np.float32).tobytes()),
        ("UPDATE head SET document = ?", "{"),
        ("UPDATE head SET document = ?", '{"version": 99}'),
        (None, b"no database at all" * 99),
    ],
)
def test_a_damaged_index_is_refused_and_made_again(photographs, towers, statement, value):
    place = build_index(photographs).folder
    if statement is None:
        (place / FILE).write_bytes(value)
    else:
        edit(place, statement, value)
    for use in (pecl.ImageIndex.open, build_index):
        with pytest.raises(DataError, match=r"is damaged .*--rebuild|expected version 4, got 99"):
            use(photographs)
    assert build_index(photographs, options=IndexOptions(rebuild=True)).photographs == COUNT
    assert len(pecl.ImageIndex.open(photographs)) == COUNT
