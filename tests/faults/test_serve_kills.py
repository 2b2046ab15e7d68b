"""`pecl serve` killed at random moments while it loads (SIGKILL) leaves no trace, and the next one serves."""

import socket
import sys
from functools import partial
from pathlib import Path

import pytest
from helpers.grid_processes import Command, killed_at_random
from helpers.serving import write_adapters
from helpers.small_experiment import tiny_towers

from pecl.search.build import build_index

KILLS = 3  # the slow test has 100


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
    if setup is not None:
        setup()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def content(folder: Path):
    return {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kills", [KILLS, pytest.param(100, marks=pytest.mark.slow)])
def test_a_server_killed_while_it_loads_leaves_every_file_and_the_next_one_serves(tmp_path, towers, photographs, kills):
    files = write_adapters(tmp_path / "adapters", ("de", "cs"))
    build_index(photographs, tmp_path / "index")
    before = content(tmp_path)
    flags = f"serve --port {free_port()} --index {tmp_path / 'index'} --adapter {' '.join(map(str, files))}".split()

    def serve(_, setup=None):
        command = Command(flags, log, partial(until_it_would_serve, setup))
        return command.wait(), command.err

    def check_served(errors=""):
        assert Path(f"{log}.out").read_text("utf-8") == "['mini', 'mini:de', 'mini:cs'] 12", errors

    log = f"{tmp_path}-log"
    killed = killed_at_random(lambda: tmp_path, serve, kills, kills, 5)
    next(killed)
    check_served()
    for _, moment in killed:
        assert content(tmp_path) == before, moment
    status, errors = serve(tmp_path)
    assert status == 0, errors
    check_served(errors)
