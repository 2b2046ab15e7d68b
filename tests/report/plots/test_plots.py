"""Plots: what they show against hand-worked numbers, what they say of themselves, and that nothing is cut off."""

import io
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from helpers.plots import draw_some
from helpers.report_results import changed, evaluate, train
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from pecl.report.plots import draw_plots, write_plots
from pecl.report.plots.style import same_limits
from pecl.report.selection.methods import method_labels, method_of


@pytest.fixture(scope="module")
def grid():
    """Two languages by two routes, four candidates, another adapter, and twice as many shots."""
    made = [train(4, 9, language=code, route=route) for code in ("de", "cs") for route in ("method1", "baseline1")]
    made += [train(4, 8, lr=lr, alignment_weight=weight) for lr in (5e-5, 2e-4) for weight in (0.03, 0.3)]
    made += [changed(train(4, 7, adapter="lora-r1"), {"adapter.trainable": 36_864})]
    return [*made, train(4, 10, shots=100)]


@pytest.fixture(scope="module")
def drawing(grid):
    return draw_plots(grid)


def test_every_plot_that_has_its_data_is_drawn(drawing):
    names = {plot.name.split("-captions")[0].split("-no-")[0] for plot in drawing.plots}
    assert names >= {"parameters", "shots", "heat-map"}
    assert set(drawing.not_drawn) == {"gap-closed"}
    assert "train with language='en'" in drawing.not_drawn["gap-closed"]


def test_nothing_is_cut_off_at_the_edges_and_no_letter_is_tiny(drawing):
    for plot in drawing.plots:
        with Image.open(io.BytesIO(plot.render("png"))) as image:
            pixels = np.asarray(image.convert("L"))
        edges = [pixels[:2], pixels[-2:], pixels[:, :2], pixels[:, -2:]]
        assert all((edge == 255).all() for edge in edges), plot.name
        assert min(text.get_fontsize() for text in plot.figure.findobj(Text)) >= 6


def test_captions_state_gallery_metric_captions_seeds_and_runs(drawing, grid):
    known = {result.run_id for result in grid}
    for plot in drawing.plots:
        for word in (r"mean R@1", r"gallery", r"\bn = \d", r"\bseeds? \d"):
            assert re.search(word, plot.caption, re.IGNORECASE), f"{plot.name}: {word}"
        assert plot.runs
        assert set(plot.runs) <= known


def test_files_are_whole_and_say_where_they_come_from(drawing, tmp_path):
    paths = write_plots(drawing, tmp_path)
    plot = drawing.plots[0]
    assert len(paths) == 3 * len(drawing.plots) + 1
    with Image.open(tmp_path / f"{plot.name}.png") as image:
        assert plot.runs[0] in image.text["Description"]
        assert image.width > 500
    svg = (tmp_path / f"{plot.name}.svg").read_text("utf-8")
    assert ET.fromstring(svg).tag.endswith("svg")
    assert plot.runs[0] in svg
    assert "dc:date" not in svg
    assert (tmp_path / f"{plot.name}.pdf").read_bytes().startswith(b"%PDF-")
    captions = (tmp_path / "captions.md").read_text("utf-8")
    assert all(run in captions for run in plot.runs)
    assert "gap-closed" in captions


def test_signs_of_mathematics_in_a_name_are_letters():
    plot = drawn([train(4, 9, dataset=r"a$\b{$c.csv")], "recall")
    assert r"a$\b{$c.csv" in plot.figure.texts[0].get_text()


def drawn(results, name):
    return next(plot for plot in draw_some(results, name).plots if plot.name == name)


def connections(axes):
    """Return the lines between the points before and after training."""
    return [line for line in axes.lines if len(line.get_xdata()) == 2 and line.get_alpha() == 0.6]


