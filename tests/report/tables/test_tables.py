import math
from dataclasses import replace

import pytest
from helpers.report_results import both, changed, evaluate, made, ranked, train, unfinished

from pecl.errors import DataError
from pecl.report.selection.candidates import chosen_candidates
from pecl.report.tables import report
from pecl.report.tables.disparity import disparity_table
from pecl.report.tables.lists import evaluations_table, runs_table
from pecl.report.tables.scores import COMPARISONS, aligned_table, candidates_frame
from pecl.report.tables.table import INTERVAL


def shown(table, heading):
    return [row.get(heading) for row in table.texts.to_dict("records")]


def languages(results):
    return report(results).named("disparity")[0]


def test_language_by_route_by_hand():
    results = [train(4, hits, size=10, seed=seed) for seed, hits in ((1, 6), (2, 7), (3, 8))]
    results += [train(4, 5, size=10, route="baseline1"), train(2, 3, size=10, language="fr")]
    results += [train(5, 6, size=10, route="method3", query="target_to_english")]
    table = report(results).named("routes")[0]
    by_route = {(row["language"], row["route"]): row for row in table.texts.to_dict("records")}
    scores = {key: (row["test text"], row["zero-shot"], row["trained"]) for key, row in by_route.items()}
    assert scores == {
        ("de", "baseline1"): ("captions", "0.400", "0.500"),
        ("de", "method1"): ("captions", "0.400", "0.700 ± 0.100"),
        ("de", "method3"): ("translated", "0.500", "0.600"),
        ("fr", "method1"): ("captions", "0.200", "0.300"),
    }
    method1 = by_route["de", "method1"]
    assert method1["gain"] == "+0.300"
    assert method1[INTERVAL].startswith("[+0.")
    # Ranks are 1 or 10: (.4 + .4 + 1) / 3, and (.7 + .7 + 1) / 3
    assert (method1["R@1,5,10 before"], method1["R@1,5,10 after"]) == ("0.600", "0.800")
    assert {table.rows[place]["route"] for place, _ in table.best} == {"method1"}  # of German captions the better
    (row,) = [row for row in table.rows if (row["language"], row["route"]) == ("de", "method1")]
    assert (row["mean"], row["std"], row["gain"]) == pytest.approx((0.7, 0.1, 0.3))
    assert row["gain_low"] < 0.3 < row["gain_high"]
    assert row["run_ids"] == [result.run_id for result in results[:3]]
    assert row["gallery_size"] == row["test_captions"] == 10


def test_aligned_routes_are_set_against_the_baseline_of_the_same_query():
    assert COMPARISONS == (("method1", "baseline1"), ("method2", "baseline1"), ("method3", "baseline2"))
    results = [train(4, 7, size=10), train(4, 5, size=10, route="baseline1"), train(4, 9, size=10, route="method3")]
    (row,) = report(results).named("aligned")[0].rows
    assert (row["aligned"], row["baseline"]) == ("method1", "baseline1")
    assert row["difference"] == pytest.approx(0.2)
    assert 0 <= row["difference_low"] < 0.2 < row["difference_high"]
    assert aligned_table(chosen_candidates(results[:1])) is None


def test_disparity_by_hand():
    scores = {"de": (4, 6), "fr": (2, 4), "jp": (0, 5)}
    results = [train(before, after, size=10, language=code) for code, (before, after) in scores.items()]
    results += [train(8, 9, size=10, language="en", route="baseline1")]
    plain, trained = [row for row in languages(results).rows if row["condition"] in ("zero-shot", "method1")]
    assert plain["languages"] == ["de", "fr", "jp"]
    assert (plain["mean"], plain["max_minus_min"]) == pytest.approx((0.2, 0.4))
    assert plain["std_population"] == pytest.approx(math.sqrt((0.04 + 0 + 0.04) / 3))
    assert plain["gap_to_english"] == pytest.approx(0.8 - 0.2)
    assert plain["share_closed"] is None
    assert (trained["mean"], trained["gap_to_english"]) == pytest.approx((0.5, 0.3))
    assert trained["share_closed"] == pytest.approx(0.5)


