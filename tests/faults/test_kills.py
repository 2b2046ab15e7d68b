"""Commands that are killed at random moments (SIGKILL): the same command again gives the bits of an undisturbed one.

A moment is an operation on a file of the experiment or of the cache: opened, made, half written, written, renamed,
removed. Training saves its state after each step, so the moments are spread over all of it.
"""

from functools import partial

import pytest
from helpers.folders import flags, listing, measured
from helpers.grid_processes import Command, killed_at_random, with_writing
from helpers.small_experiment import DISTILLATION, SMALL, write_folder, write_text

KILLS = 4  # of each command: 24 in all


class Bench:
    """Folders to run a command in, one after the other; each has `out` and a cold `cache`."""

    def __init__(self, folder):
        self.folder, self.table, self.made = folder, write_folder(folder), 0
        self.text = write_text(folder / "text.tsv")

    def place(self):
        """Return a new folder."""
        self.made += 1
        place = self.folder / f"place-{self.made}"
        place.mkdir()
        return place

    def run(self, arguments, place, setup=None):
        """Run a command in `place` to its end, and return its exit status and what it wrote on standard error."""
        paths = {"PLACE": str(place), "TABLE": str(self.table), "SENTENCES": self.text}
        filled = list(arguments)
        for name, path in paths.items():
            filled = [one.replace(name, path) for one in filled]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PECL_CACHE_DIR", str(place / "cache"))
            command = Command(filled, f"{place}-log-{self.made}", setup and partial(with_writing, setup))
        return command.wait(), command.err


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    return Bench(tmp_path_factory.mktemp("kills"))


@pytest.fixture(scope="module")
def results(bench):
    """A folder of results to report on."""
    place = bench.place()
    status, errors = bench.run(COMMANDS["grid"], place)
    assert status == 0, errors
    return place / "out"


SMALLEST = {**SMALL, "dataset": "TABLE", "out": "PLACE/out"}
EVALUATION = ["evaluate", *flags({"dataset": "TABLE", "language": "de", "out": "PLACE/out"})]
COMMANDS = {
    "train": ["train", *flags(SMALLEST)],
    "distil": [
        "distil",
        *flags({**DISTILLATION, "dataset": "TABLE", "text": "SENTENCES", "ema": 0.5, "out": "PLACE/out"}),
    ],
    "grid": ["grid", *flags({**SMALLEST, "epochs": 2, "lr": "1e-2,1e-3", "language": "de,fr", "fleet": 2})],
    "evaluate": EVALUATION,
    "embedding": EVALUATION,
    "report": ["report", "RESULTS", "--out", "PLACE/out/tables", "--html", "PLACE/out/page", "--gallery-captions", "2"],
}
WHERE = {"embedding": "/cache"}  # its moments are those of only the cache


def found(place):
    """Everything that is compared: names of all files, results without their times, other files whole."""
    out = place / "out"
    other = {path: path.read_bytes() for path in sorted(out.rglob("*")) if path.suffix in (".txt", ".html")}
    return listing(out), measured(out), {path.relative_to(out): content for path, content in other.items()}


@pytest.mark.parametrize("kills", [KILLS, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_and_run_again_it_gives_the_same_bits(bench, results, name, kills):
    arguments = [str(results) if one == "RESULTS" else one for one in COMMANDS[name]]
    run = partial(bench.run, arguments)
    killed = killed_at_random(bench.place, run, kills, f"{name} {kills}", 10, WHERE.get(name, ""))
    undisturbed = found(next(killed)[0])
    for place, moment in killed:
        status, errors = run(place)
        assert status == 0, f"{moment}: {errors}"
        assert found(place) == undisturbed, moment
        assert not list(place.rglob("*.tmp")), moment
