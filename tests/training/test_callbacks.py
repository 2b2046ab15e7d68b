"""Callbacks see each step once, in order, and may stop their slot."""

import resource

import pytest
import torch
from helpers.interrupted import counted_steps, interrupted_after
from helpers.small_training import slot_run, trainer
from helpers.tiny import tiny_tower

from pecl.config import make_config
from pecl.errors import ConfigError
from pecl.experiment.run import train, train_fleet
from pecl.grid import run_grid
from pecl.grid.launchers.processes import Processes
from pecl.results.result import read_result
from pecl.training.callbacks import Callback
from pecl.training.schedule import Schedule

MOMENTS = ("at_start", "after_step", "after_validation", "after_save")


class Recorder(Callback):
    """Records each moment with its slot, step and metrics."""

    def __init__(self):
        self.events = []

    def note(self, moment, event):
        self.events.append((moment, event.slot, event.step, dict(event.metrics)))

    def of(self, moment, slot=0):
        return [(step, metrics) for name, owner, step, metrics in self.events if (name, owner) == (moment, slot)]


for moment in MOMENTS:
    setattr(Recorder, moment, lambda self, event, moment=moment: self.note(moment, event))


def run_of(slots=1, callbacks=(), **options):
    tower = tiny_tower()
    configs = [make_config({"language": "de", "seed": slot + 1}) for slot in range(slots)]
    runs = [slot_run(tower, config.seed, 10.0 ** -(config.seed + 1), config=config) for config in configs]
    return trainer(tower, runs, callbacks=callbacks, **options)


def schedule(**options):
    return Schedule(**{"epochs": 3, "batch_size": 5, "dropout": False, "ema": 0.5, **options})


def test_steps_and_validations_are_reported_with_their_numbers():
    recorder = Recorder()
    run = run_of(2, [recorder])
    records = run.run()
    for slot, record in enumerate(records):
        assert [step for step, _ in recorder.of("after_step", slot)] == list(range(1, 10))
        validations = recorder.of("after_validation", slot)
        assert [(step, metrics["loss"]) for step, metrics in validations] == record.losses
        assert [(step, metrics["validation_recall"]) for step, metrics in validations] == record.scores
        losses = [metrics["loss"] for _, metrics in recorder.of("after_step", slot)]
        assert validations[0][1]["loss"] == pytest.approx(sum(losses[:2]) / 2)
        rates = [metrics["lr"] for _, metrics in recorder.of("after_step", slot)]
        expected = [10.0 ** -(slot + 2) * 0.5 * (1 + torch.cos(torch.tensor(torch.pi * i / 9))) for i in range(9)]
        assert rates == pytest.approx([float(rate) for rate in expected], abs=1e-8)


def test_a_callback_stops_its_slot_and_no_other():
    class StopFirst(Callback):
        def after_step(self, event):
            if event.config.seed == 1 and event.step == 3:
                event.stop()

    recorder = Recorder()
    stopped, other = run_of(2, [StopFirst(), recorder]).run()
    assert (stopped.stopped, other.stopped) == (3, None)
    assert [step for step, _ in stopped.scores] == [2, 3]  # the weights of its last step are measured
    assert [step for step, _ in recorder.of("after_step", 0)] == [1, 2, 3]
    alone = run_of(2).run()[1]
    assert [loss for _, loss in other.losses] == pytest.approx([loss for _, loss in alone.losses], abs=1e-4)
    torch.testing.assert_close(other.best, alone.best, rtol=1e-4, atol=1e-5)


def at(moment, step, action="stop", seed=1):
    """Return a callback that stops or prunes the run of a seed at a moment of a step."""

    def act(self, event):
        if (event.config.seed, event.step) == (seed, step):
            getattr(event, action)()

    return type("At", (Callback,), {moment: act})()


@pytest.mark.parametrize("action", ["stop", "prune"])
@pytest.mark.parametrize(("moment", "step"), [("at_start", 0), ("after_step", 1)])
def test_a_slot_that_stops_before_the_first_validation_leaves_the_others_as_they_are(moment, step, action):
    stopped, other = run_of(2, [at(moment, step, action)]).run()
    assert (stopped.stopped, stopped.pruned, other.stopped) == (step, action == "prune", None)
    assert [step for step, _ in stopped.scores] == [step]
    assert other.scores == run_of(2).run()[1].scores


class Rivals(Callback):
    """Records, by step, the slots that a validation compares."""

    def __init__(self):
        self.slots = {}

    def after_fleet_validation(self, events):
        self.slots[events[0].step] = [event.slot for event in events if event.metrics]


def test_a_validation_that_stops_a_run_is_reported_for_it_and_compares_only_the_others():
    """Slot 0 runs out of patience at step 4, and a callback stops slot 1 at step 6."""
    recorder, rivals = Recorder(), Rivals()
    run = run_of(3, [at("after_validation", 6, seed=2), recorder, rivals], schedule=schedule(eval_every=2, patience=1))
    run.validate = lambda slots: [0.9 - run.step / 100 if slot == 0 else 0.5 for slot in slots]
    stopped = [record.stopped for record in run.run()]
    assert stopped == [4, 6, None]
    assert rivals.slots == {2: [0, 1, 2], 4: [1, 2], 6: [2], 8: [2], 9: [2]}
    reported = [[step for step, _ in recorder.of("after_validation", slot)] for slot in range(3)]
    assert reported == [[2, 4], [2, 4, 6], [2, 4, 6, 8, 9]]