def test_heat_map_shows_gains_and_frames_the_choice_of_validation():
    candidates = {(1e-4, 0.03): (6, 0.5), (1e-4, 0.3): (8, 0.9), (2e-4, 0.03): (10, 0.7), (2e-4, 0.3): (4, 0.6)}
    results = [
        train(4, after, val=val, language="de", lr=lr, alignment_weight=weight)
        for (lr, weight), (after, val) in candidates.items()
    ]
    plot = drawn(results, "heat-map")
    axes = plot.figure.axes[0]
    assert [text.get_text() for text in axes.texts] == ["+10.0", "+30.0", "+20.0", "+0.0"]  # rows: lambda from below
    (frame,) = [patch for patch in axes.patches if patch.get_gid() != "noise"]
    assert frame.get_xy() == (-0.5, 0.5)  # lr 1e-4, lambda .3: the best validation, not the best test


def test_colours_of_gains_and_losses_are_of_one_scale_and_grey_is_noise():
    """Of 100 items, 40 before: 80, 42, 38 and 20 after. Only the first and the last are beyond noise."""
    candidates = {(1e-4, 0.03): 80, (1e-4, 0.3): 42, (2e-4, 0.03): 38, (2e-4, 0.3): 20}
    results = [train(40, after, size=100, lr=lr, alignment_weight=weight) for (lr, weight), after in candidates.items()]
    axes = drawn(results, "heat-map").figure.axes[0]
    (image,) = axes.images
    assert image.get_clim() == pytest.approx((-40, 40))
    assert image.get_array().tolist() == [pytest.approx([40, -2]), pytest.approx([2, -20])]
    noise = [patch.get_xy() for patch in axes.patches if patch.get_gid() == "noise"]
    assert noise == [(0.5, -0.5), (-0.5, 0.5)]


def test_gains_over_shots_are_in_points_on_the_axes_of_all_panels():
    results = [train(4, hits, shots=shots) for shots, hits in ((50, 9), (100, 14))]
    results += [train(4, hits, shots=shots, route="baseline1") for shots, hits in ((50, 3), (100, 5))]
    panels = drawn(results, "shots").figure.axes
    gains = sorted(list(bars.lines[0].get_ydata()) for axes in panels for bars in axes.containers)
    assert gains == [pytest.approx([-5, 5]), pytest.approx([25, 50])]
    assert len({axes.get_ylim() for axes in panels}) == len({axes.get_xlim() for axes in panels}) == 1


def test_panels_with_the_same_limits_hold_the_points_of_all():
    first, second = Figure().subplots(1, 2)
    first.plot([0.2, 0.4], [1, 2])
    second.plot([0.1, 0.9], [0, 5])
    same_limits([first, second])
    assert first.get_xlim() == second.get_xlim()
    assert first.get_xlim()[0] <= 0.1
    assert first.get_xlim()[1] >= 0.9
    assert first.get_ylim() == second.get_ylim()
    assert first.get_ylim()[1] >= 5


def test_methods_are_named_by_what_differs_between_them():
    text, photographs = {"dataset": "text", "sha256": {}, "provenance": {}}, {"data.translations.photographs": 50}
    single = changed(train(4, 8, text="corpus.tsv", image_weight=0.0), {"data.translations": text})
    for results, names in (
        ([train(4, 9, route=r) for r in ("method2", "baseline1")], ["baseline1", "method2"]),
        ([train(4, 9, shots=shots) for shots in (3200, 50)], ["method1 (50 pairs)", "method1 (3,200 pairs)"]),
        ([single, changed(single, photographs)], ["method1 (text)", "method1 (text, photographs)"]),
    ):
        assert list(method_labels(map(method_of, results))[0].values()) == names
    results = [train(4, 9)] + [train(4, 9, train_on=text) for text in ("multi30k-translations", "flickr30k200")]
    plot = drawn(results, "recall")
    assert plot.figure.legends == []
    names = [text.get_text() for text in plot.figure.axes[0].texts]
    assert names == ["method1", "method1 (text 1)", "method1 (text 2)"]
    assert "Text 1: distilled from flickr30k200. Text 2: distilled from multi30k-translations." in plot.caption


