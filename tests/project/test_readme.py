"""README, tables, sentences and figures of documents are what code and shipped results say."""

import re
from functools import cache

import pytest
from helpers.plots import draw_some
from helpers.project import ROOT, tool

from pecl.cli import build_parser
from pecl.commands import COMMANDS
from pecl.report.selection.candidates import chosen_candidates
from pecl.report.selection.groups import group_of, intervals
from pecl.report.summary import summary_tables
from pecl.results.result import collect, read_run

README = " ".join((ROOT / "README.md").read_text("utf-8").split())
MEASURED = ROOT / "results" / "measured"


def says(sentence):
    assert sentence in README, f"the README says no more: {sentence}"


@pytest.fixture(scope="module", autouse=True)
def _each_result_is_read_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pecl.results.result.read_run", cache(read_run))
        yield


@pytest.fixture(scope="module")
def routes():
    return [result for result in collect([MEASURED / "routes"]) if result.kind == "train"]


def test_the_tower_has_118_million_parameters_and_a_distilled_adapter_187_648(routes):
    says("multilingual E5-small in 4 bits (118 million parameters)")
    says("The table's adapters have 187,648 parameters each")
    distilled = collect([MEASURED / "effect" / "pairs28k"])
    assert {result.adapter.trainable for result in distilled} == {187_648}
    assert {round(result.adapter.total / 1e6) for result in routes} == {118}


@pytest.mark.weights
def test_the_first_example_runs_and_its_adapter_brings_a_translation_nearer(capsys):
    page, names = (ROOT / "README.md").read_text("utf-8"), {}
    exec(compile(page.split("```python\n")[1].split("```")[0], "README.md", "exec"), names)
    bank = names["bank"]
    said = re.search(r"ready adapters for (\d+) languages", page)[1]
    assert len(bank.adapters) == int(said)
    parameters = {spec.adapter.num_parameters() for spec in bank.specs}
    assert parameters == {239_616}
    czech, english = bank.tower.encode_text(["pes na pláži", "a dog on the beach"])
    assert float(capsys.readouterr().out[7:-2]) > float(czech @ english) + 0.3


def test_few_shot_routes_do_not_gain(routes):
    says("Few-shot routes do not gain here")
    candidates = [one for one in chosen_candidates(routes) if one.language != "en"]
    lows = intervals([one.gains for one in candidates])[:, 0]
    assert len(candidates) == 15
    assert max(lows) <= 0


def test_summary_and_figures_have_the_scores_of_the_readme(routes):
    """Score, gain and share of the gap of distillation are one number each, wherever they stand."""
    text = (ROOT / "README.md").read_text("utf-8")
    lines = re.findall(r"\| \w+ \((\w+)\) .*\*\*([\d.]+)\*\* \| (\S+) .* (\d+) % \|", text)
    complete = collect(
        [folder for folder in sorted(MEASURED.glob("*/")) if folder.name not in ("methods", "comparison", "recipes")]
    )
    own = [result for result in complete if group_of(result) == group_of(routes[0])]
    (table,) = summary_tables(own)
    rows = {row["language"]: row for row in table.rows if row["method"] == "method1 (text, held-out)"}
    said = [(code, f"{row['mean']:.3f}", f"{row['gain']:+.3f}", row["share_closed"]) for code, row in rows.items()]
    assert lines == [(code, score, gain, f"{share:.0%}".removesuffix("%")) for code, score, gain, share in said]
    assert len(said) == 3
    plots = {plot.name: plot for plot in draw_some(own, "recall", "gap-closed").plots}
    (recall,), (closed,) = (plots[name].figure.axes for name in ("recall", "gap-closed"))
    points = {f"{bar.lines[0].get_xdata()[0]:.3f}" for bar in recall.containers}
    shares = {f"{bar.get_width():.0f}" for bar in closed.patches}
    assert {score for _, score, _, _ in lines} <= points
    assert {share for _, _, _, share in lines} <= shares


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


SCRIPTS = [
    ("README.md", "readme_table", "PARTS"),
    ("docs/results.md", "results_tables effect_tables", "PARTS"),
    ("results/measured/README.md", "results_tables", "MORE"),
    ("results/measured/effect/README.md", "effect_tables", "OF_RUNS"),
    ("docs/language_results.md", "languages_page", "PARTS"),
    ("results/measured/languages/README.md", "languages_page", "OF_LANGUAGES"),
    ("docs/search.md", "search_tables", "PARTS"),
    ("docs/methods.md", "methods_tables", "PARTS"),
    ("docs/screening.md", "screening_tables", "PARTS"),
    ("docs/recipes.md", "recipes_tables", "PARTS"),
]


@pytest.mark.parametrize(("page", "names", "parts"), SCRIPTS)
def test_a_page_has_what_its_script_makes_of_the_results(page, names, parts):
    text = (ROOT / page).read_text("utf-8")
    own = {part: make for name in names.split() for part, make in getattr(tool(name), parts).items()}
    assert tool("marked").filled(text, own) == text
    assert len(re.findall("<!-- end -->", text)) == len(own)
