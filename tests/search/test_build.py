"""An index is made and renewed: what is new or changed, and nothing else, is embedded, whatever happens in between."""

import hashlib
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from helpers.grid_processes import Forked
from helpers.killed import index_photographs
from helpers.small_index import COUNT, edit_head, paint
from PIL import Image

import pecl
from pecl.encoders import store as store_module
from pecl.errors import ConfigError, DataError, OutputError, RunError
from pecl.files import LOCK, locked
from pecl.search.build import build_index
from pecl.search.plan import IndexOptions


def names(index):
    return [path.relative_to(index.root).as_posix() for path in index.paths]


def by_hand(path):
    """The embedding of a picture by the formula of the tiny tower: a random projection of four pixels, of length 1."""
    pixels = np.asarray(Image.open(path).convert("RGB").resize((2, 2)), np.float64) / 255  # (2, 2, 3)
    weight = torch.randn(12, 8, generator=torch.Generator().manual_seed(3)).double().numpy()
    embedding = pixels.transpose(2, 0, 1).reshape(-1) @ weight
    return embedding / np.linalg.norm(embedding)


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


def test_nothing_new_writes_nothing_and_loads_no_tower(photographs, towers, monkeypatch):
    build_index(photographs)
    before = seen(photographs)
    monkeypatch.setattr("pecl.encoders.towers.load_image_encoder", lambda *_, **__: pytest.fail("loaded"))
    report = build_index(photographs)
    assert (report.photographs, report.new, report.changed, report.removed) == (COUNT, 0, 0, 0)
    after = seen(photographs)
    for found in (before, after):
        del found[photographs / ".pecl-index"]  # where the lock was
    assert after == before


def test_a_renewal_embeds_what_is_new_or_changed_alone_without_the_text_tower(photographs, towers, monkeypatch):
    build_index(photographs)
    monkeypatch.setattr("pecl.encoders.towers.load_text_encoder", lambda *_, **__: pytest.fail("loaded"))
    towers.pictures = 0
    paint(photographs / "new.png", 100)
    paint(photographs / "00.png", 101)
    os.utime(photographs / "03.png", ns=(1, 1))  # touched: its content is the same
    (photographs / "06.png").unlink()
    (photographs / "09.png").rename(photographs / "moved.png")  # its embedding is kept by its content
    report = build_index(photographs)
    assert (report.photographs, report.new, report.changed, report.removed) == (COUNT, 2, 1, 2)
    assert towers.pictures == 2
    index = pecl.ImageIndex.open(photographs)
    assert {"new.png", "moved.png"} < set(names(index))
    assert not {"06.png", "09.png"} & set(names(index))
    np.testing.assert_allclose(index.embeddings, [by_hand(path) for path in index.paths], atol=1e-6)
    assert len(list((photographs / ".pecl-index").iterdir())) == 3  # one generation, and its head
    towers.pictures = 0
    build_index(photographs)
    assert towers.pictures == 0


def test_unreadable_files_are_listed_once_each_and_looked_at_again_when_they_change(photographs, towers):
    (photographs / "a.jpg").write_bytes(b"no picture")
    (photographs / "b.HEIC").write_bytes(b"no picture")  # of the same content
    (photographs / "c.png").write_bytes((photographs / "00.png").read_bytes()[:60])
    (photographs / "d.png").symlink_to("nowhere")
    report = build_index(photographs)
    assert report.photographs == COUNT
    assert list(report.unreadable) == ["a.jpg", "b.HEIC", "c.png", "d.png"]
    assert "cannot identify image file" in report.unreadable["a.jpg"]
    assert build_index(photographs).unreadable == report.unreadable
    towers.pictures = 0
    paint(photographs / "e.png", 60).rename(photographs / "c.png")
    report = build_index(photographs)
    assert (report.new, list(report.unreadable)) == (1, ["a.jpg", "b.HEIC", "d.png"])
    assert towers.pictures == 1
    (photographs / "00.png").write_bytes(b"no longer one")
    (photographs / ".pecl-index" / ".embeddings-0123456789abcdef.safetensors.0123456789abcdef.tmp").write_bytes(b"half")
    report = build_index(photographs)
    assert not list((photographs / ".pecl-index").glob(".*.tmp"))  # which a killed process left
    assert (report.photographs, report.removed, "00.png" in report.unreadable) == (COUNT, 1, True)


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


