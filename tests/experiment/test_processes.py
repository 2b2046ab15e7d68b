"""`pecl train` in several processes, as torchrun starts them."""

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from helpers.grid_processes import signal_itself
from helpers.project import ROOT, TESTS
from helpers.together import start_together

from pecl.config import make_config
from pecl.experiment.run import train
from pecl.results.result import collect, read_result


def arguments(small, **values):
    given = {"threads": 1, **small, **values}
    return ["train", *(f"--{name.replace('_', '-')}={value}" for name, value in given.items())]


def ended(started):
    return [process.wait() for process in started]


def said(started):
    """The sentences that all processes say together."""
    lines = [line.rpartition("\r")[2] for process in started for line in process.err.splitlines()]
    return [line for line in lines if line.startswith("pecl: ")]


def test_two_processes_give_what_one_gives(small, tmp_path):
    """With dropout, which is drawn for each row of the whole batch."""
    one = train(make_config({**small, "threads": 1, "out": str(tmp_path / "one")}))
    started = start_together(tmp_path / "logs", *[arguments(small)] * 2)
    assert ended(started) == [0, 0], [one.err for one in started]
    (two,) = collect([small["out"]])
    assert (two.run_id, two.config.processes) == (one.run_id, 2)
    torch.testing.assert_close(torch.tensor(two.curve.loss), torch.tensor(one.curve.loss), rtol=1e-5, atol=1e-5)
    assert two.metrics == one.metrics
    assert started[0].out.splitlines()[-1] == str(two.path)
    assert started[1].out == ""
    assert "torchrun --nproc-per-node 2 --module pecl train" in two.command
    before = two.path.stat().st_mtime_ns
    assert ended(start_together(tmp_path / "again", *[[*arguments(small), "--json"]] * 2)) == [0, 0]
    assert train(two.config) == two  # in one process as well
    assert two.path.stat().st_mtime_ns == before
    assert json.loads((tmp_path / "again" / "process-0.out").read_text())["run_id"] == two.run_id


def test_killed_processes_go_on_and_end_with_the_same_bits(small, tmp_path):
    whole = arguments(small, epochs=12, out=tmp_path / "whole")
    assert ended(start_together(tmp_path / "1", whole, whole)) == [0, 0]
    killed = arguments(small, epochs=12)
    states = Path(small["out"]) / ".state"
    freezes = partial(signal_itself, signal.SIGSTOP, 8, f"{states}/")  # the other then waits for it
    started = start_together(tmp_path / "2", killed, killed, setup=freezes)
    started[0].wait_until(lambda: list(states.glob("[!.]*")), "a state")
    for process in started[::-1]:
        process.signal(signal.SIGKILL)
    assert ended(started) == [-signal.SIGKILL] * 2
    assert ended(start_together(tmp_path / "3", killed, killed)) == [0, 0]
    (expected,), (found,) = collect([str(tmp_path / "whole")]), collect([small["out"]])
    assert found.curve.loss == expected.curve.loss
    assert found.adapter_path.read_bytes() == expected.adapter_path.read_bytes()
    assert not states.exists()


def test_a_killed_process_ends_the_others_in_one_sentence(small, tmp_path):
    started = start_together(tmp_path / "logs", *[arguments(small, epochs=100_000)] * 2)
    started[0].wait_until(lambda: list((Path(small["out"]) / ".state").glob("[!.]*")), "a state")
    started[1].signal(signal.SIGKILL)
    assert ended(started)[0] == 1
    (sentence,) = said(started)
    assert sentence.startswith("pecl: another process of the training ended")


@pytest.mark.parametrize(
    ("first", "second", "sentence"),
    [
        ([], ["--lr=0.5"], "pecl: lr: expected one value in all processes, got 0.01 in process 0 and 0.5 in process 1"),
        ([], ["--lr=x"], 'pecl: --lr: expected a number >= 0, got "x"'),
        (["--device=cuda"], ["--device=cuda"], "pecl: --device: expected a GPU for each process"),
    ],
)
def test_what_is_wrong_in_several_processes_is_one_sentence(small, monkeypatch, tmp_path, first, second, sentence):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    started = start_together(tmp_path / "logs", arguments(small) + first, arguments(small) + second)
    assert ended(started) == [2, 2]
    (found,) = said(started)
    assert found.startswith(sentence)
    assert not Path(small["out"]).exists()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torch.distributed.run", "accelerate.commands.launch"])
def test_launchers_start_it(small, tmp_path, launcher):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{TESTS}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", launcher]
    command += ["--nproc-per-node=2"] if "torch" in launcher else ["--multi_gpu", "--num_processes=2"]
    command += ["--module", "helpers.tiny_pecl", *arguments(small)]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert finished.returncode == 0, finished.stderr
    path = Path(finished.stdout.splitlines()[-1])
    assert read_result(path).config.processes == 2
