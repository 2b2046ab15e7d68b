"""Folders of results in a notebook: the DataFrame against the JSON files, tables against the command."""

import json
import math
import subprocess
import sys

import pandas as pd
import pytest
from helpers.report_results import evaluate, train, unfinished, write

import pecl
import pecl.report
from pecl.cli import main
from pecl.errors import DataError


@pytest.fixture
def folder(tmp_path):
    failed = unfinished(train(4, 9, seed=3), error="RuntimeError: out of memory")
    return write(tmp_path, train(4, 9), train(4, 7, gallery="english", language="cs"), evaluate(4), failed)


def _stage(row):
    return None if pd.isna(row["stage"]) else row["stage"]


def test_rows_are_those_of_the_json_files(folder):
    frame = pecl.read_results(folder)
    rows = {(row["run_id"], _stage(row)): row for row in frame.to_dict("records")}

    expected = set()
    for path in folder.glob("*.json"):
        record = json.loads(path.read_text("utf-8"))
        metrics_by_part = record.get("metrics", {})
        stages = metrics_by_part.get("test", {None: {}})
        for stage, measured in stages.items():
            row = rows[record["run_id"], stage]
            expected.add((record["run_id"], stage))
            assert (row["status"], row["kind"], row["path"]) == (record["status"], record["kind"], path)
            assert all(row[name] == value for name, value in record["config"].items() if value is not None)
            assert all(
                row[f"{direction} recall@{k}"] == metrics[f"recall@{k}"]
                for direction, metrics in measured.items()
                if isinstance(metrics, dict)
                for k in (1, 5, 10)
            )
            if stage is not None:
                assert row["mean_recall@1"] == measured["mean_recall@1"]
                assert row["gallery_size"] == record["data"]["gallery"]["size"] == 20
            validation = metrics_by_part.get("val", {}).get(stage)
            assert validation is None or row["val mean_recall@1"] == validation["mean_recall@1"]
            if "adapter" in record:
                assert row["trainable"] == record["adapter"]["trainable"] == 1000
                assert row["train_seconds"] == record["seconds"]["train"]
            else:
                assert math.isnan(row["trainable"])
    assert rows.keys() == expected
    assert len(frame) == len(expected) == 3 + 3 + 1 + 1  # two trainings, an evaluation, a failure


def test_a_failed_run_is_one_row_with_its_error(folder):
    frame = pecl.read_results([folder])
    (row,) = frame[frame["status"] == "failed"].to_dict("records")
    assert row["error"] == "RuntimeError: out of memory"
    assert _stage(row) is None
    assert math.isnan(row["mean_recall@1"])


def test_tables_are_those_of_the_command(folder, capsys):
    tables = pecl.make_tables(folder, where=["gallery=images"])
    assert main(["report", str(folder), "--where", "gallery=images", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)["tables"]
    assert [table.to_dict() for table in tables.tables] == printed
    assert tables.named("routes")[0].frame["gain"].tolist() == pytest.approx([5 / 20])


def test_a_pruned_run_has_its_validation_recall_and_steps(tmp_path):
    pruned = unfinished(train(4, 9, seed=3), "pruned", validation_recall=0.625, steps=40)
    frame = pecl.read_results(write(tmp_path, pruned, train(4, 9, val=0.5)))
    by_status = frame.groupby("status")[["val mean_recall@1", "steps"]].max()
    assert by_status.loc["pruned"].tolist() == [0.625, 40]
    assert by_status.loc["complete"].tolist() == [0.5, 10]


def test_tables_can_be_iterated(folder):
    tables = pecl.make_tables(folder, where=["gallery=images"])
    assert [table.name for table in tables] == [table.name for table in tables.tables]
    assert len(tables) == len(tables.tables) > 2


def test_seeds_in_several_folders_are_one_candidate_and_a_run_in_two_counts_once(tmp_path):
    """Of 20 items: 4 before, 6, 9 and 12 after."""
    runs = [train(4, hits, seed=seed) for seed, hits in enumerate((6, 9, 12))]
    folders = [write(tmp_path / "a", *runs[:2]), write(tmp_path / "b", *runs[1:])]
    (row,) = pecl.make_tables(folders).named("routes")[0].rows
    assert (row["seeds"], row["mean"]) == ([0, 1, 2], pytest.approx(9 / 20))
    assert sorted(set(pecl.read_results(folders)["run_id"])) == sorted(run.run_id for run in runs)
    assert len(pecl.read_results(folders)) == 3 * 3  # three stages of each run


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"results folder .*nowhere does not exist"):
        pecl.read_results(tmp_path / "nowhere")


def test_public_names_hide_no_package():
    code = "import sys, pecl; {}; import pecl.grid, pecl.report; assert pecl.grid.expand and pecl.report.__path__"
    names = "pecl.run_grid, pecl.read_results, pecl.make_tables"
    subprocess.run([sys.executable, "-c", code.format(names)], check=True)


def test_reading_results_imports_no_torch(folder):
    code = "import sys, pecl; pecl.read_results(sys.argv[1]); assert not {'torch', 'transformers'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True)
    code = "import sys, pecl; assert not {'torch', 'pandas', 'numpy'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
