"""README, tables, sentences and figures of documents are what code and shipped results say."""

import re
from functools import cache

import pytest
from helpers.project import ROOT, script
from helpers.report_results import DIRECTIONS, made, ranked

from pecl.commands import COMMANDS
from pecl.commands.main import build_parser
from pecl.files import write_json
from pecl.report.plots import draw_plots
from pecl.report.summary import summary_tables
from pecl.report.tables import chosen_candidates, group_of
from pecl.report.tables.statistics import intervals
from pecl.results.result import STAGES, collect, read_result

README = " ".join((ROOT / "README.md").read_text("utf-8").split())
MEASURED = ROOT / "results" / "measured"


def says(sentence):
    assert sentence in README, f"the README says no more: {sentence}"


@pytest.fixture(scope="module", autouse=True)
def _each_result_is_read_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pecl.results.result.read_result", cache(read_result))
        yield


@pytest.fixture(scope="module")
def routes():
    return [result for result in collect([MEASURED / "routes"]) if result.kind == "train"]


def test_the_tower_has_117_million_parameters_and_a_distilled_adapter_187_648(routes):
    says("117 million parameters in the text tower, and 187,648 more per distilled language")
    distilled = collect([MEASURED / "effect" / "pairs28k"])
    assert {result.adapter.trainable for result in distilled} == {187_648}
    assert {round((result.adapter.total - result.adapter.trainable) / 1e6) for result in routes} == {117}


@pytest.mark.weights
def test_the_first_example_prints_what_it_says(capsys):
    page, names = (ROOT / "README.md").read_text("utf-8"), {}
    exec(compile(page.split("```python\n")[1].split("```")[0], "README.md", "exec"), names)
    captions = ["pes na pláži", "a dog on the beach"]
    czech, english = names["bank"].tower.encode_text(captions)
    said = f"{float(capsys.readouterr().out[7:-2]):.2f}", f"{float(czech @ english):.2f}"
    assert re.search(r"cosine similarity: (\S+)\. Without the adapter it is (\S+)", page).groups() == said


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
    complete = [result for result in collect([MEASURED]) if result.status == "complete"]
    own = [result for result in complete if group_of(result) == group_of(routes[0])]
    (table,) = summary_tables(own)
    rows = {row["language"]: row for row in table.rows if row["method"] == "method1 (text, held-out)"}
    said = [(code, f"{row['mean']:.3f}", f"{row['gain']:+.3f}", row["share_closed"]) for code, row in rows.items()]
    assert lines == [(code, score, gain, f"{share:.0%}".removesuffix("%")) for code, score, gain, share in said]
    assert len(said) == 3
    plots = {plot.name: plot for plot in draw_plots(own).plots}
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


def test_python_and_licence_are_those_of_the_package():
    says("Linux, Python 3.10 or newer")
    says("MIT, see [LICENSE](LICENSE)")
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    assert 'requires-python = ">=3.10"' in project
    assert 'license = "MIT"' in project
    assert (ROOT / "LICENSE").read_text("utf-8").startswith("MIT License")


SCRIPTS = [
    ("README.md", "readme_table", "PARTS"),
    ("docs/results.md", "results_tables", "PARTS"),
    ("results/measured/README.md", "results_tables", "MORE"),
    ("docs/effect.md", "effect_tables", "PARTS"),
    ("results/measured/effect/README.md", "effect_tables", "OF_RUNS"),
    ("docs/languages.md", "languages_page", "PARTS"),
    ("results/measured/languages/README.md", "languages_page", "OF_LANGUAGES"),
    ("docs/search.md", "search_tables", "PARTS"),
]
SCORES = {"tzm": 10, "sw": 90, "fi": 50}


@pytest.mark.parametrize(("page", "name", "parts"), SCRIPTS)
def test_a_page_has_what_its_script_makes_of_the_results(page, name, parts):
    text, own = (ROOT / page).read_text("utf-8"), getattr(script(name), parts)
    assert script("marked").filled(text, own) == text
    assert len(re.findall("<!-- end -->", text)) == len(own)