def test_plain_towers_of_another_precision_have_a_row_of_their_own():
    scores = {"fp32": {"de": 4, "fr": 2, "en": 9}, "bf16": {"de": 3, "fr": 1, "en": 8}}
    made = [evaluate(n, size=10, language=code, precision=name) for name in scores for code, n in scores[name].items()]
    found = {row["condition"]: (row["mean"], row["gap_to_english"]) for row in languages(made).rows}
    assert found == {"zero-shot, cpu fp32": pytest.approx((0.5, 0.6)), "zero-shot, cpu bf16": pytest.approx((0.4, 0.6))}


def test_each_route_closes_the_gap_of_its_own_test_text():
    """Translated text starts higher here: 0.6 and 0.4 against 0.2 and 0.2 of captions; English has 0.9."""
    captions = [train(2, hits, size=10, language=code) for code, hits in (("de", 6), ("fr", 5))]
    translated = [
        train(before, after, size=10, language=code, route="method3", query="target_to_english")
        for code, before, after in (("de", 6, 8), ("fr", 4, 6))
    ]
    found = languages([*captions, *translated, train(9, 9, size=10, language="en", route="baseline1")]).rows
    assert [row["condition"] for row in found] == ["zero-shot", "zero-shot (translated)", "method1", "method3"]
    assert [row["mean"] for row in found] == pytest.approx([0.2, 0.5, 0.55, 0.7])
    assert [row["gap_to_english"] for row in found] == pytest.approx([0.7, 0.4, 0.35, 0.2])
    assert [row["share_closed"] for row in found[2:]] == pytest.approx([1 - 0.35 / 0.7, 1 - 0.2 / 0.4])


def _english(hits, run_id, kind=train, **values):
    """A result of English whose score before training is `hits` of 10; equal candidates go by run id."""
    scores = (hits, 10) if kind is train else (hits,)
    found = kind(*scores, **{"size": 10, "language": "en", "route": "baseline1", **values})
    return replace(found, run_id=run_id * 16)


@pytest.mark.parametrize(
    ("others", "used"),
    [
        ([], 8),
        ([_english(3, "0", query="target_to_english")], 8),  # English tested on "translated" text
        ([_english(3, "0", split_seed=7)], 8),  # against other pictures
        ([_english(3, "0", kind=evaluate)], 8),  # the whole set: the same split goes before it
        ([changed(_english(3, "0"), {"config.language": "cs"})], 8),
        ([_english(3, "0", test_query="official-run-cross")], 3),  # English is tested on English in both pairings
    ],
)
def test_the_english_reference_is_zero_shot_on_english_captions_of_the_same_gallery(others, used):
    results = [train(4, 6, size=10, language=code) for code in ("de", "fr")]
    for found in ([*others, _english(8, "5")], [_english(8, "5"), *others]):
        table = disparity_table(chosen_candidates(results), found)
        assert table.rows[0]["english_zero_shot"] == pytest.approx(used / 10)


def test_the_english_reference_has_the_precision_of_the_runs_and_is_named():
    """The fp32 result has the smaller run id and another score; of the bf16 runs none may use it."""
    runs = [train(4, 6, size=10, language=code, precision="bf16") for code in ("de", "fr")]
    other, same = _english(9, "0", precision="fp32"), _english(8, "5", precision="bf16")
    table = disparity_table(chosen_candidates(runs), [*runs, other, same])
    assert [row["english_zero_shot"] for row in table.rows] == pytest.approx([0.8, 0.8])
    assert table.rows[1]["share_closed"] == pytest.approx(0.2 / 0.4)
    assert "English zero-shot 0.800 (bf16, run 55555555)" in table.notes
    without = disparity_table(chosen_candidates(runs), [*runs, other])
    assert [row["share_closed"] for row in without.rows] == [None, None]
    assert "gap to English: no bf16 result of language en on this gallery" in without.notes


def test_a_row_shows_the_validation_score_that_the_candidate_was_chosen_by():
    """Seed 0 is there for only one candidate, so candidates are compared at seed 1."""
    results = [train(2, 6, size=10, seed=0, val=0.9), train(2, 8, size=10, seed=1, val=0.4)]
    results.append(train(2, 7, size=10, seed=1, val=0.3, lr=1e-3))
    (row,) = candidates_frame(chosen_candidates(results)).to_dict("records")
    assert (row["val"], row["mean"], row["gain"]) == pytest.approx((0.4, 0.7, 0.5))
    assert row["seeds"] == [0, 1]


