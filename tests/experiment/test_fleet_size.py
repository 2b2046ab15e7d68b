"""How many runs fit into memory; threads are set, recorded, and part of what a run goes on from."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from helpers.interrupted import counted_steps, interrupted_after
from helpers.small_experiment import tiny_image_tower, write_text
from helpers.tiny import sentences, tiny_tower

import pecl.encoders.towers
import pecl.experiment.fleet_size
from pecl.config import make_config
from pecl.encoders.store import FOLDER, _store_of
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError
from pecl.experiment.evaluation import evaluate
from pecl.experiment.fleet_size import bytes_of_slot, check_size, largest_fleet, memory_of
from pecl.experiment.inputs import read_training
from pecl.experiment.run import train, train_fleet
from pecl.grid.launchers.processes import Processes
from pecl.grid.run import _Run
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.training.trainer import Trainer

GIB = 1 << 30


@pytest.fixture
def members(small):
    """Return a function from values to three runs that were read; the tower of each is `tower`."""

    def read(tower=None, **values):
        tower = tower or tiny_tower()
        config = make_config({**small, "shots": 10, **values})
        return [read_training(config, Towers(lambda: tower, tiny_image_tower))] * 3

    return read


def test_more_memory_holds_more_runs_and_more_jobs_hold_fewer(members, monkeypatch, tmp_path):
    def most(gib, jobs=1, kept=0, **values):
        monkeypatch.setattr(pecl.experiment.fleet_size, "memory_of", lambda _: int(gib * GIB))
        return largest_fleet(members(**values), 1000, jobs, kept)

    assert most(0.1) == 1  # a run is always tried
    assert 1 < most(0.7) < most(1) < most(2)
    assert most(2, jobs=2) == most(1)
    assert most(2, kept=int(0.8 * GIB)) == most(1)
    assert most(1, batch_size=5) < most(1) < most(1, anchor="frozen")
    assert most(1, route="baseline1") == most(1, anchor="frozen")  # a route without an anchor embeds no second text
    text = {"text": write_text(tmp_path / "text.tsv"), "anchor": "frozen"}
    assert most(1, **text) < most(1, image_weight=0.0, **text)  # captions of photographs are embedded next to it


@pytest.mark.parametrize(("jobs", "sizes"), [(1, [4] * 4), (2, [2] * 4)])
def test_processes_that_share_the_memory_train_smaller_fleets(small, monkeypatch, jobs, sizes):
    """Memory for five runs of this estimate, or for two in half of it."""
    monkeypatch.setattr(pecl.experiment.fleet_size, "_PROCESS", 0)
    monkeypatch.setattr(pecl.experiment.fleet_size, "bytes_of_slot", lambda *_: GIB)
    monkeypatch.setattr(pecl.experiment.fleet_size, "memory_of", lambda _: 7 * GIB)
    configs = [make_config({**small, "epochs": 1, "seed": seed}) for seed in range(4)]
    (task, *_) = _Run(configs, "auto", Processes(jobs), None).tasks
    assert task.share == jobs
    assert [result.fleet.size for result in train_fleet(configs, share=task.share)] == sizes


def test_the_estimate_is_that_of_a_hand_count():
    tower = tiny_tower()
    lengths = [len(row) for row in tower.tokenize(sentences(20))]
    longest = sorted(lengths)[-10:]
    per_token = 2 * (10 * 32 + 3 * 48 + 4 * 4 * longest[-1])  # layers, width, width between, heads
    assert bytes_of_slot(tower, 1000, lengths, 10) == 4 * (per_token * sum(longest) + 6 * 1000)


@pytest.mark.parametrize("values", [{}, {"batch_size": 6}, {"anchor": "frozen"}])
def test_the_estimate_covers_what_a_step_keeps_for_its_gradients(small, monkeypatch, values):
    """Counted as PyTorch keeps it: each further run of a fleet keeps at most the estimate, and at least a fifth."""
    tower = tiny_tower(layers=6)
    monkeypatch.setattr(pecl.encoders.towers, "load_text_encoder", lambda *_, **__: tower)
    kept_bytes, estimates = [], []
    train_step, estimate = Trainer.train_step, bytes_of_slot

    def counting(trainer, *arguments, **options):
        kept = {}

        def keep(tensor):
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            found = train_step(trainer, *arguments, **options)
        kept_bytes.append(sum(storage.nbytes() for storage in kept.values()))
        return found

    def noting(*arguments):
        estimates.append(estimate(*arguments))
        return estimates[-1]

    monkeypatch.setattr(Trainer, "train_step", counting)
    monkeypatch.setattr(pecl.experiment.fleet_size, "bytes_of_slot", noting)
    most = []
    for size in (1, 4):
        kept_bytes.clear()
        train_fleet([make_config({**small, "epochs": 1, "seed": seed, **values}) for seed in range(size)])
        most.append(max(kept_bytes))
    of_each = (most[1] - most[0]) / 3
    assert max(estimates) / 5 < of_each < max(estimates)


def test_memory_is_that_of_the_machine_or_of_its_container(monkeypatch, tmp_path):
    monkeypatch.setattr(pecl.experiment.fleet_size, "_LIMITS", (str(tmp_path / "max"), str(tmp_path / "old")))
    whole = memory_of(torch.device("cpu"))
    (tmp_path / "max").write_text("max\n")
    assert memory_of(torch.device("cpu")) == whole > GIB
    (tmp_path / "old").write_text("1000\n")
    assert memory_of(torch.device("cpu")) == 1000
    assert memory_of(torch.device("meta")) is None


def test_a_tower_whose_dropout_is_drawn_for_a_batch_trains_one_run_at_a_time(members):
    tower = tiny_tower()
    tower.backbone.config._attn_implementation = "flex_attention"
    few = members(tower=tower)
    assert largest_fleet(few, 1000) == 1
    assert largest_fleet(members(tower=tower, dropout=False), 1000) > 1
    with pytest.raises(ConfigError, match="fleet: expected 1 with the text tower 'tiny-xlm-roberta'"):
        check_size(few, 1)

    without_dropout = members(tower=tower, dropout=False)
    with pytest.raises(ConfigError, match="fleet: expected at most 1, which fit into the memory here"):
        check_size(without_dropout, 1)


def test_such_a_tower_does_so_on_a_device_of_unknown_memory_too(members, monkeypatch):
    monkeypatch.setattr(pecl.experiment.fleet_size, "memory_of", lambda device: None)
    tower = tiny_tower()
    assert largest_fleet(members(tower=tower), 1000) == pecl.experiment.fleet_size.MOST
    tower.backbone.config._attn_implementation = "flex_attention"
    assert largest_fleet(members(tower=tower), 1000) == 1


STEPS = 4  # of a training
HERE = torch.get_num_threads()
MORE = HERE + 1


@pytest.fixture
def small(small):
    """Return the small experiment's values, of fewer steps: threads that wait for each other take long."""
    return {**small, "epochs": 2}


