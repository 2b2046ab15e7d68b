"""docs/effect.md says what the shipped results say, and the runs behind it keep the rules that it states."""

import importlib.util

import pytest
from helpers.project import ROOT

from pecl.results.result import collect

EFFECT = ROOT / "results" / "measured" / "effect"
LARGEST_SHARE = 0.0025  # of the tower's parameters
RUNS = [result for result in collect([EFFECT]) if result.kind == "train"]
ON_TEXT = [result for result in RUNS if result.config.text is not None]


def script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_of_the_page_are_those_of_the_results():
    page = (ROOT / "docs" / "effect.md").read_text("utf-8")
    assert script("effect_tables").filled(page) == page


def test_every_table_has_its_place_on_the_page():
    page = (ROOT / "docs" / "effect.md").read_text("utf-8")
    for name in script("effect_tables").TABLES:
        assert page.count(f"<!-- {name} -->\n") == 1


@pytest.mark.parametrize("result", ON_TEXT, ids=lambda result: f"{result.path.parent.name}/{result.name}")
def test_runs_on_text_never_saw_a_test_caption_and_stay_in_the_budget(result):
    overlap = result.data.translations.provenance["overlap"]
    assert overlap["dropped"] == overlap["pairs"]
    assert result.config.overlap == "drop"
    assert not result.config.image_weight
    assert result.config.choose == "text"
    assert result.adapter.share <= LARGEST_SHARE


@pytest.mark.parametrize("result", RUNS, ids=lambda result: f"{result.path.parent.name}/{result.name}")
def test_runs_are_recorded_by_a_clean_checkout(result):
    assert result.environment.commit
    assert result.environment.dirty is False
