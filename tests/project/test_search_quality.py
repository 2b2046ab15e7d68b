"""The figures of searches in docs/search.md: they hold the bars of the project, and are of the shipped settings."""

import json
from statistics import mean

import pytest
from helpers.project import ROOT

from pecl.files.rows import open_rows
from pecl.retrieval.hubs import REFERENCES, ROWS

FIGURES = json.loads((ROOT / "results" / "search_quality.json").read_text("utf-8"))
LANGUAGES = ("en", "cs", "de", "fr")


def recall(words, way, language, k=10):
    (row,) = (
        row for row in FIGURES["lengths"] if (row["words"], row["way"], row["language"]) == (words, way, language)
    )
    return row[f"recall@{k}"]


def test_the_figures_are_of_the_shipped_reference_captions():
    tensors, metadata = open_rows(REFERENCES / "mini.safetensors")
    shipped = {"references": len(tensors[ROWS]), "sharpness": float(metadata["sharpness"])}
    assert FIGURES["settings"] == {**shipped, "weight": float(metadata["weight"])}


@pytest.mark.parametrize("language", LANGUAGES)
def test_corrected_recall_of_whole_captions_is_not_below_plain_recall(language):
    rows = {row["method"]: row for row in FIGURES["hubs"]["rows"] if row["language"] == language}
    assert rows["corrected"]["recall@1"] >= rows["plain"]["recall@1"]
    assert rows["corrected"]["recall@10"] > rows["plain"]["recall@10"]


@pytest.mark.parametrize("words", [1, 2, 3])
def test_adapters_do_not_lower_recall_of_short_queries(words):
    gains = [recall(words, "adapted", one) - recall(words, "plain", one) for one in LANGUAGES[1:]]
    assert min(gains) >= 0
    assert mean(gains) > 0


@pytest.mark.parametrize("words", [1, 2, 3])
def test_a_detected_language_finds_as_much_as_a_named_one(words):
    for way in ("detected", "detected of four"):
        lost = mean(recall(words, "corrected", one) - recall(words, way, one) for one in LANGUAGES)
        assert lost <= 0.01, way


def test_a_foreign_word_in_a_query_loses_nothing_that_the_plain_tower_finds():
    rows = {(row["language"], row["way"]): row for row in FIGURES["foreign"]}
    for language in LANGUAGES[1:]:
        assert rows[language, "plain"]["queries"] >= 100
        for way in ("adapted", "detected", "detected of four"):
            assert rows[language, way]["recall@10"] >= rows[language, "plain"]["recall@10"]


def test_a_query_in_a_hundred_thousand_photographs_takes_less_than_20_milliseconds():
    assert FIGURES["milliseconds"]["corrected search"] < 20


def test_short_queries_are_the_first_content_words(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from search_queries import short_queries

    assert short_queries(["A man with a red-striped hat.", "Of the"], "en", 2) == ["man red-striped", "Of the"]
    assert short_queries(["Muž v červeném kabátě jde přes most."], "cs", 3) == ["muž červeném kabátě"]
