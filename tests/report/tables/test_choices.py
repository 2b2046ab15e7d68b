"""Choices and marks that a small fault would change without a wrong type: ties, missing languages, three seeds."""

import numpy as np
import pytest
from helpers.report_results import changed, train, unfinished, write
from scipy import stats

import pecl
from pecl.errors import DataError
from pecl.report.plots.style import error, estimate
from pecl.report.selection.candidates import chosen_candidates
from pecl.report.selection.groups import select_unfinished
from pecl.report.tables.columns import best_fields
from pecl.report.tables.comparison import comparison_tables
from pecl.report.tables.table import frame_of


def test_the_best_is_that_over_the_languages_of_all():
    """Over its own languages baseline1 is better, since it lacks the hard one."""
    runs = [train(4, 9, val=val, language=code, route="method1") for code, val in (("de", 0.6), ("cs", 0.1))]
    runs.append(train(4, 7, val=0.5, language="de", route="baseline1"))
    runs[1] = changed(runs[1], {"metrics.val.zero_shot.mean_recall@1": 0.0})
    by_language = comparison_tables(runs, ["best"])[0]
    assert {row["first"] for row in by_language.rows} == {"method1"}


def test_means_that_differ_by_rounding_only_are_ties():
    """0.1 + 0.2 is not 0.3: hits of three seeds with equal sums, in another order."""
    one, other = (3, 9, 7), (7, 3, 9)
    runs = []
    for language in ("de", "cs"):
        for route, hits in (("method1", one), ("baseline1", other)):
            runs += [train(2, count, size=11, language=language, route=route, seed=i) for i, count in enumerate(hits)]
    tables = comparison_tables(runs, ["method1", "baseline1"])
    assert tables[1].rows[0]["wins_ties_losses"] == "0/2/0"
    assert [row["difference"] for row in tables[0].rows] == [0.0, 0.0]


def test_error_bars_have_low_below_and_high_above():
    hits = np.array([1.0] * 2 + [0.0] * 38)  # skewed: the interval is longer above
    mean, low, high = estimate(hits)
    exact = [stats.binom.ppf(q, 40, 0.05) / 40 for q in (0.025, 0.975)]
    assert [low, high] == pytest.approx(exact, abs=0.013)
    assert error(np.array([mean, low, high])).ravel().tolist() == pytest.approx([0.05 - low, high - 0.05])
    assert estimate(hits, 0.5, 0.1).tolist() == pytest.approx([0.5, 0.4, 0.6])
    assert error(np.array([0.5, 0.4, 0.7])).ravel().tolist() == pytest.approx([0.1, 0.2])


def test_unfinished_runs_are_selected_by_the_kind_of_their_gallery():
    images, english = (unfinished(train(4, 9, gallery=kind)) for kind in ("images", "english"))
    assert select_unfinished([images, english], ["gallery_kind=english"]) == [english]
    assert select_unfinished([images, english], ["gallery_kind=images"]) == [images]


@pytest.mark.parametrize("name", ["plugin", "start"])
def test_seeds_with_other_files_are_refused(name):
    runs = [train(4, 9, seed=seed) for seed in (1, 2, 3)]
    files = [changed(run, {"data.files": {name: "b" if run.config.seed == 3 else "a"}}) for run in runs]
    with pytest.raises(DataError, match=f"differ only in their seed.*files of {name}"):
        chosen_candidates(files)
    (candidate,) = chosen_candidates(files[:2])
    assert candidate.seeds == [1, 2]


def test_rows_that_lack_the_same_value_have_a_best_one():
    rows = [{"language": "de", "photographs": None, "mean": mean} for mean in (0.2, 0.4, 0.3)]
    rows += [{"language": "de", "photographs": 50, "mean": 0.1}]
    assert best_fields(frame_of(rows), ("language", "photographs"), "mean", "trained") == {(1, "trained")}


def test_ties_of_validation_go_to_the_lowest_run_id_not_to_the_test_score():
    runs = [train(4, 9, val=0.5, lr=1e-4), train(4, 6, val=0.5, lr=1e-3), train(4, 7, val=0.5, lr=1e-2)]
    (candidate,) = chosen_candidates(runs)
    assert candidate.run_ids == [min(run.run_id for run in runs)]
    assert len(candidate.passed_over) == 2


def test_the_deviation_is_that_of_a_sample_of_three_seeds(tmp_path):
    runs = [train(4, hits, seed=seed) for seed, hits in enumerate((6, 9, 12))]
    (row,) = pecl.make_tables(write(tmp_path, *runs)).named("routes")[0].rows
    assert row["mean"] == pytest.approx(9 / 20)
    assert row["std"] == pytest.approx(stats.tstd([0.3, 0.45, 0.6]))


def test_the_seed_of_the_choice_is_that_of_most_candidates():
    """At seed 2, which two of three have, the first is better; at the lowest seed, the only other."""
    runs = [train(4, 9, val=0.9, lr=1e-3, seed=1), train(4, 8, val=0.4, lr=1e-4, seed=2)]
    runs.append(train(4, 7, val=0.6, lr=1e-2, seed=2))
    (candidate,) = chosen_candidates(runs)
    assert (candidate.config.lr, candidate.compared, candidate.aside) == (1e-2, 2, 1)