def test_a_part_without_its_marks_is_refused():
    with pytest.raises(ValueError, match=r"expected <!-- gap --> .* once in the page"):
        script("marked").filled("<!-- gap -->\n<!-- end -->\n<!-- gap -->\n<!-- end -->\n", {"gap": lambda: "1"})
    found = script("marked").filled("a\n<!-- gap -->\nold\n<!-- end -->\nb\n", {"gap": lambda: "new"})
    assert found == "a\n<!-- gap -->\nnew\n<!-- end -->\nb\n"


def on_text(kind, code, **values):
    """Return a result on a made-up XTD200 of 100 captions; `values` say how many each stage finds, and settings."""
    found = {stage: values.pop(stage) for stage in STAGES if stage in values}
    states = {stage: dict.fromkeys(DIRECTIONS["english"], ranked(hits, 100)) for stage, hits in found.items()}
    return made(kind, states, dataset="xtd200", gallery="english", language=code, **values)


def test_the_page_of_languages_counts_gains_and_losses(monkeypatch):
    """Of three made-up languages one gains, one stays, one loses; an evaluation replaces a training's own recall."""
    page = script("languages_page")
    trained = [on_text("train", code, zero_shot=50, final=0, best=hits) for code, hits in SCORES.items()]
    rows = page.measured(trained)
    assert [(row.code, round(row.gain, 2)) for row in rows] == [("sw", 0.4), ("fi", 0), ("tzm", -0.4)]
    assert rows[0].share == pytest.approx(0.8)
    monkeypatch.setattr(page, "shown", lambda: rows)
    assert "of the gain lies above zero in 1 and below zero in 1." in " ".join(page.summary().split())
    assert "Not in its pretraining: 1 languages, 0.500 (0.000) before, 0.100 (0.000) after" in page.summary()
    assert page.all_languages().splitlines()[2].startswith("| Swahili (sw) | Latn | 18 | 0.500 | **0.900** | +0.400 [")
    assert page.weakest().splitlines()[2].startswith("| Central Atlas Tamazight (tzm) | Tfng | 0.500 | 0.100 | no | 27")
    assert page.draw(rows).render("png") == page.draw(rows[::-1]).render("png")
    again = page.measured([*trained, on_text("evaluate", "fi", zero_shot=60)])
    assert next(row.gain for row in again if row.code == "fi") == pytest.approx(-0.1)


def test_budgets_compare_the_same_languages_only(monkeypatch, tmp_path):
    """The smaller adapter has a language that the larger lacks; the larger has a second seed, and a third of one."""
    states = [("head", "sw", 80, 1), ("head", "fi", 60, 1), ("lora", "sw", 90, 1), ("lora", "fi", 90, 1)]
    more = [("head", "hu", 10, 1), ("lora", "sw", 80, 2), ("lora", "fi", 96, 2), ("lora", "fi", 0, 3)]
    found = [
        on_text("train", code, zero_shot=50, final=0, best=hits, adapter=adapter, lr=0.004, epochs=3, seed=seed)
        for adapter, code, hits, seed in states + more
    ]
    budgets = script("languages_budgets").budgets(found)
    assert [list(own["languages"]) for own in budgets] == [["fi", "sw"], ["fi", "sw"]]
    page = script("languages_page")
    write_json(tmp_path / "budgets.json", budgets)
    monkeypatch.setattr(page, "BUDGETS", tmp_path / "budgets.json")
    said, _, _, _, head, lora = page.budgets().splitlines()
    assert said == "2 languages: Finnish (fi), Swahili (sw)."
    assert head.split(" | ")[-3:] == ["0.700", "+0.200", "0.100 |"]
    assert " | gradient, 3 passes in batches of 5 at 0.004 | " in lora
    assert lora.split(" | ")[-3:] == ["0.890 (0.880 to 0.900)", "+0.390", "0.040 |"]


def test_the_figure_is_drawn_under_the_names_that_are_committed(tmp_path):
    script("draw_framework").main(["--out", str(tmp_path)])
    names = {"framework.svg", "framework.png", "framework-dark.png"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all((ROOT / "img" / name).is_file() for name in names)