def test_a_killed_process_goes_on_where_it_was(photographs, towers):
    killed = Forked(target=index_photographs, args=(photographs, os.environ["PECL_CACHE_DIR"], 7))
    killed.start()
    killed.join(600)
    assert killed.exitcode == -signal.SIGKILL
    with pytest.raises(DataError, match="there is no index in it"):
        pecl.ImageIndex.open(photographs)
    report = build_index(photographs)
    assert report.new == COUNT
    assert towers.pictures == COUNT - 4  # four were saved, four more were lost with the process
    index = pecl.ImageIndex.open(photographs)
    np.testing.assert_allclose(index.embeddings, [by_hand(path) for path in index.paths], atol=1e-6)


def test_an_index_opens_while_it_is_renewed(photographs, towers, monkeypatch):
    """Between its head and the files of its generation these are removed, as by a renewal: the new head is read."""
    build_index(photographs)
    opened = pecl.ImageIndex.open(photographs)
    plain, calls = pecl.search.index.read_head, []

    def read_and_renew(place):
        head = plain(place)
        if not calls:
            calls.append(head)
            (photographs / "00.png").unlink()
            build_index(photographs)
        return head

    monkeypatch.setattr("pecl.search.index.read_head", read_and_renew)
    assert len(pecl.ImageIndex.open(photographs)) == COUNT - 1
    assert len(opened.search(opened.embeddings[:1], top=COUNT)[0]) == COUNT  # who has opened it keeps its generation


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


def test_thumbnails_are_made_kept_and_removed(photographs, towers):
    large = Image.new("RGB", (800, 400), "red")
    large.save(photographs / "large.png")
    build_index(photographs, options=IndexOptions(thumbnails=True))
    index = pecl.ImageIndex.open(photographs)
    small = {hit.path.name: hit.thumbnail for hit in index.search(index.embeddings[:1], top=99)[0]}
    assert Image.open(small["large.png"]).size == (320, 160)
    assert len(small) == COUNT + 1
    (photographs / "large.png").unlink()
    build_index(photographs)  # as it was: with thumbnails
    assert not small["large.png"].exists()
    assert small["00.png"].exists()
    small["00.png"].unlink()
    build_index(photographs)
    assert small["00.png"].exists()
    build_index(photographs, options=IndexOptions(thumbnails=False))
    assert not small["00.png"].exists()


def test_an_index_moves_with_its_folder_and_one_elsewhere_names_it(photographs, towers, tmp_path):
    build_index(photographs)
    build_index(photographs, tmp_path / "elsewhere")
    build_index(photographs, photographs / "index")
    assert len(pecl.ImageIndex.open(tmp_path / "elsewhere")) == COUNT
    moved = photographs.rename(tmp_path / "moved")
    assert all(path.exists() for path in pecl.ImageIndex.open(moved).paths)
    with pytest.raises(DataError, match=r"you have not made it here: run `pecl index PHOTOGRAPHS --out"):
        pecl.ImageIndex.open(moved / "index")
    assert build_index(moved, moved / "index").new == 0
    assert all(path.exists() for path in pecl.ImageIndex.open(moved / "index").paths)
    with pytest.raises(ConfigError, match=r"is the index of .*photographs, got .*moved: name another --out"):
        build_index(moved, tmp_path / "elsewhere")


def test_an_index_within_the_photographs_is_not_searched_for_photographs(photographs, towers):
    for _ in range(2):
        report = build_index(photographs, photographs / "index", IndexOptions(thumbnails=True))
        assert report.photographs == COUNT


def test_two_at_work_on_one_index_are_one_too_many(photographs, towers):
    place = photographs / ".pecl-index"
    with locked(place / LOCK, "held"), pytest.raises(RunError, match="is being updated by another process"):
        build_index(photographs)


