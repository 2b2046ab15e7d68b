"""Launchers: what a worker is given and what its end means; and each launcher against the grid of this process."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from helpers.checkpoints import write_base, write_clip, write_mclip
from helpers.folders import flags
from helpers.small_experiment import SMALL, write_folder
from helpers.waiting import wait_until
from hypothesis import given
from hypothesis import strategies as st

import pecl.experiment.run
import pecl.grid.launchers.processes
from pecl.config import make_config
from pecl.errors import ConfigError, FleetSizeError, OutputError, PeclError
from pecl.grid import expand, run_grid
from pecl.grid.launchers import make_launcher
from pecl.grid.launchers.base import Task, WorkerDiedError, parse_options
from pecl.grid.launchers.processes import Processes, share_of_cores
from pecl.grid.launchers.ray import Ray
from pecl.grid.launchers.worker import main as worker
from pecl.grid.launchers.worker import run_text
from pecl.results.folder import hold
from pecl.results.result import collect_runs

# Stands for a worker: says what it was given, and ends as its first run's seed says.
STUB = """#!{python}
import json, os, signal, sys, time
runs = json.loads(sys.stdin.readline())["runs"]
seed = runs[0]["seed"]
names = ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
said = {{"arguments": sys.argv[1:], **{{name: os.environ.get(name) for name in names}}}}
open(os.path.join({folder!r}, f"{{seed}}.json"), "w").write(json.dumps(said))
sys.stderr.write("a log line\\nwhat was wrong\\n")
sys.stderr.flush()
if seed == 9:
    os.kill(os.getpid(), 9)
if seed > 100:
    signal.signal(signal.SIGINT, signal.SIG_IGN if seed == 102 else signal.default_int_handler)
    open(os.path.join({folder!r}, "at work"), "w").write(str(os.getpid()))
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        open(os.path.join({folder!r}, "saved"), "w").close()
sys.exit(seed)
"""


@pytest.fixture
def stub(tmp_path, monkeypatch):
    path = tmp_path / "python"
    path.write_text(STUB.format(python=sys.executable, folder=str(tmp_path)))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(pecl.grid.launchers.processes.sys, "executable", str(path))
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    return lambda seed: json.loads((tmp_path / f"{seed}.json").read_text())


def tasks(*seeds, **values):
    return [Task((make_config({"seed": seed, **values}),)) for seed in seeds]


def ends(events):
    return {event.task.configs[0].seed: event for event in events if event.kind in ("finished", "busy")}


def test_the_end_of_a_worker_is_understood(stub):
    events = ends(Processes(3).run(tasks(0, 2, 3, 9, 64, 73, 75)))
    assert (events[0].kind, events[0].error) == ("finished", None)
    assert (events[75].kind, events[75].error) == ("busy", None)
    for status, kind in ((2, PeclError), (64, FleetSizeError), (73, OutputError)):
        assert type(events[status].error) is kind
        assert str(events[status].error) == "what was wrong"
    assert isinstance(events[3].error, WorkerDiedError)
    assert str(events[3].error) == "the worker ended with exit status 3: what was wrong"
    assert str(events[9].error) == "the worker was killed by SIGKILL: what was wrong"


@pytest.mark.parametrize(("seed", "seconds", "saved"), [(101, 600.0, True), (102, 0.0, False)])
def test_a_grid_that_is_left_interrupts_its_workers_and_kills_deaf_ones(
    stub, tmp_path, monkeypatch, seed, seconds, saved
):
    monkeypatch.setattr(pecl.grid.launchers.processes, "_STOP_SECONDS", seconds)
    events = Processes(1).run(tasks(seed))
    assert next(events).kind == "started"
    pid = wait_until(lambda: (tmp_path / "at work").exists() and (tmp_path / "at work").read_text(), 600, "the worker")
    events.close()
    assert not is_running(int(pid))
    assert (tmp_path / "saved").exists() is saved


@pytest.mark.parametrize(
    ("values", "given_threads", "threads", "gpus"),
    [
        ({"device": "cuda"}, None, "2", ["6", "7"]),
        ({"device": "cuda:1"}, None, "2", ["6,7", "6,7"]),  # named by its number: all are left visible
        ({}, "1", "1", ["6,7", "6,7"]),
        ({"threads": 7}, "1", "7", ["6,7", "6,7"]),
    ],
)
def test_workers_get_cores_and_gpus_of_their_own_and_the_threads_that_are_asked_for(
    stub, monkeypatch, values, given_threads, threads, gpus
):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {2, 3, 4, 5, 8})
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7")
    if given_threads:
        monkeypatch.setenv("OMP_NUM_THREADS", given_threads)
    list(Processes(2).run(tasks(2, 3, **values)))
    found = [stub(seed) for seed in (2, 3)]
    assert [one["OMP_NUM_THREADS"] for one in found] == [threads] * 2
    assert [one["arguments"][-1] for one in found] == ["2,3,4", "5,8"]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == gpus


def test_fleets_are_spread_over_the_devices_that_are_named(stub, monkeypatch):
    """The second and the first of two visible GPUs, in turn; each worker knows its own as cuda."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7,9")
    launcher = make_launcher(devices=["cuda:1", "cuda:0"])
    list(launcher.run(tasks(2, 3, device="cuda")))
    assert launcher.jobs == 2
    assert [stub(seed)["CUDA_VISIBLE_DEVICES"] for seed in (2, 3)] == ["7", "6"]
    with pytest.raises(ConfigError, match="devices: expected cuda:0 to cuda:2, got cuda:3"):
        make_launcher(devices=["cuda:3"])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with pytest.raises(ConfigError, match="devices: expected cpu, since there is no GPU here, got cuda:1"):
        make_launcher(devices=["cuda:1", "cuda:0"])


