"""`pecl index` that is killed at random moments (SIGKILL): the same command again gives the bits of an undisturbed one.

A moment is an operation on a file of the index or of the cache: opened, made, half written, written, renamed, removed.
"""

import re
import shutil
from functools import partial

import pytest
from helpers.grid_processes import Command, killed_at_random, with_writing
from helpers.small_index import counted_towers, paint, paint_album
from helpers.tiny import tiny_tower

import pecl
import pecl.encoders.towers
from pecl.cli import main
from pecl.search.thumbnails import read_thumbnail

KILLS = 3  # of each command; the slow test has 105 in all


def with_small_towers(setup):
    """Load tiny towers in place of the profile's, in a process of its own."""
    pecl.encoders.towers.load_image_encoder = counted_towers()[0]
    pecl.encoders.towers.load_text_encoder = lambda *_, **__: tiny_tower()
    with_writing(setup)


def add_and_remove(folder):
    """Change a folder of photographs that has been indexed."""
    paint(folder / "new.png", 100)
    paint(folder / "00.png", 101)
    (folder / "03.png").unlink()


# name -> arguments of the index that is there before, what happens to the folder then, and arguments that are killed
COMMANDS = {
    "first": (None, None, []),
    "first with small pictures": (None, None, ["--thumbnails"]),
    "elsewhere": (None, None, ["--out", "PLACE/elsewhere"]),
    "update": ([], add_and_remove, []),
    "update of small pictures": (["--thumbnails"], add_and_remove, []),
    "rebuild": (["--thumbnails"], None, ["--rebuild"]),
    "without small pictures": (["--thumbnails"], None, ["--no-thumbnails"]),
}


class Bench:
    """Folders of photographs to index, one after the other, each with a cold cache."""

    def __init__(self, folder, name, monkeypatch):
        self.folder, self.made = folder, 0
        self.before, self.change, self.arguments = COMMANDS[name]
        self.monkeypatch = monkeypatch

    def place(self):
        """Return a new folder with photographs, indexed where the command is an update."""
        self.made += 1
        place = self.folder / f"place-{self.made}"
        paint_album(place / "album")
        self.monkeypatch.setenv("PECL_CACHE_DIR", str(place / "cache"))
        if self.before is not None:
            assert main(["index", str(place / "album"), *self.before, "-q"]) == 0
            (self.change or (lambda _: None))(place / "album")
        return place

    def run(self, place, setup=None):
        """Run the command to its end, and return its exit status and what it wrote on standard error."""
        self.monkeypatch.setenv("PECL_CACHE_DIR", str(place / "cache"))
        arguments = ["index", str(place / "album"), *(part.replace("PLACE", str(place)) for part in self.arguments)]
        command = Command(arguments, f"{place}-log", partial(with_small_towers, setup))
        return command.wait(), command.err


def found(place):
    """Everything that is compared: names of files without their generation, and all that the index gives."""
    names = sorted(
        re.sub(r"-[0-9a-f]{16}\.", "-GENERATION.", str(path.relative_to(place)))
        for path in place.rglob("*")
        if place / "cache" not in path.parents  # whose shards hold what was embedded before the kill
    )
    index = next(path for path in (place / "elsewhere", place / "album") if path.is_dir())
    with pecl.ImageIndex.open(index) as opened:
        hits = opened.search(opened.embeddings[:1], top=99)[0]
        small = [(hit.path.name, hit.thumbnail and read_thumbnail(hit.thumbnail)) for hit in hits]
        rows = [
            (path.relative_to(place), row.tobytes()) for path, row in zip(opened.paths, opened.embeddings, strict=True)
        ]
    return names, rows, small


@pytest.mark.parametrize("kills", [KILLS, pytest.param(15, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_and_run_again_it_gives_the_same_bits(tmp_path, towers, monkeypatch, name, kills):
    bench = Bench(tmp_path, name, monkeypatch)
    killed = killed_at_random(bench.place, bench.run, kills, f"{name} {kills}", 10)
    undisturbed = found(next(killed)[0])
    for place, moment in killed:
        status, errors = bench.run(place)
        assert status == 0, f"{moment}: {errors}"
        assert found(place) == undisturbed, moment
        assert not list(place.rglob("*.tmp")), moment
        shutil.rmtree(place)
