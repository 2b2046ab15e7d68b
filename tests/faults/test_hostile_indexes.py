"""A folder of photographs from somebody else: its index reaches nothing outside the folder."""

import contextlib
import os
import shutil
import socket
import sys
import threading
from pathlib import Path

import pytest
import torch
from helpers.hostile_index import FORMS
from helpers.small_experiment import tiny_towers
from helpers.small_index import COUNT, paint
from PIL import Image

import pecl
import pecl.encoders.towers
from pecl.cli import main
from pecl.encoders.towers import PAIRS
from pecl.errors import PeclError
from pecl.search.build import build_index
from pecl.search.plan import IndexOptions
from pecl.serving.photographs import Photographs
from pecl.serving.refusals import Refusal

pytestmark = pytest.mark.usefixtures("at_once")
EVENTS = ("open", "os.remove", "os.rename", "os.rmdir", "os.mkdir", "os.scandir", "os.listdir", "os.link", "os.symlink")
WATCHED: dict[str, list] = {}  # folder -> what was done in it; audit hooks stay for as long as the process


def _watch(event, arguments):
    if WATCHED and event in EVENTS and isinstance(arguments[0], str | bytes | os.PathLike):
        path = os.fsdecode(arguments[0])
        refuses_links = event == "open" and arguments[2] & os.O_NOFOLLOW and os.path.islink(path)
        follows = event in ("open", "os.scandir", "os.listdir")  # the others act on a link itself
        real = os.path.realpath(path) if follows else os.path.join(os.path.realpath(os.path.dirname(path)), "x")
        for folder, seen in WATCHED.items():
            if not refuses_links and f"{real}/".startswith(f"{folder}/"):
                seen.append((event, path))


sys.addaudithook(_watch)


@pytest.fixture
def outside(tmp_path):
    """A folder with a photograph, notes and a small picture by its name, none of which are the album's."""
    folder = tmp_path / "outside"
    Image.new("RGB", (8, 8), "magenta").save(paint(folder / "private.png", 99))
    (folder / "notes.txt").write_text("mine\n" * 50)
    (folder / "points").mkdir()
    (folder / "ab").mkdir()
    for name in ("mine.jpg", f"{'ab' * 32}.jpg", f"ab/{'ab' * 32}.jpg"):
        Image.new("RGB", (8, 8), "magenta").save(folder / name)
    return folder


@pytest.fixture
def listener():
    """An address of this machine, and the list of those that connected to it."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept():
            while True:
                try:
                    connection, address = server.accept()
                except OSError:
                    return
                asked.append(address)
                connection.close()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def hub(monkeypatch, towers):
    """Loaders of towers that note each name which is not one of pecl's own pairs."""
    asked = []
    for kind in ("load_image_encoder", "load_text_encoder"):
        plain = getattr(pecl.encoders.towers, kind)

        def load(name, *_, plain=plain, **__):
            if name not in PAIRS:
                asked.append(name)
            return plain()

        monkeypatch.setattr(pecl.encoders.towers, kind, load)
    return asked


def index(album, *flags):
    return main(["index", str(album), *flags, "-q"])


def search(album):
    page = str(album.parent / "found.html")
    return main(["search", str(album), "a dog", "--language", "en", "--top", "99", "--html", page, "-q"])


def search_by_picture(album):
    return main(["search", str(album), "--image", str(album / "03.png"), "-q"])


def open_in_python(album):
    try:
        with pecl.ImageIndex.open(album) as opened:
            opened.search("a dog", "en", top=99)
            assert len(opened.embeddings) == len(opened.paths)
    except PeclError:
        return 2
    return 0


def serve(album):
    try:
        photographs = Photographs(album, tiny_towers().image)
    except PeclError:
        return 2
    for hit in photographs.search(torch.ones(8), 99, is_text=True)[0]:
        for size in (320, 1280):
            with contextlib.suppress(Refusal):
                photographs.picture(hit.id, size)
    return 0


OPERATIONS = {
    "index": index,
    "search": search,
    "search by picture": search_by_picture,
    "open in Python": open_in_python,
    "serve": serve,
    "rebuild": lambda album: index(album, "--rebuild"),
    "rebuild with thumbnails": lambda album: index(album, "--rebuild", "--thumbnails"),
    "rebuild without thumbnails": lambda album: index(album, "--rebuild", "--no-thumbnails"),
}