@pytest.mark.parametrize(
    ("jobs", "gpus", "device", "sharing"),
    [(2, [], "cuda", 1), (5, [], "cuda:0", 3), (4, [0], "cuda", 4), (3, [], "cuda:1", 3), (3, [], "cpu", 3)],
)
def test_processes_share_the_memory_of_their_device(monkeypatch, jobs, gpus, device, sharing):
    """Of five processes on two GPUs, three are on the first; on a CPU all share, and on a GPU that all name."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6,7")
    assert Processes(jobs, gpus).sharing(device) == sharing
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    assert Processes(jobs).sharing(device) == jobs  # the first worker will say that there is no GPU


@pytest.fixture
def ray(monkeypatch):
    """Stands for ray, which is running already."""
    ray = MagicMock()
    ray.is_initialized.return_value = True
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", ray.exceptions)
    return ray


def test_a_ray_task_that_dies_is_a_failed_run_and_waiting_ones_are_cancelled(ray):
    """Two tasks: the first dies after a second of waiting, and the grid is left before the second ends."""
    one, two = references = ["one", "two"]
    ray.remote.return_value.options.return_value.remote.side_effect = references
    ray.wait.side_effect = [([], [one, two]), ([one], [two]), ([two], [])]
    ray.exceptions.RayError = type("RayError", (Exception,), {})
    ray.get.side_effect = ray.exceptions.RayError("the log\nout of memory\n")
    events = Ray(1, {"num_cpus": 2}).run(tasks(4, 5))
    assert [next(events).kind for _ in range(3)] == ["started", "started", "tick"]
    failed = next(events)
    assert isinstance(failed.error, WorkerDiedError)
    assert str(failed.error) == "the Ray task ended without a result (RayError: out of memory)"
    events.close()
    ray.cancel.assert_called_once_with(two)
    assert ray.wait.call_args.args == ([two],)


@pytest.mark.parametrize(
    ("device", "options", "gpus"),
    [("cpu", {}, None), ("cuda", {}, 1), ("cuda:1", {}, 2), ("cuda", {"num_gpus": 0.5}, 0.5)],
)
def test_ray_shows_a_task_the_gpus_that_it_needs(ray, device, options, gpus):
    events = Ray(1, options).run(tasks(4, device=device))
    next(events)
    assert ray.remote.return_value.options.call_args.kwargs.get("num_gpus") == gpus
    ray.wait.return_value = ([], [])
    events.close()


def test_a_worker_trains_in_the_folder_of_the_grid_with_its_share(small, tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr("pecl.experiment.run.train_fleet", lambda configs, **options: given.update(options))
    monkeypatch.chdir(tmp_path)
    text = Task((make_config(small),), share=3).to_json()
    monkeypatch.chdir("/")
    assert run_text(text) == (0, "")
    assert (given["share"], Path.cwd()) == (3, tmp_path)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("gpus=1", "unknown option 'gpus': expected one of num_cpus, num_gpus, memory"),
        ("num_gpus=x", "ray: num_gpus: expected a number >= 0, got 'x'"),
        ("num_cpus=1e999", "ray: num_cpus: expected a number >= 0, got inf"),
    ],
)
def test_ray_refuses_options_that_it_cannot_take(ray, option, said):
    with pytest.raises(ConfigError, match=said):
        make_launcher("ray", None, [option])


@given(st.sets(st.integers(0, 200), min_size=1), st.integers(1, 20))
def test_cores_are_divided(cores, jobs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "sched_getaffinity", lambda _: cores)
        shares = [share_of_cores(place, jobs) for place in range(jobs)]
    assert set().union(*shares) <= cores
    sizes = [len(share) for share in shares]
    assert min(sizes) >= 1
    assert max(sizes) - min(sizes) <= 1
    if jobs <= len(cores):
        assert sorted(core for share in shares for core in share) == sorted(cores)


def test_options_are_numbers_where_they_can_be():
    assert parse_options("slurm", ["a=1", "b-c=0.5", "d=x=y", "e=01"]) == {"a": 1, "b_c": 0.5, "d": "x=y", "e": "01"}
    with pytest.raises(ConfigError, match=r"slurm: expected key=value, .*, got gpu"):
        parse_options("slurm", ["gpu"])


def text_of(values):
    return Task((make_config(values),)).to_json()


def test_a_worker_says_what_is_wrong_with_its_task(small):
    assert run_text(text_of(small)) == (0, "")
    assert len(list(Path(small["out"]).glob("*.json"))) == 1
    status, sentence = run_text(text_of({**small, "shots": 12}))
    assert status == 2
    assert "shots: expected at most 11" in sentence


def test_a_worker_that_cannot_write_ends_with_a_status_of_its_own(small):
    """A grid stops at it, while bad input of one run leaves the others."""
    status, sentence = run_text(text_of({**small, "out": "/dev/full/results"}))
    assert status == 73
    assert "cannot write" in sentence


def test_a_worker_whose_fleet_is_too_large_ends_with_a_status_of_its_own(small, monkeypatch):
    """A grid does not try its runs one by one: they were asked for together."""
    monkeypatch.setattr("pecl.experiment.checks.largest_fleet", lambda *_: 1)
    fleet = Task(tuple(make_config({**small, "seed": seed}) for seed in (1, 2)))
    assert run_text(fleet.to_json()) == (
        64,
        "fleet: expected at most 1, which fit into the memory here, or auto, got 2",
    )


@pytest.fixture
def deaf_to_interrupts():
    """Ignore SIGINT, as a shell's background jobs do; a worker restores it for itself."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_worker_leaves_a_run_that_another_process_is_at_work_on(small):
    with hold(small["out"], [make_config(small).run_id()]):
        status, sentence = run_text(text_of(small))
    assert status == 75
    assert "is being trained by another process" in sentence
    assert not list(Path(small["out"]).glob("*.json"))


