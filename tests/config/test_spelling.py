"""One run has one run id, however its options are written."""

import json

import pytest
from helpers.project import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from pecl.adapters.kinds.lora import LoraConfig
from pecl.adapters.spec import parse_adapter
from pecl.config import ExperimentConfig, make_config
from pecl.config.spelling import LORA_RANK, one_spelling
from pecl.errors import ConfigError


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"rank": 8}, {}),
        ({"rank": "8"}, {"adapter": "lora:r=8"}),
        ({"rank": 4}, {"adapter": "lora:r=4"}),
        ({"rank": 4}, {"adapter": "lora:r=2", "rank": 4}),
        ({"adapter": "lora-only+head:rank=3", "rank": 4}, {"adapter": "lora-only:r=4+head:rank=3"}),
        (
            {"adapter": "lora:target_modules=key/value", "rank": 4},
            {"adapter": "lora:target_modules=key/value,r=4"},
        ),
        ({"adapter_layers": "top-3", "rank": 2}, {"adapter": "lora:r=2,layers=top-3"}),
        ({"adapter_layers": "top-3", "rank": 2}, {"adapter": "lora:layers=top-3", "rank": 2}),
        ({"adapter": "bottleneck:layers=top-1"}, {"adapter": "bottleneck", "adapter_layers": "top-1"}),
        ({"alignment": "mse"}, {"alignment": "mse:1"}),
        ({"alignment": "mse:1.0+match:0.10"}, {"alignment": "mse+match:.1"}),
        ({"alignment": "mse:2"}, {"alignment": "mse:2.0"}),
    ],
)
def test_two_spellings_of_one_run_have_one_run_id(one, other):
    assert make_config(one) == make_config(other)
    for values in (one, other):
        config, written = make_config(values), {"adapter": "lora", "rank": None, "adapter_layers": None, **values}
        rank = written["rank"] and int(written["rank"])
        expected = parse_adapter(written["adapter"], rank, written["adapter_layers"])
        assert parse_adapter(config.adapter, config.rank, config.adapter_layers) == expected
        assert make_config(config.to_dict()) == config


@pytest.mark.parametrize(
    "values",
    [
        {"rank": 4},
        {"rank": 1},
        {"adapter": "lora-only"},
        {"adapter": "lora-r1"},
        {"adapter": "lora+head:rank=8"},
        {"adapter": "lora:target_modules=key"},
        {"adapter": 'lora:target_modules="r=8,x|:"'},
        {"adapter": "word_embeddings:rank=8"},
        {"adapter": "lora+layernorm:layers=top-3"},
        {"alignment": "mse:0.5"},
        {"alignment": "mse+mse"},
    ],
)
def test_other_runs_keep_run_ids_of_their_own(values):
    config = make_config(values)
    assert config == ExperimentConfig(**values)
    assert config.run_id() != ExperimentConfig().run_id()


@settings(max_examples=50)
@given(
    adapter=st.text('lora:r=48,+-onyhed"\\ ', max_size=20) | st.none() | st.integers(),
    rank=st.none() | st.integers(-1, 9) | st.text("4r", max_size=2) | st.booleans(),
    alignment=st.text("mse+:10.nai", max_size=12) | st.integers(),
)
def test_wrong_values_stay_for_the_check(adapter, rank, alignment):
    spelled = one_spelling({"adapter": adapter, "rank": rank, "alignment": alignment})
    assert one_spelling(spelled) == spelled
    if not isinstance(adapter, str):
        assert spelled["adapter"] == adapter
    if isinstance(rank, str | bool) or (rank is not None and rank < 1):
        assert spelled["rank"] is rank


def test_the_default_rank_is_that_of_lora():
    assert LoraConfig().r == LORA_RANK


def test_recorded_runs_are_found_under_their_run_ids():
    """The runs of configs/distill.yaml and full_data.yaml are older: they name the default rank."""
    count, others = 0, set()
    packed = sorted((ROOT / "results" / "measured").rglob("results.jsonl"))
    lines = [(path, line) for path in packed for line in path.read_text("utf-8").splitlines()]
    for path, line in lines:
        document = json.loads(line)
        count += 1
        config = make_config({**ExperimentConfig().to_dict(), **document["config"]})
        if config.run_id(document["kind"]) != document["run_id"]:
            others.add((path.parent.name, document["config"]["rank"]))
    assert count > 500
    assert others <= {("distill", 8), ("full_data", 8)}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"clean": True}, r"^clean: expected translated text with it, such as text='captions\.tsv'; leave it out$"),
        ({"clean": True, "train_on": "sib200"}, "^clean: expected translated text"),
        ({"overlap": "drop"}, "^overlap: expected translated text .* got drop$"),
        ({"overlap": "allow", "train_on": "multi30k-translations"}, "^overlap: expected translated text"),
    ],
)
def test_options_of_text_are_refused_without_text(small, values, message):
    from pecl.experiment.run import train

    with pytest.raises(ConfigError, match=message):
        train({**small, **values})
