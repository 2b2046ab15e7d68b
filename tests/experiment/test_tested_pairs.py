"""An adapter is tested on pairs that neither trained it nor chose its weights, in whatever table they are."""

import json
from pathlib import Path

import pandas as pd
import pytest
from helpers.folders import flags
from helpers.small_experiment import tiny_towers

from pecl.adapters.formats.files import load_adapter_file, read_adapter, write_adapter
from pecl.adapters.training_pairs import TrainingPairs
from pecl.cli import main
from pecl.config import make_config
from pecl.data.splits import few_shot_split
from pecl.errors import ConfigError, DataError
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train
from pecl.report.summary import summary_tables
from pecl.report.tables import report
from pecl.results.result import read_result

TRAINED = {*few_shot_split(24, 6).train, *few_shot_split(24, 6).val}


@pytest.fixture
def trained(small):
    return train(small)


def evaluated(small, trained, **values):
    weights = values.pop("weights", trained.adapter_path)
    return evaluate(make_config({**small, "weights": str(weights), **values}))


def test_an_evaluation_of_the_training_set_is_the_test_of_the_training(small, trained, caplog):
    caplog.set_level("INFO", "pecl.experiment")
    result = evaluated(small, trained)
    assert result.data.split == {"test": 12}
    assert result.data.training_pairs == {"left_out": 12}
    assert sorted(result.ranks("text_to_image")) == sorted(trained.ranks("text_to_image"))
    assert result.recall() == trained.recall()
    assert f"de: 12 of 24 pairs are left out: they trained {trained.adapter_path}" in caplog.text
    assert read_result(result.path) == result


def test_pairs_are_known_in_another_order_language_file_and_table(small, trained, tmp_path):
    table = Path(small["dataset"])
    rows = pd.read_csv(table)
    for name, changed, left in (
        ("reversed", rows[::-1], 12),
        ("other captions", rows.assign(en="new " + rows["en"]), 12),  # the photographs trained it
        ("half", rows.iloc[:12], 12 - sum(i in TRAINED for i in range(12))),
    ):
        path = table.with_name(f"{name}.csv")
        changed.to_csv(path, index=False)
        assert evaluated(small, trained, dataset=str(path)).data.split == {"test": left}, name
    copy = tmp_path / "copied.safetensors"  # without its result
    copy.write_bytes(trained.adapter_path.read_bytes())
    assert evaluated(small, trained, weights=copy, language="fr").data.split == {"test": 12}
    for_text = evaluated(small, trained, gallery="english")
    assert for_text.data.split == {"test": 12}
    assert evaluate({**small, "weights": None}).data.split == {"test": 24}  # the base encoder


def test_all_pairs_are_tested_if_asked_for_and_the_report_marks_it(small, trained, caplog):
    others, everything = evaluated(small, trained), evaluated(small, trained, all_pairs=True)
    assert everything.run_id != others.run_id
    assert everything.data.split == {"test": 24}
    assert everything.data.training_pairs == {"tested": 12}
    assert "12 of 24 tested pairs trained" in caplog.text
    assert "--all-pairs" in everything.command.split()
    plain = evaluate({**small, "weights": None})
    tables = report([others, everything, plain]).named("evaluations")
    marks = {row["run_id"]: row.get("training_pairs") for table in tables for row in table.rows}
    assert marks[others.run_id] == "12 left out"
    assert marks[everything.run_id] == "12 of 24 tested"
    assert marks[plain.run_id] is None
    methods = [row["method"] for table in summary_tables([others, everything, plain]) for row in table.rows]
    assert sorted(methods) == ["adapter file", "adapter file (tested on pairs that trained it, too)", "base encoder"]
    with pytest.raises(ConfigError, match="all_pairs: expected none in a training"):
        train({**small, "all_pairs": True})
    with pytest.raises(ConfigError, match="all_pairs: expected an adapter with it"):
        evaluate({**small, "all_pairs": True})


def test_without_another_pair_nothing_is_tested_or_written(small, trained):
    table = Path(small["dataset"])
    rows = pd.read_csv(table).iloc[sorted(TRAINED)]
    rows.to_csv(table, index=False)
    before = sorted(Path(small["out"]).iterdir())
    with pytest.raises(DataError, match=r"expected pairs that did not train .*, got none among 12: all_pairs=True"):
        evaluated(small, trained)
    assert sorted(Path(small["out"]).iterdir()) == before


def test_an_adapter_that_starts_from_another_knows_the_pairs_of_both(small, trained):
    second = train({**small, "split_seed": 7, "start": str(trained.adapter_path)})
    other = few_shot_split(24, 6, 7)
    both = TRAINED | {*other.train, *other.val}
    assert evaluated(small, second).data.split == {"test": 24 - len(both)}


def test_the_header_of_a_file_has_the_pairs_and_a_conversion_keeps_them(small, trained, tmp_path):
    pairs = load_adapter_file(trained.adapter_path).training_pairs
    assert pairs.splits == (f"{trained.data.dataset}, 6 shots, split seed 42",)
    assert pairs.count == 12
    assert len(pairs.hashes) == 2 * 12  # captions and photographs
    assert TrainingPairs.from_json(json.loads(json.dumps(pairs.to_json()))) == pairs
    tower = tiny_towers().text
    copy = write_adapter(tmp_path / "copy.safetensors", read_adapter(trained.adapter_path, tower), tower)
    assert load_adapter_file(copy).training_pairs == pairs


def test_the_command_leaves_them_out_and_has_a_flag(small, trained, capsys):
    shared = flags({"dataset": small["dataset"], "out": small["out"], "language": "de"})
    for flag, left in (([], 12), (["--all-pairs"], 24)):
        assert main(["evaluate", *shared, "--adapter", str(trained.adapter_path), *flag, "--json"]) == 0
        (document,) = json.loads(capsys.readouterr().out)
        assert document["data"]["split"] == {"test": left}
    assert main(["evaluate", *shared, "--adapter", str(trained.adapter_path), "--all-pairs"]) == 0
    assert "12 of 24 tested" in capsys.readouterr().out
