"""`pecl embed` killed at random moments (SIGKILL): the same command gives the same bits, and no other is blocked."""

import shutil
import signal
from functools import partial

import pytest
from helpers.grid_processes import Command, killed_at_random, signal_itself, with_writing
from helpers.small_experiment import tiny_towers
from helpers.tiny import sentences
from PIL import Image

SHARDS = 3
COMMAND = ["embed", "pictures", "--out", "PLACE/out", "--shards", str(SHARDS), "--format", "npy"]
OTHER = ["embed", "lines.txt", "--out", "PLACE/out", "--shards", str(SHARDS)]


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A folder of pictures and a file of lines, which commands name by their whole paths."""
    (tmp_path / "pictures").mkdir()
    for i in range(7):
        Image.new("RGB", (6, 6), (30 * i, 200, 50)).save(tmp_path / "pictures" / f"{i}.png")
    (tmp_path / "lines.txt").write_text("".join(f"{text}\n" for text in sentences(5)), "utf-8")
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path


def with_tiny_towers(setup):
    """In the command's process."""
    import pecl.bulk.job

    pecl.bulk.job.load_towers = lambda **_: tiny_towers()
    with_writing(setup)


def run(sources, arguments, setup=None):
    """Run a command on `sources`/place to its end, and return its exit status and its standard error."""
    filled = [one.replace("PLACE", str(sources / "place")) for one in arguments]
    filled = [str(sources / one) if one in ("pictures", "lines.txt") else one for one in filled]
    command = Command(filled, sources / "log", partial(with_tiny_towers, setup))
    return command.wait(), command.err


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kills", [5, pytest.param(100, marks=pytest.mark.slow)])
def test_killed_and_run_again_it_gives_the_same_bits(sources, kills):
    def fresh():
        shutil.rmtree(sources / "place", ignore_errors=True)
        return sources / "place"

    killed = killed_at_random(fresh, lambda _, setup: run(sources, COMMAND, setup), kills, kills, 30)
    undisturbed, blocked = content(next(killed)[0]), 0
    assert len(undisturbed) == SHARDS + 3
    for place, where in killed:
        if not list(place.rglob("shard-*")):  # no embeddings are lost, so that any others may take the place
            saved = sources / "saved"
            shutil.copytree(place, saved, dirs_exist_ok=True) if place.exists() else saved.mkdir()
            status, errors = run(sources, OTHER)
            assert status == 0, f"{where}: {errors}"
            assert len(content(place)) == SHARDS + 2, where
            shutil.rmtree(place)
            saved.rename(place)
            blocked += 1
        status, errors = run(sources, COMMAND)
        assert status == 0, f"{where}: {errors}"
        assert content(place) == undisturbed, where
    assert 0 < blocked < kills


@pytest.mark.parametrize("at", range(1, 12))
def test_killed_before_its_first_shard_it_blocks_no_other_source(sources, at):
    place = sources / "place"
    status, errors = run(sources, COMMAND, partial(signal_itself, signal.SIGKILL, at, str(place)))
    assert status == -signal.SIGKILL, errors
    assert not list(place.rglob("shard-*"))
    status, errors = run(sources, OTHER)
    assert status == 0, errors
    assert len(content(place)) == SHARDS + 2