def test_a_worker_ends_with_its_input_and_records_it(small, monkeypatch, capsys, deaf_to_interrupts):
    """Its input is open for as long as the grid that started it lives."""
    reading, writing = os.pipe()
    os.write(writing, text_of(small).encode() + b"\n")

    def loses_its_grid(trainer):
        os.close(writing)
        wait_until(lambda: False, 120, "the interrupt")

    monkeypatch.setattr(pecl.experiment.fleet_training.Trainer, "run", loses_its_grid)
    with open(reading) as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert worker([]) == 130
    assert capsys.readouterr().err.splitlines()[-1] == "interrupted"
    (path,) = Path(small["out"]).glob("*.json")
    assert json.loads(path.read_text())["status"] == "interrupted"


def test_a_preempted_slurm_job_is_queued_again_with_its_task(tmp_path):
    """submitit meets the signal that Slurm sends first; here with its own handler, and without a cluster."""
    pytest.importorskip("submitit")
    from submitit.core.job_environment import SignalHandler
    from submitit.core.utils import DelayedSubmission

    from pecl.grid.launchers.slurm import _Job

    queued = []
    environment = SimpleNamespace(global_rank=0, _requeue=queued.append)
    paths = SimpleNamespace(submitted_pickle=tmp_path / "submitted.pkl")
    text = json.dumps({"folder": ".", "plugins": [], "share": None, "runs": [{"epoch": 3}]})
    submission = DelayedSubmission(_Job(), text)
    submission.set_timeout(timeout_min=60, max_num_timeout=3)
    with pytest.raises(SystemExit):
        SignalHandler(environment, paths, submission).checkpoint_and_try_requeue(signal.SIGUSR2)
    assert queued == [3]
    status, sentence = DelayedSubmission.load(paths.submitted_pickle).result()
    assert (status, sentence) == _Job()(text)
    assert "unknown key 'epoch'" in sentence


