"""docs/results.md says what the shipped results say, and the runs behind it keep the rules that it states."""

import re
import shlex

import pytest
from helpers.project import ROOT

from pecl.cli import build_parser
from pecl.commands.grid import grid_configs
from pecl.commands.options import language_configs
from pecl.results.result import collect

EFFECT = ROOT / "results" / "measured" / "effect"
LARGEST_SHARE = 0.0025  # of the tower's parameters


@pytest.fixture(scope="module")
def shown():
    return collect([EFFECT])


@pytest.fixture(scope="module")
def runs(shown):
    return [result for result in shown if result.kind == "train"]


@pytest.fixture(scope="module")
def on_text(runs):
    return [result for result in runs if result.config.text is not None]


def commands():
    """Return the commands of the page between its marks, as lists of words."""
    page = (EFFECT / "README.md").read_text("utf-8")
    parts = re.findall(r"<!-- commands of .*? -->\n(.*?)<!-- end -->", page, re.DOTALL)
    lines = [line for part in parts for line in part.replace("\\\n", " ").splitlines()]
    return [shlex.split(line)[1:] for line in lines if line.startswith("pecl ")]


def configs_of(words):
    parsed = build_parser([words[0]]).parse_args(words)
    return grid_configs(parsed) if words[0] == "grid" else language_configs(parsed)


def test_the_commands_of_the_page_name_the_runs_of_its_tables(shown, monkeypatch):
    monkeypatch.chdir(ROOT)
    named = {(config.run_id(words[0].replace("grid", "train"))) for words in commands() for config in configs_of(words)}
    assert named == {result.run_id for result in shown if "closed_form" not in result.path.parent.name}


def test_runs_on_text_never_saw_a_test_caption_and_stay_in_the_budget(on_text):
    for result in on_text:
        folder, overlap = result.path.parent.name, result.data.translations.provenance["overlap"]
        assert overlap["dropped"] == overlap["pairs"], result.path
        assert (result.config.overlap, result.config.choose) == ("drop", "text"), result.path
        assert bool(result.config.image_weight) is (folder == "images"), result.path
        assert (result.adapter.share > LARGEST_SHARE) is (folder == "full"), result.path  # the ceiling
