"""Commands that are killed at random moments (SIGKILL): the same command again gives the bits of an undisturbed one.

A moment is an operation on a file of the results, the index or the cache: opened, made, half written, written, renamed,
removed. Training saves its state after each step, so the moments are spread over all of it.
"""

import re
import shutil
from functools import partial
from pathlib import Path

import helpers
import pytest
from helpers.folders import flags, listing, measured
from helpers.grid_processes import Command, killed_at_random, with_writing
from helpers.small_experiment import DISTILLATION, SMALL, tiny_towers, write_folder, write_text
from helpers.small_index import counted_towers, paint, paint_album
from helpers.tiny import tiny_tower

import pecl
import pecl.apps.bulk.job
import pecl.encoders.towers
from pecl.apps.search.thumbnails import read_thumbnail
from pecl.cli import main


def run(arguments, place, setup=None):
    """Run a command in `place` to its end, with the cache there; return its exit status and its standard error."""
    filled = [one.replace("PLACE", str(place)) for one in arguments]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PECL_CACHE_DIR", str(place / "cache"))
        patch.setenv("PECL_INDEX_DIR", str(place / "indexes"))
        command = Command(filled, f"{place}-log", partial(with_small_towers, setup))
    return command.wait(), command.err


def with_small_towers(setup):
    """Load tiny towers in place of the profile's, in a process of its own, also to index photographs."""
    pecl.encoders.towers.load_image_encoder = counted_towers()[0]
    pecl.encoders.towers.load_text_encoder = lambda *_, **__: tiny_tower()
    pecl.encoders.towers.load_towers, pecl.apps.bulk.job.ROWS = lambda *_, **__: tiny_towers(), 2
    with_writing(setup)


def check_same_bits(new_place, arguments, found, kills, seed, where="", least=10):
    """Kill a command in new places; `found` returns everything of a place that is compared."""
    killed = killed_at_random(new_place, partial(run, arguments), kills, seed, least, where)
    undisturbed = found(next(killed)[0])
    for place, moment in killed:
        status, errors = run(arguments, place)
        assert status == 0, f"{moment}: {errors}"
        assert found(place) == undisturbed, moment
        assert not list(place.rglob("*.tmp")), moment
        shutil.rmtree(place)


SMALLEST = {**SMALL, "dataset": "TABLE", "out": "PLACE/out"}
EVALUATION = ["evaluate", *flags({"dataset": "TABLE", "language": "de", "out": "PLACE/out"})]
GRID = ["grid", *flags({**SMALLEST, "epochs": 2, "lr": "1e-2,1e-3", "language": "de,fr", "fleet": 2})]
EXPERIMENTS = {
    "train": ["train", *flags(SMALLEST)],
    "recipe": ["train", *flags({**SMALLEST, "recipe": "queue", "plugin": "PLUGIN"})],
    "distil": [
        "distil",
        *flags({**DISTILLATION, "dataset": "TABLE", "text": "SENTENCES", "ema": 0.5, "out": "PLACE/out"}),
    ],
    "grid": GRID,
    "evaluate": EVALUATION,
    "embedding": EVALUATION,
    "embed": ["embed", "PICTURES", "--out", "PLACE/out"],
    "report": ["report", "RESULTS", "--out", "PLACE/out/tables", "--html", "PLACE/out/page", "--gallery-captions", "2"],
}
WHERE = {"embedding": "/cache"}  # its moments are those of only the cache


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """Captions, sentences, pictures, and a folder of results to report on, by the words that stand for them."""
    folder = tmp_path_factory.mktemp("inputs")
    paths = {"TABLE": str(write_folder(folder)), "SENTENCES": write_text(folder / "text.tsv")}
    paths["PLUGIN"] = str(Path(helpers.__file__).with_name("queue_recipe.py"))
    paths["PICTURES"] = str(folder / "pictures")
    for i in range(7):
        paint(folder / "pictures" / f"{i}.png", seed=i)
    status, errors = run([paths.get(one, one) for one in GRID], folder)
    assert status == 0, errors
    return {**paths, "RESULTS": str(folder / "out")}


def experiment(place):
    """Return names of all files, results without their times, and other files whole."""
    out = place / "out"
    other = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.suffix in (".txt", ".html", ".parquet")}
    return listing(out), measured(out), {path.relative_to(out): content for path, content in other.items()}


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_that_is_killed_and_run_again_gives_the_same_bits(tmp_path_factory, inputs, name, kills):
    arguments = [inputs.get(one, one) for one in EXPERIMENTS[name]]
    new_place = partial(tmp_path_factory.mktemp, "place")
    check_same_bits(new_place, arguments, experiment, kills, f"{name} {kills}", WHERE.get(name, ""))


def add_and_remove(folder):
    """Change a folder of photographs that has been indexed."""
    paint(folder / "new.png", 100)
    paint(folder / "00.png", 101)
    (folder / "03.png").unlink()


# name -> arguments of the index that is there before, what happens to the folder then, and arguments that are killed
INDEXES = {
    "first with small pictures": (None, None, ["--thumbnails"]),
    "elsewhere": (None, None, ["--out", "PLACE/elsewhere"]),
    "update of small pictures": (["--thumbnails"], add_and_remove, []),
    "rebuild": (["--thumbnails"], None, ["--rebuild"]),
    "without small pictures": (["--thumbnails"], None, ["--no-thumbnails"]),
}


def index(place):
    """Return names of files, and all that the index gives."""
    names = sorted(
        re.sub(r"album-[0-9a-f]{16}", "album-PLACE", str(path.relative_to(place)))
        for path in place.rglob("*")
        if place / "cache" not in path.parents  # whose shards hold what was embedded before the kill
    )
    folder = next(path for path in (place / "elsewhere", place / "album") if path.is_dir())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PECL_INDEX_DIR", str(place / "indexes"))
        opened = pecl.ImageIndex.open(folder)
    with opened:
        hits = opened.search(opened.embeddings[:1], top=99)[0]
        small = [(hit.path.name, read_thumbnail(opened.folder, hit.fingerprint)) for hit in hits]
        rows = [
            (path.relative_to(place), row.tobytes()) for path, row in zip(opened.paths, opened.embeddings, strict=True)
        ]
    return names, rows, small


@pytest.mark.parametrize("kills", [3, pytest.param(15, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", INDEXES)
def test_an_index_that_is_killed_and_made_again_has_the_same_bits(tmp_path_factory, towers, monkeypatch, name, kills):
    before, change, arguments = INDEXES[name]

    def new_place():
        """Return a new folder with photographs, indexed where the command is an update."""
        place = tmp_path_factory.mktemp("place")
        paint_album(place / "album")
        monkeypatch.setenv("PECL_CACHE_DIR", str(place / "cache"))
        monkeypatch.setenv("PECL_INDEX_DIR", str(place / "indexes"))
        if before is not None:
            assert main(["index", str(place / "album"), *before, "-q"]) == 0
        if change is not None:
            change(place / "album")
        return place

    check_same_bits(new_place, ["index", "PLACE/album", *arguments], index, kills, f"{name} {kills}", least=5)
