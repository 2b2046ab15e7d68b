"""Choices and marks that a small fault would change without a wrong type: ties, missing languages, three seeds."""

import numpy as np
import pytest
from helpers.report_results import both, changed, evaluate, made, train, unfinished, write
from scipy import stats

import pecl
from pecl.errors import DataError
from pecl.report.plots.style import error, estimate
from pecl.report.selection.candidates import chosen_candidates, setups_of
from pecl.report.selection.groups import select, select_unfinished
from pecl.report.tables import report
from pecl.report.tables.columns import best_fields
from pecl.report.tables.comparison import comparison_tables
from pecl.report.tables.lists import evaluations_table, runs_table
from pecl.report.tables.table import Column, frame_of


def test_the_best_is_that_over_the_languages_of_all():
    """Over its own languages baseline1 is better, since it lacks the hard one."""
    runs = [train(4, 9, val=val, language=code, route="method1") for code, val in (("de", 0.6), ("cs", 0.1))]
    runs.append(train(4, 7, val=0.5, language="de", route="baseline1"))
    runs[1] = changed(runs[1], {"metrics.val.zero_shot.mean_recall@1": 0.0})
    by_language = comparison_tables(runs, ["best"])[0]
    assert {row["first"] for row in by_language.rows} == {"method1"}


def with_captions(found_images, found_captions, **values):
    """A training whose three images have ten captions, of which those numbered are found at once."""
    ranks = both(
        [1 if i in found_images else 3 for i in range(3)], [1 if i in found_captions else 3 for i in range(10)]
    )
    result = made("train", dict.fromkeys(("zero_shot", "final", "best"), ranks), **values)
    return changed(result, {"data.gallery.items": [i % 3 for i in range(10)]})


def test_means_that_differ_by_rounding_only_are_ties():
    """Each finds one image and five captions, but not the same ones: the sums of thirds differ by 1e-16."""
    runs = []
    for language in ("de", "cs"):
        runs.append(with_captions({0}, {0, 3, 4, 5, 9}, language=language, route="method1"))
        runs.append(with_captions({2}, {3, 4, 6, 7, 9}, language=language, route="baseline1"))
    assert runs[0].hits("best").mean() != runs[1].hits("best").mean()
    tables = comparison_tables(runs, ["method1", "baseline1"])
    assert tables[1].rows[0]["wins_ties_losses"] == "0/2/0"
    assert [row["difference"] for row in tables[0].rows] == [0.0, 0.0]


@pytest.mark.parametrize("swapped", [False, True])
def test_a_difference_of_rounding_errors_is_zero_without_a_sign(swapped):
    """Each finds one image and four captions: the mean of the items' differences is 4e-17 or -4e-17."""
    routes = ["baseline1", "method1"] if swapped else ["method1", "baseline1"]
    runs = [with_captions({1}, {0, 3, 6, 9}, route=routes[0]), with_captions({2}, {1, 3, 5, 8}, route=routes[1])]
    assert abs((runs[0].hits("best") - runs[1].hits("best")).mean()) > 0
    (row,) = comparison_tables(runs, ["method1", "baseline1"])[0].rows
    assert str(row["difference"]) == "0.0"


def test_a_mean_over_languages_counts_each_language_once_whatever_its_number_of_seeds():
    """German .45 of three seeds against .25, Czech .1 of one seed against .2: .275 and .225."""
    runs = [train(4, hits, seed=seed, route="method1") for seed, hits in enumerate((6, 9, 12))]
    runs += [train(4, 2, language="cs", route="method1")]
    runs += [train(4, hits, language=code, route="baseline1") for code, hits in (("de", 5), ("cs", 4))]
    (row,) = comparison_tables(runs, ["method1", "baseline1"])[1].rows
    assert (row["first_score"], row["second_score"], row["difference"]) == pytest.approx((0.275, 0.225, 0.05))
    assert row["difference_low"] < 0.05 < row["difference_high"]


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


def interval_of(values):
    """Return the percentile bootstrap interval of the mean, by SciPy."""
    found = stats.bootstrap((values,), np.mean, method="percentile", n_resamples=9999, rng=np.random.default_rng(3))
    return list(found.confidence_interval)