@pytest.mark.parametrize(
    "change",
    [
        *({"format": "other"}, {"version": 1}, {"speed": 9}, {"engine": "faiss"}, {"generation": "../../../../x"}),
        *({"width": 0}, {"count": -1}, {"count": 10**9}, {"files": ["a"]}, {"thumbnails": 1}, {"salt": "0"}),
        *({"root": 5}, {"root": "a\0b"}, {"collection": "company"}, {"unreadable": 7}, {"unreadable": [{"name": 3}]}),
        {"unreadable": [["../../x", 1, 1, 1, 1, "why"]]},
        {"unreadable": [["x", 1, 1, 1, "1", "why"]]},
        {"towers": {name: {"name": "x", "fingerprint": "0"} for name in ("image", "text")}},
        *({"towers": [1]}, {"towers": {"image": {"name": "x", "fingerprint": "0" * 64}}}),
    ],
)
def test_a_head_that_says_what_it_should_not_is_refused(photographs, towers, change):
    build_index(photographs)
    edit_head(photographs / ".pecl-index", {})
    assert len(pecl.ImageIndex.open(photographs)) == COUNT
    edit_head(photographs / ".pecl-index", change)
    for use in (pecl.ImageIndex.open, build_index):
        with pytest.raises(DataError, match=r"is damaged|expected version"):
            use(photographs)
    assert build_index(photographs, options=IndexOptions(rebuild=True)).photographs == COUNT


def test_photographs_of_which_none_can_be_read_are_no_index(tmp_path, towers):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "x.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match="none of 1 photographs can be read"):
        build_index(tmp_path / "bad")
    assert not list(tmp_path.rglob("*pecl-index*"))


def test_an_index_is_another_on_request_alone(photographs, towers):
    build_index(photographs)
    assert build_index(photographs, options=IndexOptions(profile="paper", rebuild=True)).new == COUNT
    assert pecl.ImageIndex.open(photographs).head.profile == "paper"


def test_an_emptied_folder_keeps_its_index(photographs, towers):
    """A disk that is not mounted is an empty folder."""
    build_index(photographs)
    for path in photographs.rglob("*.png"):
        path.unlink()
    with pytest.raises(DataError, match="there are no photographs in it"):
        build_index(photographs)
    assert len(pecl.ImageIndex.open(photographs)) == COUNT


def test_the_cache_keeps_no_gap(tmp_path):
    """What a computation leaves out is NaN where that is asked for, and an error elsewhere."""
    store = store_module.EmbeddingStore("t", tmp_path)
    found = store.get(["a", "b"], lambda places: [([0], torch.ones(1, 3))], gaps=True)
    assert found.isnan().all(dim=1).tolist() == [False, True]
    assert store.get(["b"], lambda places: [], gaps=True).isnan().all()
    with pytest.raises(DataError, match="were removed"):
        store.get(["b"], lambda places: [])


def test_a_file_whose_permissions_are_mended_is_read(photographs, towers, monkeypatch):
    """Neither its size nor the time of its content changes."""
    from pecl.files import pictures

    plain = pictures.read_picture

    def refuse(path):
        if path.name == "00.png":
            raise PermissionError(13, "Permission denied")
        return plain(path)

    times = (photographs / "00.png").stat()
    with monkeypatch.context() as patch:
        patch.setattr("pecl.files.images.read_picture", refuse)
        assert list(build_index(photographs).unreadable) == ["00.png"]
    assert list(build_index(photographs).unreadable) == ["00.png"]  # it is not read again while it stays as it is
    (photographs / "00.png").chmod(0o600)
    assert (photographs / "00.png").stat().st_mtime_ns == times.st_mtime_ns
    report = build_index(photographs)
    assert (report.photographs, report.new, report.unreadable) == (COUNT, 1, {})


