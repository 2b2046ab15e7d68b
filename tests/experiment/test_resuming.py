"""A training goes on from its own saved state and from no other: not from that of other data, towers or tasks."""

from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from helpers.interrupted import counted_steps, interrupted_after
from helpers.small_experiment import Colours, _pixels, tiny_image_tower, tiny_towers
from helpers.tiny import tiny_tower
from PIL import Image

from pecl.config import make_config
from pecl.encoders.image import ImageEncoder
from pecl.encoders.towers import Towers
from pecl.experiment.loading import TrainingDataCache
from pecl.experiment.run import train, train_fleet
from pecl.results.completeness import complete_result
from pecl.results.result import read_run, training_path

STEPS = 8  # of a training of the small experiment
COMPARED = ("metrics", "all_ranks", "curve", "best_step", "steps")


def states(small):
    return sorted((Path(small["out"]) / ".state").glob("*.safetensors"))


def load_tiny(*_):
    return tiny_towers()


def of_other_captions(small):
    table = Path(small["dataset"])
    table.write_text(table.read_text("utf-8").replace("ka", "mo"), "utf-8")
    return load_tiny


def of_other_pictures(small):
    for i in range(24):
        Image.new("RGB", (6, 6), (10 * i, 255 - 10 * i, 100)).save(Path(small["dataset"]).parent / f"{i}.png")
    return load_tiny


def of_another_text_tower(small):
    return lambda *_: Towers(lambda: tiny_tower(seed=5), tiny_image_tower)


def of_another_image_tower(small):
    colours = Colours()
    with torch.no_grad():
        colours.weight.copy_(colours.weight.roll(1, dims=0))
    image = ImageEncoder(colours, None, _pixels, name="colours", preprocessing={})
    return lambda *_: Towers(tiny_tower, lambda: image)


CHANGES = [of_other_captions, of_other_pictures, of_another_text_tower, of_another_image_tower]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_run_does_not_go_on_from_a_state(small, tmp_path, change):
    config = make_config({**small, "lr": 0.05})
    with interrupted_after(5):
        train(config)
    assert len(states(small)) == 1
    load = change(small)
    with counted_steps() as steps:
        again = train(config, load=load)
    fresh = train(replace(config, out=str(tmp_path / "fresh")), load=load)
    assert len(steps) == STEPS
    for key in COMPARED:
        assert getattr(again, key) == getattr(fresh, key), key
    assert not states(small)  # that of the other data went with it


def test_a_run_goes_on_where_it_was_interrupted_and_again(small, tmp_path):
    config = make_config(small)
    for done, more in ((3, 3), (4, 1), (6, 2)):
        with interrupted_after(more):
            train(config)
        stopped = read_run(training_path(config))
        assert (stopped.status, stopped.steps) == ("interrupted", done)
        assert complete_result(config, TrainingDataCache().hashes) is None
    with counted_steps() as steps:
        resumed = train(config)
    assert steps == [6, 7]
    whole = train(replace(config, out=str(tmp_path / "whole")))
    for key in COMPARED:
        assert getattr(resumed, key) == getattr(whole, key), key
    assert resumed.status == "complete"
    assert not (Path(small["out"]) / ".state").exists()


def test_an_interrupt_before_the_state_is_restored_leaves_the_step_that_was_saved(small):
    config = make_config(small)
    with interrupted_after(3):
        train(config)
    with (
        patch("pecl.encoders.text.MultilingualTextEncoder.caching", side_effect=KeyboardInterrupt),
        pytest.raises(KeyboardInterrupt),
    ):
        train(config)
    stopped = read_run(training_path(config))
    assert (stopped.status, stopped.steps) == ("interrupted", 3)


def test_a_fleet_goes_on_from_the_state_of_the_same_runs_in_the_same_order(small):
    one, two, three = (make_config({**small, "seed": seed}) for seed in (1, 2, 3))
    with interrupted_after(5):
        train_fleet([one, two])
    with counted_steps() as steps:
        train_fleet([three, two])
    assert len(steps) == STEPS
    with counted_steps() as steps:
        results = train_fleet([one, two])  # all of it, though one of its runs is complete meanwhile
    assert len(steps) == STEPS - 5
    assert [result.status for result in results] == ["complete"] * 2


def test_what_is_complete_of_a_fleet_is_not_trained_again(small):
    configs = [make_config({**small, "seed": seed}) for seed in (1, 2, 3)]
    whole = train_fleet(configs)
    whole[1].path.unlink()
    before = whole[0].path.stat().st_mtime_ns
    with counted_steps() as steps:
        again = train_fleet(configs)
    assert len(steps) == STEPS
    assert [result.fleet.size for result in again] == [3, 1, 3]
    assert [result.metrics for result in again] == [result.metrics for result in whole]
    assert whole[0].path.stat().st_mtime_ns == before


def test_a_complete_run_leaves_the_states_of_others(small):
    one, two = (make_config({**small, "seed": seed}) for seed in (1, 2))
    for config in (one, two):
        with interrupted_after(2):
            train(config)
    kept = {path.name.partition("-")[0]: path for path in states(small)}
    train(one)
    assert states(small) == [kept[two.run_id()]]


def test_a_complete_run_is_tidied_after_a_kill_behind_its_result(small):
    """The state and the lock of a process that was killed after it wrote its result go at the next call."""
    with interrupted_after(3):
        train(small)
    (state,) = states(small)
    content = state.read_bytes()
    result = train(small)
    state.parent.mkdir()
    state.write_bytes(content)
    lock = Path(small["out"]) / f".{result.run_id}.lock"
    lock.touch()
    assert train(small) == result
    assert not state.parent.exists()
    assert not lock.exists()
