"""Comparisons recomputed by hand from the ranks in the results' JSON."""

import csv
import io
import itertools
import json

import numpy as np
import pytest
from helpers.report_results import train, write
from scipy import stats

import pecl
from pecl.cli import main
from pecl.errors import ConfigError, DataError

LANGUAGES = {"de": (4, 9, 6), "cs": (3, 8, 8), "fr": (5, 7, 9)}  # hits before, by method1, by baseline1


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    runs = []
    for language, (before, first, second) in LANGUAGES.items():
        runs.append(train(before, first, language=language, route="method1", seed=1))
        runs.append(train(before, first + 1, language=language, route="method1", seed=2))
        runs.append(train(before, second, language=language, route="baseline1"))
    runs.append(train(4, 5, size=30, language="de", route="method2"))  # another gallery
    return write(tmp_path_factory.mktemp("results"), *runs)


def hits(folder, language, route):
    """Return hits of each item, averaged over both directions and seeds, from the JSON files."""
    found = []
    for path in folder.glob(f"{language}-{route}-*.json"):
        ranks = json.loads(path.read_text("utf-8"))["ranks"]["test"]["best"]
        found.append(np.mean([np.array(own) == 1 for own in ranks.values()], axis=0))
    return np.mean(found, axis=0)


def test_rows_are_recomputed_by_hand(folder):
    by_language, over_languages = pecl.compare(folder, "method1", "baseline1")
    differences = {code: hits(folder, code, "method1") - hits(folder, code, "baseline1") for code in LANGUAGES}

    draws = np.random.default_rng(7).integers(20, size=(20_000, 20))
    for row in by_language.rows:
        values = differences[row["language"]]
        assert row["difference"] == pytest.approx(values.mean())
        interval = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
        assert [row["difference_low"], row["difference_high"]] == pytest.approx(interval, abs=0.026)
        different = values[values != 0]
        sums = [abs(np.dot(signs, different)) for signs in itertools.product([-1, 1], repeat=len(different))]
        assert row["p"] == pytest.approx(np.mean(np.array(sums) >= abs(different.sum()) - 1e-9))
    ordered = sorted(by_language.rows, key=lambda row: row["p"])
    assert ordered[0]["p_holm"] == pytest.approx(min(1, 3 * ordered[0]["p"]))

    (row,) = over_languages.rows
    means = [values.mean() for values in differences.values()]
    assert row["difference"] == pytest.approx(np.mean(means))
    assert row["wins_ties_losses"] == "2/0/1"
    assert row["p"] == pytest.approx(stats.wilcoxon(np.round(means, 9), method="exact").pvalue)


def test_all_are_compared_with_the_best_by_validation(tmp_path):
    runs = [train(4, 9, val=0.5, route="method1"), train(4, 6, val=0.7, route="baseline1")]
    (table,) = pecl.compare(write(tmp_path, *runs), "best")
    # method1 is better on the test part, but validation chooses
    assert {(row["first"], row["second"]) for row in table.rows} == {
        ("baseline1", "method1"),
        ("baseline1", "zero-shot"),
    }


def test_adapters_of_one_method_are_contestants(tmp_path):
    runs = [train(4, 9, adapter="lora"), train(4, 6, adapter="bottleneck")]
    (table,) = pecl.compare(write(tmp_path, *runs), "method1 lora", "method1 bottleneck")
    assert table.rows[0]["difference"] == pytest.approx(3 / 20)


def test_no_runs_are_compared_twice_or_with_themselves(tmp_path):
    """`method1` is `method1 lora`, the better one, and `baseline1` is `baseline1 lora`."""
    runs = [
        train(4, 9, val=0.8, adapter="lora", route="method1"),
        train(4, 7, val=0.6, adapter="bottleneck", route="method1"),
        train(4, 6, val=0.5, adapter="lora", route="baseline1"),
    ]
    (table,) = pecl.compare(write(tmp_path, *runs), "best")
    assert {row["first"] for row in table.rows} == {"method1"}
    assert sorted(row["second"] for row in table.rows) == ["baseline1", "method1 bottleneck", "zero-shot"]


@pytest.mark.parametrize("style", ["text", "markdown", "latex", "csv", "json"])
def test_the_command_writes_every_format(folder, style, tmp_path, capsys):
    command = ["report", str(folder), "--compare", "method1", "baseline1", "--format", style, "--out", str(tmp_path)]
    assert main(command) == 0
    paths = [tmp_path / name for name in map(str.strip, capsys.readouterr().out.splitlines())]
    assert [path.stem for path in paths] == ["comparison", "comparison-languages"]
    text = paths[0].read_text("utf-8")
    if style == "csv":
        rows = list(csv.DictReader(io.StringIO(text)))
        assert [row["language"] for row in rows] == sorted(LANGUAGES)
    assert "baseline1" in text


def test_a_wrong_name_has_the_nearest(folder, capsys):
    with pytest.raises(ConfigError, match=r"unknown method 'methd1'.*did you mean 'method1'"):
        pecl.compare(folder, "methd1", "baseline1")
    with pytest.raises(ConfigError, match="expected two names or more"):
        pecl.compare(folder, "method1")
    with pytest.raises(DataError, match="no results that were measured alike"):
        pecl.compare(folder, "method1", "method2")
    assert main(["report", str(folder), "--compare", "methd1", "baseline1"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_each_table_states_what_its_intervals_resample(folder):
    by_language, over_languages = pecl.compare(folder, "method1", "baseline1")
    assert "2,000 resamples of the test items of a language" in " ".join(by_language.notes)
    assert "2,000 resamples of the languages and of the test items" in " ".join(over_languages.notes)
