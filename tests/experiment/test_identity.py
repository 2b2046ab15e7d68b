"""What each field of a config is: whether it changes a run's identity, may differ within a fleet, and chooses data."""

from dataclasses import fields, replace
from typing import Any, NamedTuple

import pytest
from helpers.small_experiment import tiny_towers

import pecl.experiment.loading
from pecl.config import ExperimentConfig, make_config
from pecl.config.recipes import RECIPES, Recipe
from pecl.data.captions import ParallelCaptions
from pecl.errors import ConfigError, PeclError
from pecl.experiment.evaluation import evaluate
from pecl.experiment.fleet import check_fleet
from pecl.experiment.loading import TrainingDataCache, once_per_data
from pecl.grid.configs import fleets

ANCHOR = "with an anchor"  # counts for a training whose route aligns its query to an anchor


class Row(NamedTuple):
    """One field: another value than the default, and what that value changes."""

    other: Any
    training: bool | str  # the identity of a training
    evaluation: bool  # the identity of an evaluation
    fleet: bool  # it may differ within a fleet
    data: bool  # what a training reads, or whether that is enough, depends on it


FIELDS = {
    "profile": Row("paper", training=True, evaluation=True, fleet=False, data=False),
    "text_model": Row("mini-pooled", training=True, evaluation=True, fleet=False, data=False),
    "image_model": Row("some/tower", training=True, evaluation=True, fleet=False, data=False),
    "dataset": Row("xtd10", training=True, evaluation=True, fleet=False, data=True),
    "data_dir": Row("elsewhere", training=False, evaluation=False, fleet=False, data=True),
    "split": Row("test_2016_flickr", training=True, evaluation=True, fleet=False, data=True),
    "allow_missing_images": Row(True, training=True, evaluation=True, fleet=False, data=True),
    "skip_unreadable": Row(True, training=True, evaluation=True, fleet=False, data=True),
    "allow_copied_translations": Row(True, training=True, evaluation=True, fleet=False, data=True),
    "language": Row("fr", training=True, evaluation=True, fleet=True, data=True),
    "joint": Row("de+fr", training=True, evaluation=False, fleet=False, data=False),
    "route": Row("method3", training=True, evaluation=True, fleet=True, data=True),
    "recipe": Row("unpaired", training=True, evaluation=False, fleet=False, data=True),
    "test_query": Row("official-run-cross", training=True, evaluation=True, fleet=True, data=True),
    "train_on": Row("flickr30k200", training=True, evaluation=False, fleet=False, data=True),
    "train_size": Row(2, training=True, evaluation=False, fleet=False, data=True),
    "text": Row("flickr30k200", training=True, evaluation=False, fleet=False, data=True),
    "mixed": Row("multi30k", training=True, evaluation=False, fleet=False, data=True),
    "memory": Row("multi30k", training=True, evaluation=False, fleet=False, data=False),
    "clean": Row(True, training=True, evaluation=False, fleet=False, data=True),
    "overlap": Row("drop", training=True, evaluation=False, fleet=False, data=True),
    "held_out": Row(3, training=True, evaluation=False, fleet=False, data=True),
    "adapter": Row("bitfit", training=True, evaluation=False, fleet=False, data=False),
    "engine": Row("opendelta", training=True, evaluation=False, fleet=False, data=False),
    "rank": Row(1, training=True, evaluation=False, fleet=False, data=False),
    "adapter_layers": Row("top-2", training=True, evaluation=False, fleet=False, data=False),
    "alignment": Row("contrastive", training=ANCHOR, evaluation=False, fleet=True, data=False),
    "alignment_weight": Row(0.1, training=ANCHOR, evaluation=False, fleet=True, data=False),
    "image_weight": Row(0.5, training=True, evaluation=False, fleet=True, data=True),
    "anchor": Row("frozen", training=ANCHOR, evaluation=False, fleet=True, data=False),
    "lr": Row(2e-4, training=True, evaluation=False, fleet=True, data=False),
    "solver": Row("closed-form+gradient", training=True, evaluation=False, fleet=False, data=True),
    "start": Row("cs.safetensors", training=True, evaluation=False, fleet=False, data=False),
    "warmup": Row(2, training=True, evaluation=False, fleet=False, data=False),
    "ema": Row(0.9, training=True, evaluation=False, fleet=False, data=False),
    "choose": Row("text", training=True, evaluation=False, fleet=False, data=True),
    "patience": Row(2, training=True, evaluation=False, fleet=False, data=False),
    "shots": Row(9, training=True, evaluation=False, fleet=False, data=True),
    "epochs": Row(2, training=True, evaluation=False, fleet=False, data=False),
    "batch_size": Row(10, training=True, evaluation=False, fleet=False, data=False),
    "eval_every": Row(10, training=True, evaluation=False, fleet=False, data=False),
    "dropout": Row(False, training=True, evaluation=False, fleet=False, data=False),
    "seed": Row(2, training=True, evaluation=False, fleet=True, data=False),
    "split_seed": Row(43, training=True, evaluation=False, fleet=True, data=True),
    "gallery": Row("english", training=True, evaluation=True, fleet=False, data=True),
    "weights": Row("adapter.safetensors", training=True, evaluation=True, fleet=False, data=False),
    "image_embeddings": Row("images.parquet", training=True, evaluation=True, fleet=False, data=False),
    "all_pairs": Row(True, training=True, evaluation=True, fleet=False, data=False),
    "device": Row("cuda:0", training=True, evaluation=True, fleet=False, data=False),
    "precision": Row("bf16", training=True, evaluation=True, fleet=False, data=False),
    "threads": Row(3, training=False, evaluation=False, fleet=False, data=False),
    "out": Row("elsewhere", training=False, evaluation=False, fleet=False, data=False),
    "report_to": Row("csv", training=False, evaluation=False, fleet=False, data=False),
    "plugin": Row("my.py", training=False, evaluation=False, fleet=False, data=False),
    "processes": Row(2, training=False, evaluation=False, fleet=False, data=False),
}
each_field = pytest.mark.parametrize("name", FIELDS)