# What a run of `method1` was made by, and its name: the last has the best validation score
METHODS = {
    "method1": {},
    "method1 (captions)": {"image_weight": 0.0},
    "method1 (closed form)": {"solver": "closed-form+gradient", "choose": "text"},
    "method1 (all pairs)": {"shots": None},
    "method1 (text)": {"text": "corpus.tsv", "image_weight": 0.0},
}


def test_no_figure_gives_the_score_of_one_method_to_another():
    """The n-th run of German finds 5 + n of 20; distillation is best in validation."""
    results = [train(4, 5 + n, val=0.5 + 0.01 * n, **values) for n, values in enumerate(METHODS.values())]
    english = evaluate(18, language="en")
    found = {plot.name: plot for plot in draw_some([*results, english], "recall", "gap-closed", "training").plots}
    assert set(found["gap-closed"].runs) == {english.run_id, *(one.run_id for one in results)}
    plots = {name: plot.figure.axes for name, plot in found.items()}
    expected = {name: (5 + n) / 20 for n, name in enumerate(METHODS)}
    named = [text.get_text() for text in plots["recall"][0].texts]
    scores = dict(zip(named, (line.get_xdata() for line in connections(plots["recall"][0])), strict=True))
    assert {name: scores[name][0] for name in expected} == pytest.approx(dict.fromkeys(expected, 0.2))
    assert {name: scores[name][1] for name in expected} == pytest.approx(expected)
    shares = [patch.get_width() for patch in plots["gap-closed"][0].patches]
    closed = dict(zip([text.get_text() for text in plots["gap-closed"][0].texts], shares, strict=True))
    assert closed == pytest.approx({name: 100 * (recall - 0.2) / 0.7 for name, recall in expected.items()})
    assert {axes.get_title() for axes in plots["training"]} == {*expected, "method1"}


def test_a_curve_and_its_ring_are_of_one_score():
    """Recall on validation captions begins with the base encoder's; that of text has its own start."""
    by_text = changed(
        train(4, 9, choose="text", language="fr"),
        {"curve.val_mean_recall@1": [[0, 0.7], [5, 0.9], [10, 0.8]], "best_step": 5},
    )
    by_validation = train(4, 9, language="de")
    axes = drawn([by_text, by_validation], "training").figure.axes
    assert [list(one.lines[0].get_xdata()) for one in axes[::2]] == [[5, 10]] * 2  # losses
    rights = {one.get_ylabel(): [list(zip(*line.get_data(), strict=True)) for line in one.lines] for one in axes[1::2]}
    assert rights == {
        "validation R@1": [[(0, 0.3), (5, 0.4), (10, 0.5)], [(10, 0.5)]],
        "held-out text R@1": [[(0, 0.7), (5, 0.9), (10, 0.8)], [(5, 0.9)]],
    }


def test_the_curve_of_a_joint_run_has_no_zero_shot_score_of_one_language():
    """The recorded scores are means over the languages; the zero-shot score is that of German."""
    plot = drawn([train(4, 9, joint="de+fr"), train(4, 9, language="cs")], "training")
    curves = [list(line.get_xdata()) for line in plot.figure.axes[1].lines if len(line.get_xdata()) > 1]
    assert sorted(curves) == [[0, 5, 10], [5, 10]]
    assert "trained jointly: their mean" in plot.caption
    assert "jointly" not in drawn([train(4, 9)], "training").caption


def test_plots_of_an_earlier_call_are_deleted_and_other_files_stay(tmp_path):
    write_plots(draw_some([train(4, 9), train(4, 8, size=30)], "recall"), tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    assert len(before) == 7
    other = tmp_path / "recall-mine.png"
    other.write_bytes(b"")

    paths = write_plots(draw_some([train(4, 9)], "recall"), tmp_path)
    assert {path.name for path in paths} == {"recall.png", "recall.svg", "recall.pdf", "captions.md"}
    assert set(tmp_path.iterdir()) == {*paths, other}