def numbers_at(monkeypatch, owner, name):
    """Return a list that grows by the number of threads with each call of a method."""
    found, plain = [], getattr(owner, name)

    def noting(*arguments, **options):
        found.append(torch.get_num_threads())
        return plain(*arguments, **options)

    monkeypatch.setattr(owner, name, noting)
    return found


def test_a_run_computes_with_the_threads_that_it_records(small, monkeypatch):
    steps = numbers_at(monkeypatch, Trainer, "train_step")
    evaluations = numbers_at(monkeypatch, RetrievalEvaluator, "__call__")
    config = make_config({**small, "threads": MORE})
    assert train(config).environment.machine.threads == MORE
    assert evaluate(config).environment.machine.threads == MORE
    assert set(steps) == set(evaluations) == {MORE}
    assert torch.get_num_threads() == HERE
    with pytest.raises(ConfigError, match="unknown adapter"):
        train(replace(config, adapter="lorra"))
    assert torch.get_num_threads() == HERE
    result = train(replace(config, threads=None, seed=2))
    assert (result.config.threads, result.environment.machine.threads) == (None, HERE)


def test_a_run_goes_on_from_a_state_of_its_own_number_alone(small, tmp_path, caplog):
    config = make_config({**small, "threads": MORE})
    with interrupted_after(3):
        train(config)
    with interrupted_after(2):
        train(replace(config, threads=HERE))
    said = f"was interrupted with {MORE} threads and has {HERE} now"
    assert said in caplog.text
    assert len(list((Path(small["out"]) / ".state").iterdir())) == 2
    caplog.clear()
    with counted_steps() as steps:
        train(config)
    assert steps == list(range(3, STEPS))
    assert "was interrupted with" not in caplog.text
    assert not (Path(small["out"]) / ".state").exists()


def test_frozen_embeddings_of_another_number_are_not_taken(small, tmp_path):
    _store_of.cache_clear()  # what earlier tests keep at hand is not written

    def folders(number):
        evaluate(make_config({**small, "threads": number}))
        return set((tmp_path / "cache" / FOLDER).iterdir())

    one, two = folders(MORE), folders(HERE)
    assert len(one) == 2  # text, and images
    assert len(two) == 4
    assert folders(MORE) == two