def test_a_slot_that_stops_between_validations_ends_with_its_averaged_weights():
    """As if step 3 had been a validation."""
    between = run_of(1, [at("after_step", 3)], schedule=schedule(eval_every=2)).run()[0]
    validated = run_of(1, [at("after_validation", 3)], schedule=schedule(eval_every=3)).run()[0]
    torch.testing.assert_close(between.best, validated.best, rtol=0, atol=0)
    raw = run_of(1, [at("after_step", 3)], schedule=schedule(eval_every=2, ema=None)).run()[0]
    assert any(not torch.equal(raw.best[name], averaged) for name, averaged in between.best.items())


def test_a_resumed_run_reports_the_steps_after_its_saved_state(tmp_path):
    first, second = Recorder(), Recorder()
    with interrupted_after(4):
        run_of(1, [first], state_path=tmp_path / "state").run()
    run_of(1, [second], state_path=tmp_path / "state").run()
    (saved,) = {step for step, _ in second.of("at_start")}
    assert saved == max(step for step, _ in first.of("after_save")) == 4
    assert [step for step, _ in second.of("after_step")] == list(range(5, 10))


def test_a_stop_at_a_save_is_in_the_saved_state(tmp_path):
    path = tmp_path / "state"
    with interrupted_after(3):
        run_of(2, [at("after_save", 3)], state_path=path).run()
    resumed = run_of(2, state_path=path)
    assert resumed.saved_step == 3
    assert [record.stopped for record in resumed.run()] == [3, None]


def test_the_end_of_a_run_has_the_step_after_which_it_stopped(small):
    ends = {}

    class End(Callback):
        def after_step(self, event):
            if event.config.seed == 1 and event.step == 2:
                event.stop()

        def at_end(self, event):
            ends[event.config.seed] = event.step

    results = train_fleet([make_config({**small, "seed": seed}) for seed in (1, 2)], callbacks=[End()])
    assert ends == {1: 2, 2: results[1].steps}
    assert results[1].steps > 2


def test_callbacks_do_not_change_what_is_learned():
    plain, watched = run_of(2).run(), run_of(2, [Recorder()]).run()
    for found, expected in zip(watched, plain, strict=True):
        assert (found.losses, found.scores) == (expected.losses, expected.scores)
        torch.testing.assert_close(found.best, expected.best, rtol=0, atol=0)


def test_a_validation_reports_the_peak_memory_of_the_process():
    recorder = Recorder()
    run_of(1, [recorder]).run()
    reported = [metrics["peak_memory_mb"] for _, metrics in recorder.of("after_validation")]
    assert reported == sorted(reported)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10  # KiB on Linux
    assert 0 < reported[-1] <= peak * 1.01


class StopAtTwo(Callback):
    def after_step(self, event):
        if event.step == 2:
            event.stop()


def test_a_run_that_a_callback_stopped_is_complete_only_with_it(small, caplog):
    stopped = train(small, callbacks=[StopAtTwo()])
    assert (stopped.status, stopped.steps, stopped.stopped_by) == ("complete", 2, "StopAtTwo")
    assert read_result(stopped.path) == stopped
    with counted_steps() as steps:
        assert train(small, callbacks=[StopAtTwo(), Recorder()]) == stopped
    assert steps == []

    whole = train(small, callbacks=[Recorder()])
    assert f"{stopped.path} was stopped by the callback StopAtTwo; running it again" in caplog.text
    assert (whole.steps, whole.stopped_by) == (8, None)
    assert train(small, callbacks=[StopAtTwo()]) == whole  # what is trained to the end is complete for every call


def test_a_callback_that_stops_at_the_last_step_stops_nothing(small):
    last = at("after_step", 8)
    assert train(small, callbacks=[last]).stopped_by is None


def test_a_stopped_slot_keeps_its_callback_through_a_kill(small):
    configs = [make_config({**small, "seed": seed}) for seed in (1, 2)]
    with interrupted_after(4):
        train_fleet(configs, callbacks=[at("after_step", 2)])
    first, second = train_fleet(configs, callbacks=[at("after_step", 2)])
    assert [(run.steps, run.stopped_by) for run in (first, second)] == [(2, "At"), (8, None)]


def test_a_grid_calls_callbacks_in_this_process_alone(small):
    recorder = Recorder()
    values = {**small, "seed": [1, 2]}
    stopped = run_grid(values, callbacks=[StopAtTwo(), recorder]).complete
    assert [run.stopped_by for run in stopped] == ["StopAtTwo"] * 2
    assert recorder.of("after_step", 1)
    assert [run.steps for run in run_grid(values).complete] == [8, 8]
    with pytest.raises(ConfigError, match="callbacks: expected none with a launcher"):
        run_grid(values, launcher=Processes(1), callbacks=[recorder])