def state(folder):
    """Return the kind, content and times of everything below a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        seen = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else os.path.islink(path)
        found[str(path.relative_to(folder))] = (seen.st_mode, seen.st_mtime_ns, seen.st_ino, content)
    return found


def copy_of(album, folder):
    """Return a copy of the album; pipes and links stay what they are."""
    for path in album.rglob("*"):
        target = folder / path.relative_to(album)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink():
            target.symlink_to(os.readlink(path))
        elif path.is_fifo():
            os.mkfifo(target)
        elif path.is_file():
            shutil.copy2(path, target)
        else:
            target.mkdir(exist_ok=True)
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_nothing_outside_a_folder_is_read_written_deleted_run_or_asked_for(
    form, photographs, outside, listener, hub, tmp_path, monkeypatch
):
    url, asked = listener
    build_index(photographs)
    FORMS[form](photographs / ".pecl-index", outside, url)
    before = state(outside)
    hub.clear()
    outcomes = {}
    for operation, carry_out in OPERATIONS.items():
        album = copy_of(photographs, tmp_path / operation / "album")
        if os.path.islink(photographs / ".pecl-index"):
            assert os.path.islink(album / ".pecl-index")
        monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / operation / "cache"))  # of another user
        WATCHED[os.path.realpath(outside)] = seen = []
        try:
            outcomes[operation] = carry_out(album)
        finally:
            WATCHED.clear()
        assert seen == [], operation
        assert state(outside) == before, operation
        assert not (outside / "mark").exists(), operation
        assert hub == [], operation
        assert asked == [], operation
    assert set(outcomes.values()) <= {0, 2}, outcomes


def test_the_watch_sees_what_is_done_through_links_and_only_that(tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "a").write_text("a")
    (tmp_path / "link").symlink_to("outside/a")
    WATCHED[os.path.realpath(tmp_path / "outside")] = seen = []
    try:
        (tmp_path / "link").read_text()
        os.listdir(tmp_path / "outside")
        with pytest.raises(OSError, match="symbolic link"):
            os.open(tmp_path / "link", os.O_RDONLY | os.O_NOFOLLOW)
        (tmp_path / "link").unlink()
        (tmp_path / "outside" / "a").unlink()
    finally:
        WATCHED.clear()
    assert [event for event, _ in seen] == ["open", "os.listdir", "os.remove"]


HARMLESS = {"linked temporary file", "linked old generation", "linked lock", "linked photograph"}
KEPT_AFTER_A_REBUILD = {"linked index", "linked lock", "linked thumbnails", "linked folder of thumbnails", "pipes"}


@pytest.mark.parametrize("form", FORMS)
def test_a_hostile_index_is_refused_and_a_rebuild_makes_a_sound_one(form, photographs, outside, hub, capsys):
    build_index(photographs)
    FORMS[form](photographs / ".pecl-index", outside, "http://127.0.0.1:9")
    if form not in HARMLESS and "thumbnail" not in form and "profile" not in form:
        assert open_in_python(photographs) == 2
        assert index(photographs) == 2
    elif "profile" in form:  # it may be opened, and gives no tower to a query
        assert search(photographs) == 2
    status = index(photographs, "--rebuild")
    error = capsys.readouterr().err
    if form in KEPT_AFTER_A_REBUILD and status == 2:
        assert any(word in error for word in ("link", "regular file")), error
        return
    assert status == 0, error
    with pecl.ImageIndex.open(photographs) as opened:
        assert len(opened) == COUNT - (form == "linked photograph")
        assert all(Path(os.path.realpath(path)).is_relative_to(photographs) for path in opened.paths)


def test_an_index_in_a_folder_of_websites_deletes_nothing_there(photographs, towers, tmp_path):
    """Photographs of the site that lie where small pictures would lie, by any name, stay."""
    site = tmp_path / "site"
    mine = [site / "thumbnails" / "album1" / "mine.jpg", site / "thumbnails" / "ab" / f"{'ab' * 32}.jpg"]
    for path in mine:
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    for options in (IndexOptions(), IndexOptions(thumbnails=True), IndexOptions(rebuild=True)):
        with pytest.raises(PeclError, match=r"site holds thumbnails and no index: move it away"):
            build_index(photographs, site, options)
    assert sorted(path for path in site.rglob("*") if path.is_file()) == sorted(mine)
    shutil.rmtree(site)
    build_index(photographs, site)
    for path in mine:  # put there later, into an index that keeps none
        path.parent.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(path)
    build_index(photographs, site)
    (photographs / "00.png").unlink()
    build_index(photographs, site)
    build_index(photographs, site, IndexOptions(rebuild=True))
    assert all(path.exists() for path in mine)
    build_index(photographs, site, IndexOptions(thumbnails=True))
    build_index(photographs, site, IndexOptions(thumbnails=False))
    assert mine[0].exists()  # its name is not that of a small picture