@pytest.fixture(autouse=True)
def any_plugin(monkeypatch):
    """Let a config name a plug-in that this process has not run."""
    monkeypatch.setattr("pecl.config.experiment.fingerprint", lambda names: None)


def changed(name, config=None):
    """Return a config, the default one unless another is given, with another value of the field `name`."""
    return replace(config or ExperimentConfig(), **{name: FIELDS[name].other})


def test_every_field_has_a_row():
    assert list(FIELDS) == [item.name for item in fields(ExperimentConfig)]
    assert all(getattr(ExperimentConfig(), name) != row.other for name, row in FIELDS.items())


@each_field
def test_a_field_changes_the_identity_of_what_it_can_change(name):
    plain, row = ExperimentConfig(), FIELDS[name]
    assert (changed(name).run_id() != plain.run_id()) == bool(row.training)
    assert (changed(name).run_id("evaluate") != plain.run_id("evaluate")) == row.evaluation
    baseline = ExperimentConfig(route="baseline1")
    assert (changed(name, baseline).run_id() != baseline.run_id()) == (row.training is True)


@pytest.mark.parametrize(
    ("values", "kind", "run_id"),
    [
        ({}, "train", "8085edfaa445ef03"),
        ({}, "evaluate", "3ab0057145c633bb"),
        ({"route": "baseline2", "language": "fr"}, "train", "f85319ec48540650"),
        ({"joint": "fr+de"}, "train", "5933d478301db260"),
        ({"image_weight": 1, "ema": 0}, "train", "8085edfaa445ef03"),
        ({"joint": "de+fr+de"}, "train", "5933d478301db260"),
        ({"gallery": "english", "weights": "a.safetensors"}, "evaluate", "37be44dc0d94caf2"),
    ],
)
def test_recorded_runs_keep_their_identity(values, kind, run_id):
    assert make_config(values).run_id(kind) == ExperimentConfig(**values).run_id(kind) == run_id


@each_field
def test_a_fleet_differs_in_what_a_slot_learns_alone(name):
    pair = [changed(name), ExperimentConfig()]
    groups = list(fleets(pair, 2))
    if FIELDS[name].fleet:
        check_fleet(pair)
        assert groups == [pair]
    else:
        with pytest.raises(ConfigError, match=rf"^{name}\b"):
            check_fleet(pair)
        assert len(groups) == 2


