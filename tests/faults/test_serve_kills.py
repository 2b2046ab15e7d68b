"""`pecl serve` killed at random moments while it loads (SIGKILL) leaves no trace, and the next one serves."""

import random
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import pytest
from helpers.grid_processes import CONTEXT, Command, count_operations, signal_itself
from helpers.serving import write_adapters
from helpers.small_experiment import tiny_towers

from pecl.search.build import build_index

KILLS = 3  # the slow test has 100


@pytest.fixture(autouse=True)
def nothing_runs_on():
    yield
    Command.kill_all()


def until_it_would_serve(setup):
    """Load tiny towers; print the names of the models where the server would begin to answer."""
    import pecl.adapters.ready
    import pecl.encoders.towers
    import pecl.serving.server

    pecl.encoders.towers.load_towers = lambda *_: tiny_towers()
    pecl.adapters.ready.ready_adapters = lambda *_: {}
    pecl.serving.server.serve = lambda service, *_: sys.stdout.write(
        f"{service.models.names} {len(service.photographs)}"
    )
    setup()


def nothing():
    """Do nothing before the command."""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def content(folder: Path):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kills", [KILLS, pytest.param(100, marks=pytest.mark.slow)])
def test_a_server_killed_while_it_loads_leaves_every_file_and_the_next_one_serves(tmp_path, towers, photographs, kills):
    files = write_adapters(tmp_path / "adapters", ("de", "cs"))
    build_index(photographs)
    before = content(tmp_path)
    flags = f"serve --port {free_port()} --index {photographs} --adapter {' '.join(map(str, files))}".split()

    def serve(setup):
        command = Command(flags, f"{tmp_path}-log", partial(until_it_would_serve, setup))
        return command.wait(), command

    counter = CONTEXT.Value("i", 0, lock=False)
    status, command = serve(partial(count_operations, counter, str(tmp_path)))
    assert (status, command.out) == (0, "['mini', 'mini:de', 'mini:cs'] 12"), command.err
    assert counter.value >= 5, "too few moments to be killed at"
    moments = random.Random(kills)
    for _ in range(kills):
        at = moments.randint(1, counter.value)
        status, command = serve(partial(signal_itself, signal.SIGKILL, at, str(tmp_path)))
        assert status == -signal.SIGKILL, f"moment {at} of {counter.value}: {command.err}"
        assert content(tmp_path) == before, f"moment {at} of {counter.value}"
    status, command = serve(nothing)
    assert (status, command.out) == (0, "['mini', 'mini:de', 'mini:cs'] 12"), command.err
