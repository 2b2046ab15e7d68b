"""How tables reach a terminal: nothing twice, nothing empty, never wider than 100 letters."""

import pandas as pd
import pytest
from helpers.project import ROOT
from helpers.report_results import evaluate, train

from pecl.report.tables import FORMATS, report, text_table
from pecl.report.tables.layout import laid_out, reported, shortened, without_repetition
from pecl.report.tables.paper import paper_tables
from pecl.results.result import collect

SHIPPED = ROOT / "results" / "measured"


@pytest.fixture(scope="module")
def shipped():
    return collect([SHIPPED])


def test_columns_that_are_empty_or_equal_leave_and_the_latter_are_said_once():
    frame = pd.DataFrame({"language": ["de", "fr"], "adapter": ["lora"] * 2, "alone": ["", ""], "gain": ["+0.1"] * 2})
    layout = without_repetition(frame)
    assert list(layout.frame.columns) == ["language", "gain"]  # what a table is for remains, equal or not
    assert layout.said == "adapter lora"
    assert list(without_repetition(frame.iloc[:1]).frame.columns) == ["language", "adapter", "gain"]


def test_what_does_not_fit_comes_below_with_the_labels_again():
    frame = pd.DataFrame({"language": ["de", "fr"], **{f"c{i}": ["0.123456789"] * 2 for i in range(12)}})
    lines = text_table(frame, width=50).splitlines()
    assert max(map(len, lines)) <= 50
    blocks = [block.splitlines() for block in "\n".join(lines).split("\n\n")]
    assert all([line.split()[0] for line in block] == ["language", "de", "fr"] for block in blocks)
    assert [word for block in blocks for word in block[0].split()[1:]] == [f"c{i}" for i in range(12)]


def test_rows_that_labels_do_not_tell_apart_are_numbered_in_each_block():
    columns = {f"c{i}": ["0.123456789"] * 3 for i in range(4)}
    alike = text_table(pd.DataFrame({"language": ["de", "de", "fr"], **columns}), width=40)
    assert [line.split()[0] for line in alike.splitlines() if line] == ["row", "#1", "#2", "#3"] * 2
    assert "#1" not in text_table(pd.DataFrame({"language": ["de", "es", "fr"], **columns}), width=40)
    assert "#1" not in text_table(pd.DataFrame({"language": ["de", "de", "fr"], **columns}))  # it fits


def test_no_column_comes_alone_below():
    frame = pd.DataFrame({"language": ["de", "fr"], **{f"c{i}": ["0.123456789"] * 2 for i in range(4)}})
    blocks = text_table(frame, width=8 + 3 * 13).split("\n\n")
    assert [block.splitlines()[0].split() for block in blocks] == [["language", "c0", "c1"], ["language", "c2", "c3"]]


def test_headings_break_after_hyphens_only_where_the_table_is_too_wide():
    frame = pd.DataFrame({"zero-shot": ["0.123"] * 2, "b": ["0.1"] * 2})
    assert text_table(frame).splitlines()[0] == "zero-shot    b"
    assert [line.split() for line in text_table(frame, width=12).splitlines()[:2]] == [["zero-"], ["shot", "b"]]


def test_of_one_wide_row_of_scores_all_else_is_said_in_words():
    labels = {f"name{i}": ["a value of some length"] for i in range(5)}
    layout = without_repetition(pd.DataFrame({**labels, "trained R@1": ["0.500"], "gain": ["+0.1"]}))
    assert list(layout.frame.columns) == ["trained R@1", "gain"]
    assert layout.said.startswith("name0 a value of some length; name1")
    assert not without_repetition(pd.DataFrame(labels)).said  # without a score nothing would be left


def test_the_tables_of_routes_of_the_shipped_results_are_one_block(shipped):
    """Where no adapters are compared, so that a row has its language, route and scores alone."""
    tables = [table for table in report(shipped).named("routes") if "adapter" not in laid_out(table).frame]
    assert any(len(table.shown) > 15 for table in tables)
    assert all("\n\n" not in text_table(laid_out(table).frame) for table in tables)


def test_one_row_that_does_not_fit_is_a_list_of_names_and_values():
    frame = pd.DataFrame({f"name{i}": ["a value of some length"] for i in range(8)})
    assert text_table(frame).splitlines()[0] == "name0  a value of some length"
    assert len(text_table(frame).splitlines()) == 8


def test_long_words_lose_their_middle_and_headings_break_between_words():
    assert shortened("/a/very/long/path/of/captions.csv", 11) == "/a/ve…s.csv"
    assert len(shortened("x" * 500, 40)) == 40
    heading = text_table(pd.DataFrame({"R@1,5,10 before": ["0.1"], "b": ["0.2"]})).splitlines()
    assert heading == ["R@1,5,10", "  before    b", "     0.1  0.2"]


@pytest.mark.parametrize("ids", [False, True])
def test_every_table_of_the_shipped_results_fits_a_terminal(shipped, ids):
    tables = report(shipped, "published").tables + paper_tables(shipped)
    assert max(map(len, FORMATS["text"].write(tables, ids=ids).splitlines())) <= 100
    for table in tables:
        frame = laid_out(table, ids).frame
        assert all(any(str(field) for field in frame[name]) for name in frame.columns), table.name


def test_eleven_languages_and_paths_fit_too():
    codes = ("en", "de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh")
    results = [train(4, 6, language=code, dataset="/data/" + "x" * 300, adapter="lora:r=4+head") for code in codes]
    results += [evaluate(9, language=code, dataset="/data/" + "y" * 300) for code in codes]
    tables = [*report(results).tables, *paper_tables(results)]
    assert max(map(len, FORMATS["text"].write(tables, ids=True).splitlines())) <= 100


def test_run_ids_are_shown_on_request_alone(shipped):
    tables = report(shipped).tables
    run_id = shipped[0].run_id
    for form in ("text", "markdown", "latex"):
        assert run_id[:8] not in FORMATS[form].write(tables)
        assert run_id[:8] in FORMATS[form].write(tables, ids=True)


def test_what_a_command_prints_says_shared_fields_above():
    frame = pd.DataFrame({"language": ["de", "fr"], "route": ["method1"] * 2, "run": ["0" * 16, "1" * 16]})
    assert reported(frame).splitlines() == ["route method1", "language", "de", "fr"]