# --- what is read


def made(places=range(20)):
    columns = [tuple(f"{word} {i}" for i in places) for word in ("house", "Haus", "das Haus", "a house")]
    return ParallelCaptions("made", "de", *columns)


@pytest.fixture
def reading(monkeypatch):
    """Return a function of a config: the data sets it asks for, and the hashes of its data or what they lack."""
    asked = []
    inputs = pecl.experiment.loading
    monkeypatch.setattr(inputs, "load_request", lambda request, decoded: asked.append(request) or made())
    monkeypatch.setattr(
        inputs, "load_dataset", lambda *names, **options: asked.append((names, options)) or made([*range(20), 3])
    )

    def read(config):
        asked.clear()
        try:
            return TrainingDataCache().hashes(config), list(asked)
        except PeclError as error:
            return str(error), list(asked)

    return read


TEXT_ALONE = ExperimentConfig(gallery="english", image_weight=0.0, shots=9)
ON_TEXT = {"text": "flickr30k200", "overlap": "allow"}
READ_WITH = {  # what makes a field matter
    "train_size": {"train_on": "flickr30k200"},
    "text": {**ON_TEXT, "text": "sib200"},
    "held_out": {**ON_TEXT, "choose": "text"},
    "split_seed": {**ON_TEXT, "overlap": "drop"},  # of what is in the test part
    **dict.fromkeys(("mixed", "clean", "overlap", "solver", "choose"), ON_TEXT),
}


@each_field
def test_what_is_read_depends_on_the_inputs_alone(reading, name, registries):
    RECIPES.put("back", Recipe("of translations", "", ("english_to_target",), (), "", make=object))
    config = replace(TEXT_ALONE, **READ_WITH.get(name, {}))
    other = {"gallery": "images", "shots": 10, "held_out": 30, "recipe": "back"}.get(
        name, FIELDS[name].other
    )  # too many for 20 captions
    before, after = reading(config), reading(replace(config, **{name: other}))
    assert isinstance(before[0], dict)
    assert (after != before) == FIELDS[name].data


@each_field
def test_data_are_read_once_for_all_configs_of_the_same_inputs(name):
    read = []
    hashes = once_per_data(lambda config: read.append(config) or {"of": len(read)})
    first, again, other = hashes(ExperimentConfig()), hashes(ExperimentConfig()), hashes(changed(name))
    assert first == again == {"of": 1}
    assert other == {"of": 2 if FIELDS[name].data else 1}


class Noting:
    """A config that notes which of its fields are read."""

    def __init__(self, config):
        self.config, self.read = config, set()

    @property
    def __class__(self):
        return ExperimentConfig  # for `isinstance`

    def __getattr__(self, name):
        if name in FIELDS:
            self.read.add(name)
        return getattr(self.config, name)


def test_an_evaluation_reads_the_fields_of_its_identity_alone(small):
    noting = Noting(make_config({**small, "route": "baseline1"}))
    evaluate(noting)
    # `image_weight` asks for images next to English captions, `start`, `plugin`, `adapter`, `recipe` and `memory` for a
    # digest; places and threads are no part of an identity
    neighbour = {"image_weight", "start", "adapter", "data_dir", "out", "threads", "plugin"}
    neighbour |= {"recipe", "memory"}
    assert noting.read - neighbour == {name for name, row in FIELDS.items() if row.evaluation}


@pytest.mark.parametrize("name", ["profile", "text_model", "image_model", "device", "precision"])
def test_towers_are_loaded_anew_for_every_field_that_names_them(small, name):
    loaded = []

    def load(*names):
        loaded.append(names)
        return tiny_towers()

    config = make_config({**small, "profile": "vit-b-32", "text_model": "a", "image_model": "b"})
    evaluate(config, load)
    other = {"device": "cpu:0", "precision": "bf16"}.get(name, "mini")
    evaluate(replace(config, **{name: other}), load)
    first = {"profile": "vit-b-32", "text_model": "a", "image_model": "b", "device": "cpu", "precision": "fp32"}
    assert loaded == [tuple(first.values()), tuple({**first, name: other}.values())]
