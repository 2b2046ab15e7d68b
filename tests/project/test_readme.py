"""The README: short, its table made from the results, and its sentences true of code and results."""

import re

import pytest
from helpers.project import ROOT
from safetensors import safe_open

from pecl.cli import build_parser
from pecl.commands import COMMANDS
from pecl.config.routes import ROUTES
from pecl.report.tables import chosen_candidates
from pecl.report.tables.statistics import intervals
from pecl.results.result import collect

README = " ".join((ROOT / "README.md").read_text("utf-8").split())
MEASURED = ROOT / "results" / "measured"


def says(sentence):
    assert sentence in README, f"the README says no more: {sentence}"


@pytest.fixture(scope="module")
def routes():
    return [result for result in collect([MEASURED / "routes"]) if result.kind == "train"]


def test_it_is_short():
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150


def test_the_tower_has_117_million_parameters_and_a_lora_165_888(routes):
    says(
        "117 million parameters in the text tower, and 165,888 (few-shot) or 187,648 (distilled) more for each language"
    )
    distilled = collect([MEASURED / "effect" / "pairs28k"])
    assert {result.adapter.trainable for result in distilled} == {187_648}
    assert {round((result.adapter.total - result.adapter.trainable) / 1e6) for result in routes} == {117}
    assert {result.adapter.trainable for result in routes} == {165_888}


def test_there_are_five_routes():
    says("There are five, as in the paper.")
    assert len(ROUTES) == 5


def test_embeddings_of_the_mini_pair_are_256_wide():
    says("# (1, 256)")
    with safe_open(ROOT / "pecl/encoders/loading/mini_heads.safetensors", "np") as file:
        shapes = {tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    assert {max(shape) if len(shape) == 1 else shape[0] for shape in shapes} == {256}


def test_few_shot_routes_do_not_gain(routes):
    says("Few-shot routes do not gain here")
    candidates = [one for one in chosen_candidates(routes) if one.language != "en"]
    lows = intervals([one.gains for one in candidates])[:, 0]
    assert len(candidates) == 15
    assert max(lows) <= 0


def test_the_figures_are_of_one_set_of_900_photographs(routes):
    says("of one set of 900 photographs")
    assert {(result.data.gallery.kind, result.data.gallery.size) for result in routes} == {("images", 900)}


def test_every_command_has_help_with_an_example_and_says_quiet_and_verbose():
    says("Each has `--help` with an example, `--quiet` and `--verbose`.")
    (action,) = [one for one in build_parser()._actions if isinstance(one.choices, dict)]
    assert set(action.choices) == set(COMMANDS)
    for name, parser in action.choices.items():
        text = parser.format_help()
        assert re.search(r"example", text), name
        assert "--quiet" in text, name
        assert "--verbose" in text, name


def test_python_and_licence_are_those_of_the_package():
    says("Linux, Python 3.10 or newer")
    says("MIT, see [LICENSE](LICENSE)")
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'requires-python = ">=3.10"' in project
    assert 'license = "MIT"' in project
    assert (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License")


def test_folders_of_the_tree_are_there():
    tree = (ROOT / "README.md").read_text("utf-8").split("```\npecl/\n")[1].split("```")[0]
    package, rest = tree.split("scripts/  ")
    for name in re.findall(r"\b(\w+)/(?=\s)", package):
        assert (ROOT / "pecl" / name).is_dir(), name
    for name in ["scripts", *re.findall(r"\b(\w+)/(?=\s)", rest)]:
        assert (ROOT / name).is_dir(), name
