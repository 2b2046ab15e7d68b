"""Processes that share each batch: their gradients are those of the whole batch in one process."""

import os
import sys

import cloudpickle
import pytest
import torch
from helpers.grid_processes import CONTEXT, Forked
from helpers.small_training import CONFIGS, slot_run
from helpers.tiny import tiny_tower
from helpers.together import call_pickled, meeting_point, set_place

from pecl.adapters.adapter import attach
from pecl.adapters.spec import describe
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, PeclError, ReportedElsewhereError
from pecl.training.distributed import SINGLE, join_group, launched
from pecl.training.schedule import Schedule
from pecl.training.trainer import Trainer
from pecl.training.worker_rank import run_worker, set_up_workers

cloudpickle.register_pickle_by_value(sys.modules[__name__])
SETUP = {"towers": (), "engine": "pecl", "texts": []}


def _process(send, rank, size, port, do):
    set_place(rank, size, port)
    torch.set_num_threads(1)
    try:
        found = cloudpickle.loads(do)(join_group())
    except BaseException as error:
        found = error
    send.send_bytes(cloudpickle.dumps(found))
    os._exit(0)


def in_processes(size, do):
    """Return what `do(processes)` returns, or raises, in each of several processes."""
    store, results, started = meeting_point(), [], []
    for rank in range(size):
        receive, send = CONTEXT.Pipe(duplex=False)
        arguments = (cloudpickle.dumps(_process), send, rank, size, store.port, cloudpickle.dumps(do))
        process = Forked(target=call_pickled, args=arguments, daemon=True)
        process.start()
        started.append((process, receive))
    for process, receive in started:
        assert receive.poll(600), "a process hangs"
        results.append(cloudpickle.loads(receive.recv_bytes()))
        process.join(60)
    return results


def trained(processes, *, dropout=False, anchor="student", batch_size=5, slots=1, lr=1e-2):
    """Losses, scores and final parameters of a training in the first process."""
    if processes.rank:
        return run_worker(processes, [], lambda arguments: Towers(tiny_tower, tiny_tower))
    tower = tiny_tower()
    runs = [slot_run(tower, seed=1 + i, anchor=anchor, lr=lr, slot=i) for i in range(slots)]
    seeds = [run.seed for run in runs]
    adapter = attach(tower, CONFIGS, seeds=seeds)
    schedule = Schedule(epochs=2, batch_size=batch_size, eval_every=2, dropout=dropout)
    scores = iter(range(100))
    run = Trainer(adapter, runs, schedule, lambda asked: [float(next(scores))] * len(asked), processes=processes)
    with processes.leading([]):
        set_up_workers(processes, **SETUP, adapter=(describe(CONFIGS), None, None), seeds=seeds)
        records = run.run()
    return [(r.losses, r.scores, r.best_step) for r in records], [adapter.slot_state(slot) for slot in range(slots)]


def raise_(error):
    raise error


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("size", "options"),
    [
        (2, {"anchor": "frozen"}),
        (2, {"slots": 3, "dropout": True}),
        (3, {"anchor": "none", "batch_size": 11}),  # the last batch has one row: two processes have none
    ],
)
def test_several_processes_equal_one_on_the_joint_batch(size, options):
    expected, states = trained(SINGLE, **options)
    (records, found), *others = in_processes(size, lambda processes: trained(processes, **options))
    for (losses, scores, best), (expected_losses, expected_scores, expected_best) in zip(
        records, expected, strict=True
    ):
        close(torch.tensor(losses), torch.tensor(expected_losses))
        assert (scores, best) == (expected_scores, expected_best)
    close(found, states)
    assert [other["do"] for other in others] == ["stop"] * (size - 1)


def test_a_training_that_diverged_stops_all_processes():
    (((losses, _, best_step),), _), other = in_processes(2, lambda processes: trained(processes, lr=1e30))
    assert (losses, best_step) == ([], 0)  # no validation was reached
    assert other["do"] == "stop"


def test_a_process_that_cannot_take_part_is_named():
    def without_weights(processes):
        if processes.rank:
            return run_worker(processes, [], lambda arguments: raise_(ConfigError("there is nothing here")))
        with processes.leading([]):
            set_up_workers(processes, **SETUP, adapter=("lora", None, None), seeds=[1])

    first, second = in_processes(2, without_weights)
    assert (type(first), str(first)) == (PeclError, "process 1: there is nothing here")
    assert isinstance(second, ReportedElsewhereError)


def test_what_torchrun_says_is_read(monkeypatch):
    assert launched() == (0, 1)
    assert join_group() is SINGLE
    assert SINGLE.exchange({"lr": 1}) == [{"lr": 1}]
    monkeypatch.setenv("RANK", "2")
    for size, said in (("2", "got '2' and '2'"), ("two", "got '2' and 'two'")):
        monkeypatch.setenv("WORLD_SIZE", size)
        with pytest.raises(ConfigError, match=said):
            launched()
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(ConfigError, match="device: expected cuda, of which each of 3 processes takes one, got cuda:1"):
        join_group("cuda:1")
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="process 2 cannot be connected with the other 2"):
        join_group()
