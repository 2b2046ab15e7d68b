"""Whole runs with the engine peft: training, resuming, distilling, evaluating, merging and exporting."""

import json
from dataclasses import replace

import pytest
import torch
from helpers.interrupted import interrupted_after
from helpers.small_experiment import DISTILLATION, write_text
from helpers.tiny import sentences, tiny_tower

from pecl.adapters.bank import AdapterBank
from pecl.adapters.formats.files import load_adapter_file
from pecl.config import make_config
from pecl.errors import ConfigError
from pecl.experiment.distil import distil
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train, train_fleet
from pecl.grid.configs import fleets

peft = pytest.importorskip("peft")

ROUTES = ("baseline1", "baseline2", "method1", "method2", "method3")
RESUMED = (
    "lora:r=2,lora_dropout=0.1",
    "vera:r=8",
    "adalora:init_r=4,target_r=1,tinit=1,tfinal=2",
    "adamss:r=8,use_asa=true,asa_target_subspaces=4,init_warmup=1,final_warmup=6,mask_interval=2",
    "trainable_tokens:tokens=8+head:rank=2",
)


@pytest.fixture
def values(small):
    return {**small, "engine": "peft", "rank": None, "gallery": "english"}


@pytest.mark.parametrize("route", ROUTES)
def test_every_route_trains_a_method_of_peft(values, route):
    result = train({**values, "route": route, "adapter": "vera:r=8"})
    assert result.status == "complete"
    assert result.adapter.spec == "vera:r=8"
    assert result.adapter.trainable == 4 * (8 + 32)  # query and value of two layers
    folder = result.adapter_path.with_suffix("")
    assert json.loads((folder / "adapter_config.json").read_text("utf-8"))["peft_type"] == "VERA"


@pytest.mark.parametrize("adapter", RESUMED)
def test_a_killed_run_ends_with_the_same_bits(values, tmp_path, adapter):
    config = make_config({**values, "adapter": adapter})
    for more in (2, 3):
        with interrupted_after(more):
            train(config)
    resumed = train(config)
    whole = train(replace(config, out=str(tmp_path / "whole")))
    assert resumed.adapter.sha256 == whole.adapter.sha256
    assert resumed.curve == whole.curve
    assert resumed.best_step > 0


@pytest.mark.parametrize("steps", [5, 6, 7])
def test_adalora_killed_in_its_last_steps_keeps_the_ranks_that_it_chose(values, tmp_path, steps):
    """In the last four of eight steps AdaLoRA chooses no more ranks: it cuts those of a pattern outside its tensors."""
    config = make_config({**values, "adapter": "adalora:init_r=4,target_r=1,tinit=1,tfinal=4", "choose": "last"})
    config = replace(config, eval_every=1)
    with interrupted_after(steps):
        train(config)
    resumed = train(config)
    whole = train(replace(config, out=str(tmp_path / "whole")))
    assert resumed.adapter.sha256 == whole.adapter.sha256
    folders = [result.adapter_path.with_suffix("") / "adapter_config.json" for result in (resumed, whole)]
    patterns = [json.loads(folder.read_text("utf-8"))["rank_pattern"] for folder in folders]
    assert patterns[0] == patterns[1]
    assert 0 < sum(map(sum, patterns[0].values())) < 16


def test_adalora_ends_with_its_target_of_ranks(values):
    spec = "adalora:init_r=4,target_r=1,tinit=1,tfinal=2"
    result = train({**values, "adapter": spec, "choose": "last"})
    state = load_adapter_file(result.adapter_path).state
    kept = [int((value != 0).sum()) for name, value in state.items() if ".lora_E." in name]
    assert sum(kept) == 4  # of 16; one for each of the four layers on average
    config = json.loads((result.adapter_path.with_suffix("") / "adapter_config.json").read_text("utf-8"))
    assert [sum(ranks) for ranks in config["rank_pattern"].values()] == [max(ranks, 1) for ranks in kept]
    assert config["total_step"] == result.steps


def test_an_average_does_not_bring_back_ranks_that_adalora_cut(values):
    spec = "adalora:init_r=4,target_r=1,tinit=1,tfinal=2"
    result = train({**values, "adapter": spec, "choose": "last", "ema": 0.5})
    state = load_adapter_file(result.adapter_path).state
    assert sum(int((value != 0).sum()) for name, value in state.items() if ".lora_E." in name) == 4


def test_distil_solves_a_head_beside_a_method_of_peft(values, tmp_path):
    text = write_text(tmp_path / "text.tsv")
    options = {**DISTILLATION, "engine": "peft", "adapter": "vera:r=8+head:rank=3"}
    result = distil(**options, dataset=values["dataset"], text=text, out=str(tmp_path / "out"))
    assert result.adapter.spec == "vera:r=8+head:rank=3"
    assert len(result.closed_form) == 2


def test_an_adapter_is_evaluated_banked_and_merged(values):
    trained = train({**values, "adapter": "lora:r=2,use_dora=true+head"})
    other = train({**values, "adapter": "lora:r=2,use_dora=true+head", "language": "fr"})
    measured = evaluate({**values, "weights": str(trained.adapter_path)})
    assert measured.adapter.spec == trained.adapter.spec
    tower, texts = tiny_tower(), sentences(4, seed=5)
    bank = AdapterBank.from_files(tower, [trained.adapter_path, other.adapter_path])
    assert bank.adapters == ["de", "fr"]
    both = bank.encode_text([*texts, *texts], ["de"] * 4 + ["fr"] * 4)
    assert not torch.allclose(both[:4], both[4:])
    for language, rows in (("de", both[:4]), ("fr", both[4:])):
        assert torch.allclose(bank.merge(language).encode_text(texts), rows, atol=1e-5)
    bank.remove("de")
    assert torch.equal(bank.encode_text(texts, "fr"), both[4:])


def test_layers_below_the_topmost_are_cached(values):
    spec = "fourierft:n_frequency=20"
    result = train({**values, "adapter": spec, "adapter_layers": "top-1", "dropout": False})
    assert result.adapter.trainable == 2 * 20
    names = load_adapter_file(result.adapter_path).state
    assert all(".layer.1." in name for name in names)


def test_a_start_continues_an_adapter_of_peft(values, tmp_path):
    first = train({**values, "adapter": "vera:r=8"})
    again = {**values, "adapter": "vera:r=8", "start": str(first.adapter_path), "lr": 0.0, "out": str(tmp_path / "b")}
    start, end = (load_adapter_file(one.adapter_path).state for one in (first, train(again)))
    assert all(torch.equal(value, end[name]) for name, value in start.items())


def test_runs_are_trained_one_by_one(values):
    configs = [make_config({**values, "adapter": "vera:r=8", "seed": seed}) for seed in (1, 2)]
    assert [len(group) for group in fleets(configs)] == [1, 1]
    with pytest.raises(ConfigError, match="fleet: expected 1 with engine peft, got 2; or use engine pecl"):
        train_fleet(configs)