# From here on the towers lie on disk, so that a worker anywhere can load them.


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Towers, data and a cache that the tests below share."""
    folder = tmp_path_factory.mktemp("shared")
    write_folder(folder)
    write_base(folder / "base")
    write_mclip(folder / "text", folder / "base", dim=12)
    write_clip(folder / "image")
    return folder


def values_on_disk(folder, out):
    places = {"dataset": "captions.csv", "text_model": "text", "image_model": "image"}
    return {**SMALL, **{name: str(folder / place) for name, place in places.items()}, "epochs": 2, "out": str(out)}


@pytest.fixture
def on_disk(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("PECL_CACHE_DIR", str(folder / "cache"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return values_on_disk(folder, tmp_path / "results")


def summary(results):
    return [(r.run_id, r.status, r.metrics, r.all_ranks, r.curve) for r in results]


LRS = [1e-2, 1e-3]


@pytest.fixture(scope="module")
def here(folder):
    """What a grid of this process makes of two runs: a summary of the results, and the names of the files."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PECL_CACHE_DIR", str(folder / "cache"))
        results = run_grid(expand({**values_on_disk(folder, folder / "here"), "lr": LRS}), fleet=1).results
    torch.set_num_threads(before)
    return summary(results), names(folder / "here")


def check_like_here(here, on_disk, launcher):
    results = run_grid(expand({**on_disk, "lr": LRS}), fleet=1, launcher=launcher).results
    assert (summary(results), names(on_disk["out"])) == here


def names(folder):
    return sorted(path.name for path in Path(folder).iterdir())


@pytest.mark.slow
def test_processes_give_what_this_process_gives(here, on_disk):
    """Two workers at a time, each of which loads the towers and trains a run."""
    check_like_here(here, on_disk, make_launcher("process", 2))