def test_validation_never_chooses_between_distillations_whose_weights_were_chosen_differently():
    by_text = train(4, 6, text="corpus.tsv", choose="text", val=0.4)
    last = train(4, 5, text="corpus.tsv", choose="last", val=0.9)
    run_ids = [candidate.run_ids for candidate in chosen_candidates([by_text, last])]
    assert sorted(run_ids) == sorted([[by_text.run_id], [last.run_id]])

    tables = report([by_text, last]).named("routes")
    assert {table.setup: table.rows[0]["run_ids"] for table in tables} == {
        "trained on corpus.tsv, weights chosen by held-out text": [by_text.run_id],
        "trained on corpus.tsv, weights of the last step": [last.run_id],
    }
    assert [table.setup for table in report([last]).named("routes")] == ["trained on corpus.tsv"]


def test_only_languages_with_a_result_of_every_route_enter_and_the_others_are_named():
    results = [train(4, 6, language=code, route=name) for code in ("de", "fr") for name in ("method1", "baseline1")]
    table = languages([*results, train(1, 2, language="jp")])
    assert [row["languages"] for row in table.rows] == [["de", "fr"]] * 3
    assert "languages left out, since a route has no result of them: jp" in table.notes


@pytest.mark.parametrize("name", ["disparity", "aligned"])
def test_raw_rows_state_a_field_that_came_later_only_if_a_run_changes_it(name):
    """`clean` came later than `train_on`; its default is not recorded with a run either."""

    def first_row(**values):
        results = [
            train(4, hits, size=10, language=code, route=route, **values)
            for code in ("de", "fr")
            for route, hits in (("method1", 7), ("baseline1", 6))
        ]
        assert ("clean" in results[0].config.to_record()) == bool(values)
        return report(results).named(name)[0].rows[0]

    assert first_row(clean=True)["clean"] is True
    row = first_row()
    assert row["train_on"] == "pairs"
    assert "clean" not in row


def test_seconds_per_step_of_a_fleet_are_shared_by_its_runs():
    alone = train(4, 6)
    in_fleet = changed(train(4, 6, adapter="bottleneck"), {"fleet.size": 4, "seconds.per_step": 0.8})
    table = report([alone, in_fleet]).named("adapters")[0]
    assert {row["adapter"]: row["s/step"] for row in table.texts.to_dict("records")} == {
        "lora": "0.10",
        "bottleneck": "0.20",
    }
    assert "s/step: of a fleet, divided by its number of runs" in table.notes

    table = report([alone, train(4, 6, adapter="bottleneck")]).named("adapters")[0]
    assert not any("fleet" in note for note in table.notes)


def test_a_list_of_runs_of_several_groups_states_what_a_heading_would():
    runs = [train(4, 6), train(4, 7, split_seed=7), train(4, 8, test_query="official-run-cross")]
    rows = runs_table(runs).texts.to_dict("records")
    assert sorted((row["split seed"], row["test query"], row["trained R@1"]) for row in rows) == [
        ("42", "official-run-cross", "0.400"),
        ("42", "train-side", "0.300"),
        ("7", "train-side", "0.350"),
    ]
    assert "split seed" not in runs_table([train(4, 6), train(4, 6, lr=1e-3)]).texts

    evaluations = [evaluate(4), evaluate(6, dataset="multi30k-1k", test_query="official-run-cross")]
    rows = evaluations_table(evaluations).texts.to_dict("records")
    assert {(row["dataset"], row["test query"]) for row in rows} == {
        ("xtd10", "train-side"),
        ("multi30k-1k", "official-run-cross"),
    }


@pytest.mark.parametrize("values", [{"train_on": "multi30k-translations"}, {"text": "corpus.tsv"}])
def test_the_note_of_a_distillation_states_no_shots(values):
    assert not any("shots" in note for note in report([train(4, 6, **values)]).named("routes")[0].notes)
    assert "adapter lora, shots 50" in report([train(4, 6)]).named("routes")[0].notes


