"""Comparisons recomputed by hand from the ranks in the results' JSON."""

import csv
import io
import itertools
import json

import numpy as np
import pytest
from helpers.report_results import changed, ranked, train, write
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
        assert row["p_over"] == "items"  # baseline1 has one seed
        assert row["second_std"] is None
        _, first, _ = LANGUAGES[row["language"]]
        assert row["first_std"] == pytest.approx(np.std([first / 20, (first + 1) / 20], ddof=1))
    ordered = sorted(by_language.rows, key=lambda row: row["p"])
    assert ordered[0]["p_holm"] == pytest.approx(min(1, 3 * ordered[0]["p"]))

    (row,) = over_languages.rows
    means = [values.mean() for values in differences.values()]
    assert row["difference"] == pytest.approx(np.mean(means))
    assert row["wins_ties_losses"] == "2/0/1"
    assert row["p"] == pytest.approx(stats.wilcoxon(np.round(means, 9), method="exact").pvalue)


def test_with_several_seeds_p_and_interval_are_over_seeds_and_items(tmp_path):
    """The difference is nearly the same for every item, but not for every seed."""
    scores = {"method1": (30, 50, 70), "baseline1": (20, 40, 45)}
    runs = [
        train(5, hits, size=100, route=route, seed=seed)
        for route, of_seeds in scores.items()
        for seed, hits in enumerate(of_seeds)
    ]
    (table,) = pecl.compare(write(tmp_path, *runs), "method1", "baseline1", "zero-shot")
    row, plain = table.rows
    first, second = (np.array([ranked(hits, 100) for hits in of_seeds]) == 1 for of_seeds in scores.values())

    def expected(one, other):
        items = (one.mean(axis=0) - other.mean(axis=0)).var(ddof=1) / 100
        seeds = [side.mean(axis=1).var(ddof=1) / 3 for side in (one, other) if len(side) > 1]
        variance = items + sum(seeds)
        freedom = variance**2 / (items**2 / 99 + sum(part**2 / 2 for part in seeds))
        mean = one.mean() - other.mean()
        half = stats.t.ppf(0.975, freedom) * variance**0.5
        return 2 * stats.t.sf(mean / variance**0.5, freedom), mean - half, mean + half

    for found, other in ((row, second), (plain, np.array([ranked(5, 100)]) == 1)):
        values = [found["p"], found["difference_low"], found["difference_high"]]
        assert values == pytest.approx(expected(first, other), rel=1e-6)
        assert found["p_over"] == "seeds and items"
    assert row["p_over_items"] < 0.001 < 0.2 < row["p"]
    assert (row["first_std"], row["second_std"]) == pytest.approx((0.2, np.std([0.2, 0.4, 0.45], ddof=1)))
    assert (row["first_seeds"], plain["second_seeds"], plain["second_std"]) == ([0, 1, 2], [], None)
    assert table.texts["first score"].tolist() == ["0.500 ± 0.200"] * 2


def test_the_text_below_a_table_has_family_test_correction_and_number(folder, capsys):
    command = ["report", str(folder), "--compare", "method1", "baseline1", "zero-shot", "--where", "language=de"]
    assert main([*command, "--where", "gallery_size=20"]) == 0
    above, _, below = capsys.readouterr().out.replace("\n", " ").partition("Differences by language")
    for part in (
        "sign flips; it takes the seeds as they are",
        "Welch's t",
        "family: the rows of this table, 2 compari",
    ):
        assert part in below
        assert part not in above
    assert "correction: Holm's" in below
    by_language, over_languages = pecl.compare(folder, "method1", "baseline1", "zero-shot")
    assert "family: the rows of this table, 6 comparisons; correction: Holm's" in by_language.footnotes
    assert "family: the rows of this table, 2 comparisons; correction: Holm's" in over_languages.footnotes


def test_the_engine_is_part_of_a_name(tmp_path):
    """The same adapter of two engines, of which validation prefers the one that is worse on the test part."""
    spec = "lora:r=4"
    runs = [train(4, 9, val=0.5, adapter=spec), train(4, 6, val=0.7, adapter=spec, engine="peft")]
    folder = write(tmp_path, *runs)
    names = "method1 engine=pecl", "method1 engine=peft"
    (table,) = pecl.compare(folder, *names)
    assert table.rows[0]["difference"] == pytest.approx(3 / 20)
    assert table.rows[0]["run_ids"] == [run.run_id for run in runs]
    (table,) = pecl.compare(folder, "best")
    assert {row["first"] for row in table.rows} == {names[1]}
    assert {row["second"] for row in table.rows} == {names[0], "zero-shot"}

    (table,) = pecl.compare(folder, "method1", "zero-shot")  # a short name: what it is not is stated
    assert any(f"of method1 in de: it is {names[1]}, not {names[0]}" in note for note in table.footnotes)


@pytest.mark.parametrize(
    ("field", "values"), [("joint", (None, "de+fr")), ("precision", ("fp32", "bf16")), ("clean", (False, True))]
)
def test_every_field_of_a_setting_is_part_of_a_name(field, values, tmp_path):
    runs = [train(4, hits, **{field: value}) for hits, value in zip((6, 9), values, strict=True)]
    text = ["none" if value is None else value for value in values]
    (table,) = pecl.compare(write(tmp_path, *runs), *(f"method1 {field}={value}" for value in reversed(text)))
    assert table.rows[0]["difference"] == pytest.approx(3 / 20)


def test_what_validation_passed_over_is_stated(tmp_path):
    runs = [train(4, 9, val=0.5, lr=lr) for lr in (1e-4, 1e-3)]
    runs += [train(4, 6, val=0.7, lr=1e-2), train(4, 5, route="baseline1")]
    runs.append(train(4, 5, route="baseline1", language="cs"))
    (table,) = pecl.compare(write(tmp_path, *runs), "method1", "baseline1")
    assert "left out, chosen by seeds and validation: of method1 in de: 2 runs with other lr" in table.footnotes
    assert "baseline1 also has cs, which the other method lacks" in table.footnotes


def test_list_prints_the_names_whole(tmp_path, capsys):
    specs = "lora:r=4", "lora:r=4,layers=top-2,target_modules=query/key/value/output+head:rank=50"
    runs = [changed(train(4, 9, adapter=spec, seed=seed), {"adapter.spec": spec}) for spec in specs for seed in (1, 2)]
    folder = write(tmp_path, *runs)
    (table,) = pecl.compare(folder, "list")
    names = [f"method1 {spec}" for spec in specs]
    assert {row["name"]: len(row["run_ids"]) for row in table.rows} == dict.fromkeys([*names, "method1"], 2) | {
        "zero-shot": 1
    }
    assert sorted(table.rows[-1]["one_of"]) == sorted(names)
    assert main(["report", str(folder), "--compare", "list"]) == 0
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert specs[1] in printed
    assert main(["report", str(folder), "--compare", *names]) == 0
    assert specs[1] in capsys.readouterr().out


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
    """`method1` is one of its adapters, and is not compared next to them."""
    runs = [
        train(4, 9, val=0.8, adapter="lora", route="method1"),
        train(4, 7, val=0.6, adapter="bottleneck", route="method1"),
        train(4, 6, val=0.5, adapter="lora", route="baseline1"),
    ]
    (table,) = pecl.compare(write(tmp_path, *runs), "best")
    assert {row["first"] for row in table.rows} == {"method1 lora"}
    assert sorted(row["second"] for row in table.rows) == ["baseline1 lora", "method1 bottleneck", "zero-shot"]


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
    assert "2,000 resamples of the languages, of the seeds of each, and of" in " ".join(over_languages.notes)