def test_slurm_gives_what_this_process_gives(here, on_disk, tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    from helpers.slurm_stub import install

    jobs = install(tmp_path, monkeypatch)
    check_like_here(here, on_disk, make_launcher("slurm", 1, ["partition=gpu", "cpus_per_task=2"]))
    script = (jobs / "submitted").read_text()
    assert {"#SBATCH --array=0-1%1", "#SBATCH --partition=gpu"} <= set(script.splitlines())
    with pytest.raises(ConfigError, match="unknown option 'partitoin' of sbatch; did you mean 'partition'"):
        make_launcher("slurm", None, ["partitoin=gpu"])


def test_a_slurm_job_that_dies_is_a_failed_run(on_disk, tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    from helpers.slurm_stub import install

    import pecl.grid.launchers.slurm

    jobs = install(tmp_path, monkeypatch)
    monkeypatch.setattr(submitit.Job, "_results_timeout_s", 0)  # for which it waits for a result that never comes
    (jobs.parent / "bin" / "srun").write_text("#!/bin/sh\nexit 9\n")
    monkeypatch.setattr(pecl.grid.launchers.slurm, "_QUERY_SECONDS", 0.5)
    (failed,) = run_grid([make_config(on_disk)], launcher=make_launcher("slurm")).failed
    said = r"pecl\.grid\.launchers\.base\.WorkerDiedError: Slurm job \d+ ended without a result"
    assert re.match(said, failed.error)
    assert (Path(on_disk["out"]) / ".slurm").exists()  # with the logs


def test_slurm_jobs_that_are_refused_are_said_and_those_of_a_grid_that_is_left_are_cancelled(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
    from helpers.slurm_stub import install

    jobs, launcher = install(tmp_path, monkeypatch), make_launcher("slurm")
    events = launcher.run(tasks(1, out=str(tmp_path / "out")))
    assert next(events).kind == "started"
    events.close()
    (pid,) = (int(path.read_text()) for path in jobs.glob("*.pid"))
    wait_until(lambda: not is_running(pid), 600, "the end of the cancelled job")
    assert not list(jobs.glob("*.status"))
    (jobs.parent / "bin" / "sbatch").write_text("#!/bin/sh\necho no such partition >&2\nexit 1\n")
    with pytest.raises(ConfigError, match=r"Slurm refused the jobs: .*no such partition"):
        next(launcher.run(tasks(1, out=str(tmp_path / "out"))))


@pytest.mark.slow
def test_ray_gives_what_this_process_gives(here, on_disk):
    pytest.importorskip("ray")
    check_like_here(here, on_disk, make_launcher("ray", 2))


def start(values, *arguments):
    command = [sys.executable, "-m", "pecl", "grid", *flags(values), *arguments]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell has its background jobs ignore Ctrl-C, and so would the processes of tests that are one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def long_runs(on_disk):
    return {**on_disk, "epochs": 20_000, "lr": "1e-2,1e-3"}


def start_two_at_work(values):
    """A grid and its two workers, once both have saved a state."""
    process = start(values, "--jobs", "2")
    states = Path(values["out"]) / ".state"
    wait_until(lambda: len(list(states.glob("*.safetensors"))) == 2, 600, "a saved state of each worker")
    return process, workers_of(process)


def workers_of(process):
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=False
    )
    return [int(pid) for pid in found.stdout.split()]


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.slow
def test_ctrl_c_stops_workers_after_they_saved(on_disk):
    process, workers = start_two_at_work(long_runs(on_disk))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 130, errors
    assert len(workers) == 2
    assert not any(is_running(pid) for pid in workers)
    results = collect_runs([on_disk["out"]])
    assert [result.status for result in results] == ["interrupted"] * 2
    assert names(on_disk["out"]) == sorted([".state", *(f"{result.name}.json" for result in results)])


@pytest.mark.slow
def test_workers_end_with_a_killed_grid_and_a_killed_worker_is_a_failed_run(on_disk):
    process, workers = start_two_at_work(values := long_runs(on_disk))
    process.kill()
    process.communicate()
    wait_until(lambda: not any(is_running(pid) for pid in workers), 600, "the end of the killed grid's workers")
    process = start(values, "--jobs", "1", "--launcher", "process")
    out, killed = Path(on_disk["out"]), set()
    for _ in range(2):  # it is tried once more
        wait_until(lambda: set(workers_of(process)) - killed and list(out.glob(".*.lock")), 600, "a worker's lock")
        killed.update(workers_of(process))
        os.kill(workers_of(process)[0], signal.SIGKILL)
    failed = wait_until(lambda: [p for p in out.glob("*.json") if '"failed"' in p.read_text()], 600, "a failed run")
    assert "WorkerDiedError: the worker was killed by SIGKILL" in json.loads(failed[0].read_text())["error"]
    process.send_signal(signal.SIGINT)
    process.communicate()
    assert process.returncode == 130
