"""Tables in a terminal: nothing twice, nothing empty, never wider than 100 letters; their statistics."""

import numpy as np
import pytest
from helpers.project import ROOT
from helpers.report_results import both, changed, made

from pecl.report.selection.groups import intervals
from pecl.report.tables import report
from pecl.report.tables.layout import laid_out, shortened, text_table
from pecl.report.tables.paper import paper_tables
from pecl.report.tables.table import Column, Table, frame_of
from pecl.results.result import collect


def of(labels, numbers=()):
    """Return the layout of columns of text, then of scores, from name -> fields."""
    columns = [*map(Column, labels), *(Column(name, f"{{{name}:}}", always=True) for name in dict(numbers))]
    fields = {**labels, **dict(numbers)}
    rows = [dict(zip(fields, row, strict=True)) for row in zip(*fields.values(), strict=True)]
    return laid_out(Table("", "", None, frame_of(rows), columns))


def text_of(labels, numbers=(), width=100):
    layout = of(labels, numbers)
    return text_table(layout.frame, layout.numbers, width)


def test_columns_that_are_empty_or_equal_leave_and_the_latter_are_said_once():
    labels = {"language": ["de", "fr"], "adapter": ["lora"] * 2, "none": ["", ""]}
    layout = of(labels, {"gain": ["+0.1"] * 2})
    assert list(layout.frame) == ["language", "gain"]  # a score remains, equal or not
    assert layout.shared == "adapter lora"
    one = of({name: texts[:1] for name, texts in labels.items()}, {"gain": ["+0.1"]})
    assert (list(one.frame), one.shared) == (["language", "adapter", "gain"], "")


def test_what_does_not_fit_comes_below_with_the_labels_again():
    lines = text_of({"language": ["de", "fr"]}, {f"c{i}": ["0.123456789"] * 2 for i in range(12)}, 50).splitlines()
    assert max(map(len, lines)) <= 50
    blocks = [block.splitlines() for block in "\n".join(lines).split("\n\n")]
    assert all([line.split()[0] for line in block] == ["language", "de", "fr"] for block in blocks)
    assert [word for block in blocks for word in block[0].split()[1:]] == [f"c{i}" for i in range(12)]


def test_rows_that_labels_do_not_tell_apart_are_numbered_in_each_block():
    scores = {f"c{i}": ["0.123456789"] * 3 for i in range(4)}
    text = text_of({"language": ["de", "de", "fr"]}, scores, 40)
    assert [line.split()[0] for line in text.splitlines() if line] == ["row", "#1", "#2", "#3"] * 2
    assert "#1" not in text_of({"language": ["de", "es", "fr"]}, scores, 40)
    assert "#1" not in text_of({"language": ["de", "de", "fr"]}, scores)  # it fits


def test_one_row_that_does_not_fit_is_a_list_of_names_and_values():
    text = text_of({f"name{i}": ["a value of some length"] for i in range(8)})
    assert text.splitlines() == [f"name{i}  a value of some length" for i in range(8)]


def test_a_template_leaves_out_what_is_missing():
    column = Column("score", "{mean:.3f} ± {std:.3f}", absent="none")
    assert column.text({"mean": 0.5, "std": 0.1}) == "0.500 ± 0.100"
    table = Table("", "", None, frame_of([{"mean": 0.5, "std": float("nan")}]), [column])
    assert table.texts["score"].tolist() == ["0.500"]
    assert column.text({"mean": None, "std": None}) == "none"
    assert [Column("x", "{x:%}").text({"x": score}) for score in (0.9435, 0.1)] == ["94.4", "10.0"]


def test_long_words_lose_their_middle_and_headings_break_between_words():
    assert shortened("/a/very/long/path/of/captions.csv", 11) == "/a/ve…s.csv"
    assert len(shortened("x" * 500, 40)) == 40
    heading = text_of({}, {"R@1,5,10 before": ["0.1"], "b": ["0.2"]}).splitlines()
    assert heading == ["R@1,5,10", "  before    b", "     0.1  0.2"]


def test_every_table_of_the_shipped_results_fits_a_terminal():
    shipped = collect([ROOT / "results" / "measured"])
    for table in report(shipped, published=True).tables + paper_tables(shipped):
        layout = laid_out(table, ids=True)
        assert (layout.frame != "").any().all(), table.name
        lines = text_table(layout.frame, layout.numbers).splitlines()
        assert max(map(len, lines)) <= 100, table.name


def hits_of(ranks, **gallery):
    result = made("evaluate", {"best": ranks}, weights="de.safetensors")
    return changed(result, {f"data.gallery.{name}": value for name, value in gallery.items()}).hits("best")


def test_captions_of_an_image_stand_or_fall_with_it_and_directions_count_half_each():
    per_item = hits_of(both([1, 2], [1, 1, 1, 2, 2, 2]), items=[0, 0, 1, 1, 1, 0])
    assert per_item.tolist() == pytest.approx([(1 + 2 * 2 / 6) / 2, (0 + 1 * 2 / 6) / 2])
    assert per_item.mean() == pytest.approx((1 / 2 + 3 / 6) / 2)


def test_intervals_are_those_of_a_bootstrap_written_as_a_loop():
    generator = np.random.default_rng(5)
    arrays = [generator.normal(size=30), generator.normal(size=20), generator.normal(1, 1, size=30)]
    found = intervals(arrays)
    for values, (low, high) in zip(arrays, found, strict=True):
        drawn = np.random.default_rng(11)
        means = sorted(np.mean(drawn.choice(values, len(values))) for _ in range(4000))
        assert low == pytest.approx(means[100], abs=0.04)  # 2.5 % of 4,000
        assert high == pytest.approx(means[3899], abs=0.04)
