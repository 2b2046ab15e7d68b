"""`pecl embed` killed at random moments (SIGKILL): the same command then gives the same files."""

import shutil
from functools import partial

import pytest
from helpers.grid_processes import Command, killed_at_random, with_writing
from helpers.small_experiment import tiny_towers
from PIL import Image


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A folder of pictures, which commands name by its whole path."""
    (tmp_path / "pictures").mkdir()
    for i in range(7):
        Image.new("RGB", (6, 6), (30 * i, 200, 50)).save(tmp_path / "pictures" / f"{i}.png")
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def with_tiny_towers(setup):
    """In the command's process."""
    import pecl.bulk.job

    pecl.bulk.job.load_towers = lambda **_: tiny_towers()
    pecl.bulk.job.ROWS = 2
    with_writing(setup)


def run(sources, setup=None):
    """Run the command to its end, and return its exit status and its standard error."""
    arguments = ["embed", str(sources / "pictures"), "--out", str(sources / "place" / "out")]
    command = Command(arguments, sources / "log", partial(with_tiny_towers, setup))
    return command.wait(), command.err


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_and_run_again_it_gives_the_same_files(sources, kills):
    def fresh():
        shutil.rmtree(sources / "place", ignore_errors=True)
        return sources / "place"

    killed = killed_at_random(fresh, lambda _, setup: run(sources, setup), kills, kills, 12)
    undisturbed = content(next(killed)[0])
    assert sorted(undisturbed) == [f"out/embeddings-{i:05}.parquet" for i in range(4)]
    for place, where in killed:
        status, errors = run(sources)
        assert status == 0, f"{where}: {errors}"
        assert content(place) == undisturbed, where