def test_gain_and_interval_are_of_the_mean_over_all_seeds():
    """Of 20: 4 before; 6, 7 and 14 after, whose mean is 9 and whose median is 7."""
    runs = [train(4, hits, seed=seed) for seed, hits in enumerate((6, 7, 14))]
    (row,) = report(runs).named("routes")[0].rows
    assert (row["mean"], row["gain"]) == pytest.approx((9 / 20, 5 / 20))
    hits = np.array([1] * 6 + [2 / 3] + [1 / 3] * 7 + [0] * 6) - np.array([1] * 4 + [0] * 16)
    assert [row["gain_low"], row["gain_high"]] == pytest.approx(interval_of(hits), abs=0.02)


def test_intervals_of_lists_begin_with_their_low_end():
    (evaluated,) = evaluations_table([evaluate(6)]).rows
    assert [evaluated["low"], evaluated["high"]] == pytest.approx(interval_of([1] * 6 + [0] * 14), abs=0.03)
    (trained,) = runs_table([train(4, 9)]).rows
    assert [trained["gain_low"], trained["gain_high"]] == pytest.approx(interval_of([1] * 5 + [0] * 15), abs=0.03)


def test_all_conditions_hold():
    runs = [train(4, 9, language=code, route=name) for code in ("de", "cs") for name in ("method1", "baseline1")]
    conditions = ["language=cs", "route=method1"]
    assert select(runs, conditions) == select(runs, conditions[::-1]) == [runs[2]]
    failed = [unfinished(run) for run in runs]
    assert select_unfinished(failed, conditions) == [failed[2]]


def test_the_plain_tower_is_the_best_where_its_validation_score_is_the_highest():
    """Training lowered the validation score from .3 to .2, and raised the test score."""
    by_language = comparison_tables([train(4, 9, val=0.2)], ["best"])[0]
    assert [(row["first"], row["second"]) for row in by_language.rows] == [("zero-shot", "method1")]


def test_runs_that_validation_passed_over_are_described_without_their_seeds():
    runs = [train(4, 9, val=0.7, lr=1e-3, seed=seed) for seed in (1, 2)]
    runs += [train(4, 6, val=0.5, lr=1e-4, seed=seed) for seed in (1, 2)]
    notes = comparison_tables(runs, ["method1", "zero-shot"])[0].footnotes
    assert "left out, chosen by seeds and validation: of method1 in de: 2 runs with other lr" in notes


def test_numbers_in_names_of_setups_are_sorted_as_numbers():
    runs = [train(4, 9, text="corpus.tsv", train_size=size) for size in (5000, 600, 50)]
    assert [name.split(", ")[1] for name in setups_of(runs)] == ["50 of them", "600 of them", "5,000 of them"]


def test_rows_are_sorted_by_language_and_route_and_runs_by_rate_then_seed():
    runs = [train(4, 9, lr=lr, seed=seed) for lr in (1e-3, 1e-4) for seed in (2, 1)]
    rows = runs_table(runs).rows
    assert [(row["lr"], row["seed"]) for row in rows] == [(1e-4, 1), (1e-4, 2), (1e-3, 1), (1e-3, 2)]

    runs = [train(4, 9, language=code, route=name) for code in ("fr", "de") for name in ("method1", "baseline1")]
    rows = report(runs).named("routes")[0].rows
    assert [(row["language"], row["route"]) for row in rows] == [
        *(("de", "baseline1"), ("de", "method1")),
        *(("fr", "baseline1"), ("fr", "method1")),
    ]


def test_the_note_has_all_numbers_of_captions_and_no_seed_of_an_english_reference():
    shots = report([train(4, 6, size=20, shots=5), train(3, 6, size=10, shots=10)]).named("shots")[0]
    assert "n = 10, 20 test captions" in shots.notes
    runs = [train(4, hits, language=code, seed=1) for code, hits in (("de", 6), ("fr", 5))]
    runs.append(train(9, 9, language="en", route="baseline1", seed=7))
    assert "seed 1" in report(runs).named("disparity")[0].notes


def test_a_small_p_is_never_zero():
    column = Column("p", "{p:p}")
    assert [column.text({"p": p}) for p in (0.0, 0.0004, 0.0005, 0.0494)] == ["<0.001", "<0.001", "0.001", "0.049"]
