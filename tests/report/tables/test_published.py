import pytest
from helpers.report_results import both, evaluate, made, ranked, train

from pecl.encoders.towers import PAIRS
from pecl.languages import LANGUAGES
from pecl.report.tables import report
from pecl.report.tables.paper import published_table, read_published

PAPER = (PAIRS["paper"].text, PAIRS["paper"].image)


def found(hits, language="de", size=1000, **values):
    """Return an evaluation that finds `hits` captions' images among the first 10, none at once."""
    ranks = both([size] * size, [10] * hits + [11] * (size - hits))
    return made("evaluate", {"zero_shot": ranks}, language=language, **values)


def ours(results, model):
    table = published_table(read_published(), results)
    (row,) = [row for row in table.shown if row["model"] == model and row["whose"] == "ours"]
    return {code: row[code] for code in read_published()["languages"] if row[code]}, table


def test_published_numbers_are_those_of_the_sources():
    published = read_published()
    models = {row["model"]: row["scores"] for row in published["rows"]}
    assert models["M-CLIP XLM-R-L / ViT-L/14"] == {
        "en": 92.4, "de": 90.6, "es": 91.0, "fr": 90.0, "zh": 89.7, "it": 91.1, "pl": 91.3, "ko": 85.2, "ru": 85.8,
        "tr": 90.3, "jp": 81.9,
    }  # fmt: skip
    assert [scores["jp"] for scores in models.values()] == [73.9, 81.0, 81.9, 84.2, 18.9, 92.3, 90.5]
    assert [scores["en"] for scores in models.values()] == [91.6, 91.8, 92.4, 95.0, 91.8, 95.1, 96.8]
    assert (published["gallery"], published["metric_name"]) == (
        {"kind": "images", "size": 1000},
        "text-to-image R@10",
    )
    assert all(row["source"] and set(row["scores"]) == set(published["languages"]) for row in published["rows"])
    assert set(published["languages"]) <= set(LANGUAGES)


def test_published_pairs_are_the_towers_that_profiles_name():
    pairs = {(row["text_tower"], row["image_tower"]) for row in read_published()["rows"]}
    known = {(pair.text, pair.image) for name, pair in PAIRS.items() if name != "mini"}
    assert pairs - {(None, None)} <= known


def test_our_run_of_the_same_pair_stands_below_and_the_rest_stays_empty():
    run = found(905, towers=PAPER)
    scores, table = ours([run], "M-CLIP XLM-R-L / ViT-L/14")
    assert scores == {"de": "90.5"}
    assert ours([run], "M-CLIP XLM-R-L / ViT-B/32")[0] == {}
    assert table.run_ids == [run.run_id]
    assert "text-to-image R@10, per cent" in table.note
    assert "gallery: 1,000 images" in table.note
    assert run.run_id[:8] in table.short_ids


def test_another_pair_of_ours_has_a_row_of_its_own_that_names_it():
    scores, _ = ours([found(123, language="fr", towers=("mini", "mini"))], "mini / mini")
    assert scores == {"fr": "12.3"}


@pytest.mark.parametrize(
    "result",
    [
        found(800, size=900, towers=PAPER),
        found(800, dataset="multi30k-1k", towers=PAPER),
        found(800, query="target_to_english", route="baseline2", towers=PAPER),
        train(400, 500, size=1000, towers=PAPER),
        made("evaluate", {"best": both(ranked(5, 1000), ranked(5, 1000))}, weights="x.safetensors", towers=PAPER),
        made(
            "evaluate",
            {"zero_shot": {"english_to_text": ranked(5, 1000), "text_to_english": ranked(5, 1000)}},
            gallery="english",
            towers=PAPER,
        ),
    ],
    ids=["900 images", "another set", "translated", "trained", "with an adapter", "English captions"],
)
def test_what_was_measured_otherwise_never_enters(result):
    scores, table = ours([result], "M-CLIP XLM-R-L / ViT-L/14")
    assert scores == {}
    assert table.results == ()
    assert "no run yet" in table.note
    if result.data.dataset == "xtd10":
        assert "1 of our runs on xtd10 kept out" in table.note


def test_the_table_is_part_of_a_report_on_demand():
    results = [evaluate(9, language="en")]
    assert not report(results).named("published")
    assert report(results, against="published").all_of("published")[0].title.startswith("Published")