def test_what_is_no_regular_file_and_links_that_lead_out_are_listed(photographs, towers, tmp_path):
    os.mkfifo(photographs / "pipe.jpg")
    paint(tmp_path / "outside" / "secret.png", 70)
    (photographs / "out.png").symlink_to(tmp_path / "outside" / "secret.png")
    (photographs / "climbs.png").symlink_to("../outside/secret.png")
    (photographs / "device.jpg").symlink_to("/dev/zero")
    (photographs / "in.png").symlink_to("2019/01.png")
    (photographs / "folder.jpg").symlink_to("2019")
    (photographs / "2019" / "loop.jpg").symlink_to("loop.jpg")
    report = build_index(photographs)
    assert report.unreadable == {
        "2019/loop.jpg": "a link that leads to no file",
        "climbs.png": "a link to a file outside the folder",
        "device.jpg": "a link to a file outside the folder",
        "folder.jpg": "expected a regular file, got a folder, a pipe or a device",
        "out.png": "a link to a file outside the folder",
        "pipe.jpg": "expected a regular file, got a folder, a pipe or a device",
    }
    assert report.photographs == COUNT + 1
    assert "in.png" in names(pecl.ImageIndex.open(photographs))
    assert build_index(photographs).unreadable == report.unreadable


def test_ids_cannot_be_told_from_paths(photographs, towers, tmp_path):
    """They stay the same over renewals, and differ from index to index."""

    def ids(place):
        index = pecl.ImageIndex.open(place)
        return {hit.path.name: hit.id for hit in index.search(index.embeddings[:1], top=99)[0]}

    build_index(photographs)
    first = ids(photographs)
    paint(photographs / "new.png", 100)
    build_index(photographs)
    assert first.items() < ids(photographs).items()
    build_index(photographs, tmp_path / "elsewhere")
    assert set(first.values()).isdisjoint(ids(tmp_path / "elsewhere").values())
    build_index(photographs, options=IndexOptions(rebuild=True))
    assert set(first.values()).isdisjoint(ids(photographs).values())
    paths = names(pecl.ImageIndex.open(photographs))
    for algorithm in ("sha256", "sha1", "md5"):
        guessed = {hashlib.new(algorithm, path.encode()).hexdigest()[:32] for path in paths}
        assert guessed.isdisjoint(ids(photographs).values())


@pytest.mark.parametrize("error", [OutputError, KeyboardInterrupt])
@pytest.mark.parametrize("failing", ["write_entries", "write_head"])
def test_a_failing_or_interrupted_build_leaves_everything_as_it_was(photographs, towers, monkeypatch, failing, error):
    def fail(*_):
        raise error("No space left on device")

    def check_fails(options):
        with monkeypatch.context() as patch:
            patch.setattr(f"pecl.search.build.{failing}", fail)
            with pytest.raises(error, match="No space left"):
                build_index(photographs, options=options)

    place = photographs / ".pecl-index"
    check_fails(IndexOptions())
    assert not place.exists()
    build_index(photographs, options=IndexOptions(thumbnails=True))
    before = seen(place)
    paint(photographs / "new.png", 100)
    for options in (IndexOptions(), IndexOptions(rebuild=True)):
        check_fails(options)
    assert seen(place) == before
    assert len(pecl.ImageIndex.open(photographs)) == COUNT


def test_an_interruption_after_the_head_was_written_keeps_the_new_index(photographs, towers, monkeypatch):
    plain = pecl.search.build.write_head

    def write_and_stop(*arguments):
        plain(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("pecl.search.build.write_head", write_and_stop)
    with pytest.raises(KeyboardInterrupt):
        build_index(photographs)
    assert len(pecl.ImageIndex.open(photographs)) == COUNT


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


def test_unreadable_files_are_tried_again_with_other_decoders(photographs, towers, monkeypatch):
    """A plug-in for HEIC was installed, and the file is as it was."""
    content = (photographs / "00.png").read_bytes()
    (photographs / "a.heic").write_bytes(b"HEIC" + content)
    plain = pecl.files.images.decode_picture
    assert list(build_index(photographs).unreadable) == ["a.heic"]
    monkeypatch.setattr("pecl.files.images.decode_picture", lambda content: plain(content.removeprefix(b"HEIC")))
    assert list(build_index(photographs).unreadable) == ["a.heic"]
    monkeypatch.setattr("pecl.search.plan._decoders", lambda: "pillow 1, pillow-heif 1")
    assert build_index(photographs).new == 1
