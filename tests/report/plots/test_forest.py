"""The forest plot of `pecl report --compare`: its points and intervals against hits counted by hand and the tables."""

import pytest
from helpers.report_results import train, write
from PIL import Image

from pecl.cli import main
from pecl.report.plots import draw_comparisons
from pecl.report.plots.comparison import ALL_LANGUAGES
from pecl.report.tables.comparison import comparison_tables

# Of 20 items: hits before training, by method1, by baseline1
HITS = {"cs": (3, 8, 8), "de": (4, 9, 6), "fr": (5, 7, 9)}
DIFFERENCES = [0.0, 3 / 20, -2 / 20]


@pytest.fixture(scope="module")
def results():
    runs = []
    for language, (before, method, baseline) in HITS.items():
        runs.append(train(before, method, language=language, route="method1"))
        runs.append(train(before, baseline, language=language, route="baseline1"))
    return runs


def drawn(axes, gid):
    """Return (x values, y) of the lines that are drawn as `gid`, from above."""
    lines = [line for line in axes.lines if line.get_gid() == gid]
    return [(list(line.get_xdata()), line.get_ydata()[0]) for line in lines]


def test_a_row_per_language_and_one_over_languages(results):
    tables = comparison_tables(results, ["method1", "baseline1"])
    (plot,) = draw_comparisons(tables).plots
    (axes,) = plot.figure.axes
    assert axes.get_title() == "method1 less baseline1"
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["Czech (cs)", "German (de)", "French (fr)", ALL_LANGUAGES]
    assert axes.yaxis_inverted()  # the first row is on top

    points = drawn(axes, "language")
    assert [x for (x,), _ in points] == pytest.approx(DIFFERENCES)
    assert [y for _, y in points] == [0, 1, 2]
    by_language, over_languages = tables
    ends = [[row["difference_low"], row["difference_high"]] for row in by_language.rows]
    assert [interval for interval, _ in drawn(axes, "language-interval")] == ends

    (((mean,), y),) = drawn(axes, "overall")
    assert (mean, y) == (pytest.approx(sum(DIFFERENCES) / 3), 3)
    (row,) = over_languages.rows
    ((interval, _),) = drawn(axes, "overall-interval")
    assert interval == [row["difference_low"], row["difference_high"]]
    assert interval[0] < mean < interval[1]
    assert [text.get_text() for text in axes.texts][1].startswith("+0.150 [")


def test_its_caption_states_what_was_resampled_and_its_runs(results):
    (plot,) = draw_comparisons(comparison_tables(results, ["method1", "baseline1"])).plots
    parts = (
        "mean R@1 of",
        "gallery 20 images",
        "n = 20 test captions",
        "seed 1",
        "of the test items of a language",
        "hollow",
    )
    for part in parts:
        assert part.lower() in plot.caption.lower(), part
    assert set(plot.runs) == {result.run_id for result in results}


def test_each_comparison_has_a_panel_on_one_axis_and_one_language_no_row_over_languages(results):
    (plot,) = draw_comparisons(comparison_tables(results[:2], ["method1", "baseline1", "zero-shot"])).plots
    assert [axes.get_title() for axes in plot.figure.axes] == ["method1 less baseline1", "method1 less zero-shot"]
    assert len({axes.get_xlim() for axes in plot.figure.axes}) == 1
    assert not any(drawn(axes, "overall") for axes in plot.figure.axes)


def test_groups_have_plots_of_their_own(results):
    others = [train(4, hits, size=30, route=route) for route, hits in (("method1", 9), ("baseline1", 7))]
    plots = draw_comparisons(comparison_tables([*results, *others], ["method1", "baseline1"])).plots
    assert [plot.name for plot in plots] == ["comparison-xtd10-20-images", "comparison-xtd10-30-images"]


def test_the_command_writes_it_in_place_of_the_other_plots(results, tmp_path, capsys):
    folder = write(tmp_path / "results", *results)
    out = tmp_path / "plots"
    assert main(["report", str(folder), "--compare", "method1", "baseline1", "--plots", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "captions.md",
        "comparison.pdf",
        "comparison.png",
        "comparison.svg",
    ]
    assert str(out / "comparison.png") in capsys.readouterr().out
    with Image.open(out / "comparison.png") as image:
        assert image.width > 500