def test_each_number_of_shots_has_its_own_gallery():
    results = [train(4, 6, size=20, shots=5), train(3, 6, size=10, shots=10)]
    table = report(results).named("shots")[0]
    assert shown(table, "shots") == ["5", "10"]
    assert shown(table, "gallery") == ["20 images", "10 images"]
    assert shown(table, "gain") == ["+0.100", "+0.300"]
    assert "galleries differ between rows: compare gains, not recalls" in table.notes


@pytest.mark.parametrize(
    "values",
    [
        *({"size": 30}, {"dataset": "scenes"}, {"split_seed": 7}, {"test_query": "official-run-cross"}),
        *({"towers": ("other", "image")}, {"sha": {"english": "f" * 64}}),
    ],
)
def test_what_was_measured_differently_is_in_no_table_of_one(values):
    runs = train(4, 6, language="de"), train(4, 6, language="fr", **values)
    found = [{result.run_id for result in table.results} for table in report(runs).tables]
    assert found
    assert not any({run.run_id for run in runs} <= ids for ids in found)


def test_one_language_tested_on_two_texts_and_seeds_trained_on_two_are_refused():
    with pytest.raises(DataError, match=r"data\.sha256\.target begins (t{8} against u{8}|u{8} against t{8})"):
        report([train(4, 6), train(4, 6, route="baseline1", sha={"target": "u" * 64})])
    with pytest.raises(DataError, match="differ only in their seed, but were trained on different captions"):
        report([train(4, 6), train(4, 6, seed=2, sha={"target_to_english": "u" * 64})])
    plain = [train(4, 6, seed=seed) for seed in (1, 2, 3)]  # one of them before photographs were recorded
    seen = [changed(run, {"data.photographs": digest}) for run, digest in zip(plain, "aab", strict=True)]
    assert report([*seen[:2], plain[2]]).named("routes")[0].rows[0]["seeds"] == [1, 2, 3]
    with pytest.raises(DataError, match="differ only in their seed, but were trained on different captions, photog"):
        report(seen)
    made = [train(4, 6, start="old.safetensors", seed=seed) for seed in (1, 2, 3)]  # one of them before files were said
    seeds = [changed(one, {"data.files": {"start": digest}}) for one, digest in zip(made, "aab", strict=True)]
    assert report([*seeds[:2], made[2]]).named("routes")[0].rows[0]["seeds"] == [1, 2, 3]
    with pytest.raises(DataError, match="differ only in their seed, but were trained on different files of start"):
        report(seeds)


def test_failed_and_interrupted_runs_are_counted():
    failed = unfinished(train(4, 6), run_id="f" * 16)
    stopped = unfinished(train(4, 6), "interrupted", run_id="a" * 16)
    assert report([train(4, 6), failed, stopped]).left_out == "1 failed: ffffffff; 1 interrupted: aaaaaaaa"
    with pytest.raises(DataError, match=r"no complete results here \(1 failed: ffffffff\)"):
        report([failed])


def test_several_captions_an_image_are_counted_as_captions():
    ranks = both(ranked(3, 5), ranked(10, 25))
    result = made("train", dict.fromkeys(("zero_shot", "final", "best"), ranks))
    result = changed(result, {"data.gallery.items": [i % 5 for i in range(25)]})
    (row,) = report([result]).named("routes")[0].rows
    assert (row["gallery_size"], row["test_captions"]) == (5, 25)
    assert row["mean"] == pytest.approx((3 / 5 + 10 / 25) / 2)


def test_a_share_of_a_gap_within_its_noise_is_not_stated():
    """English is one caption of 20 ahead of both languages: the interval of that gap reaches 0."""
    near = [train(10, 12, language=code) for code in ("de", "fr")]
    english = train(11, 11, language="en", route="baseline1")
    plain, trained = languages([*near, english]).rows
    assert plain["gap_to_english"] == pytest.approx(0.05)
    assert plain["gap_low"] == 0
    assert trained["share_closed"] is None
    far = [train(2, 6, language=code) for code in ("de", "fr")]
    plain, trained = languages([*far, english]).rows
    assert 0 < plain["gap_low"] < 0.45 < plain["gap_high"]
    assert trained["share_closed"] == pytest.approx(1 - 0.25 / 0.45)
