"""Tables and sentences of documents that scripts make: they are what the shipped results say."""

import re

import pytest
from helpers.project import ROOT, script
from helpers.report_results import DIRECTIONS, made, ranked

SCRIPTS = {
    "readme_table": "README.md",
    "results_tables": "docs/results.md",
    "effect_tables": "docs/effect.md",
    "languages_page": "docs/languages.md",
    "search_tables": "docs/search.md",
}
SCORES = {"tzm": 10, "sw": 90, "fi": 50}


@pytest.mark.parametrize(("name", "page"), SCRIPTS.items())
def test_a_page_has_what_its_script_makes_of_the_results(name, page):
    text = (ROOT / page).read_text("utf-8")
    assert script("marked").filled(text, script(name).PARTS) == text
    assert len(re.findall("<!-- end -->", text)) == len(script(name).PARTS)


def test_a_part_without_its_marks_is_refused():
    with pytest.raises(ValueError, match=r"expected <!-- gap --> .* once in the page"):
        script("marked").filled("<!-- gap -->\n<!-- end -->\n<!-- gap -->\n<!-- end -->\n", {"gap": lambda: "1"})
    found = script("marked").filled("a\n<!-- gap -->\nold\n<!-- end -->\nb\n", {"gap": lambda: "new"})
    assert found == "a\n<!-- gap -->\nnew\n<!-- end -->\nb\n"


def test_columns_of_numbers_are_to_the_right():
    lines = script("marked").table(["a", "b", "c"], [["cs", "0.1", "**0.2**"], ["de", "", "+0.1 [0, 1]"]]).splitlines()
    assert lines[1] == "| --- | ---: | ---: |"


def on_text(kind, code, **found):
    """Return a result on a made-up XTD200 of 100 captions, of which `found` says how many each stage finds."""
    states = {stage: dict.fromkeys(DIRECTIONS["english"], ranked(hits, 100)) for stage, hits in found.items()}
    return made(kind, states, dataset="xtd200", gallery="english", language=code)


def test_the_page_of_languages_counts_gains_and_losses(monkeypatch):
    """Of three made-up languages one gains, one stays, one loses; an evaluation replaces a training's own recall."""
    page = script("languages_page")
    trained = [on_text("train", code, zero_shot=50, final=0, best=hits) for code, hits in SCORES.items()]
    rows = page.measured(trained)
    assert [(row.code, round(row.gain, 2)) for row in rows] == [("sw", 0.4), ("fi", 0), ("tzm", -0.4)]
    assert rows[0].share == pytest.approx(0.8)
    monkeypatch.setattr(page, "shown", lambda: rows)
    assert "of the gain lies above zero in 1 and below zero in 1." in " ".join(page.summary().split())
    assert "Not in its pretraining: 1 languages, 0.500 before, 0.100 after" in page.summary()
    assert page.all_languages().splitlines()[2].startswith("| Swahili (sw) | Latn | 18 | 0.500 | **0.900** | +0.400 [")
    assert page.weakest().splitlines()[2].startswith("| Central Atlas Tamazight (tzm) | Tfng | 0.500 | 0.100 | no | 26")
    assert page.draw(rows).render("png") == page.draw(rows[::-1]).render("png")
    again = page.measured([*trained, on_text("evaluate", "fi", zero_shot=60)])
    assert next(row.gain for row in again if row.code == "fi") == pytest.approx(-0.1)
