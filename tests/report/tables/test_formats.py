"""Formats of tables: each read back is what the table holds, whatever its names say."""

import csv
import io
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from helpers.report_results import changed, evaluate, train

from pecl.report.tables import report
from pecl.report.tables.comparison import comparison_tables
from pecl.report.tables.formats import FORMATS, escape_latex, escape_markdown
from pecl.report.tables.layout import laid_out
from pecl.report.tables.paper import paper_tables
from pecl.report.tables.table import Column, Table, frame_of

AWKWARD = r"a_b & 5% {x} #1 | <i> \ ~^ $y$ `c`* +0.5"  # not so long that its middle is left out
HOSTILE = "x\n\\input{/etc/passwd}\r\u2028\0\x1b[2J[a](javascript:alert(1))"


@pytest.fixture
def results():
    scores = {"de": (4, 6), "fr": (2, 5)}
    trained = [train(before, after, seed=s, language=code) for code, (before, after) in scores.items() for s in (1, 2)]
    return [*trained, train(4, 5, route="baseline1"), train(4, 6, adapter="bottleneck"), evaluate(9, language="en")]


def named(table, name):
    """Return a table whose title and first language are `name`."""
    frame = table.frame.copy()
    frame.loc[frame.index[0], "language"] = name
    return replace(table, title=name, frame=frame, remarks=(name,), group=replace(table.group, dataset=name))


def fields(table):
    frame = laid_out(table).frame
    return [list(frame.columns), *frame.to_numpy().tolist()]


def unbold(field):
    return re.sub(r"^\*\*(.*)\*\*$|^\\textbf\{(.*)\}$", lambda found: found[1] or found[2], field.strip())


@pytest.mark.parametrize("name", ["German", AWKWARD, HOSTILE])
def test_markdown_and_latex_read_back_are_what_was_shown(results, name):
    tables = [*report(results).tables, named(report(results).named("routes")[0], name)]
    markdown = [line for line in FORMATS["markdown"](tables).splitlines() if re.match(r"\| (?!-)", line)]
    found = [[unbold(field) for field in re.split(r"(?<!\\) *\| *", line)[1:-1]] for line in markdown]
    shown = [row for table in tables for row in fields(table)]
    assert found == [[escape_markdown(field).strip() for field in row] for row in shown]
    bodies = re.findall(r"\\toprule\n(.*?)\\bottomrule", FORMATS["latex"](tables), re.DOTALL)
    lines = [line.removesuffix(r" \\").removeprefix("{}") for body in bodies for line in body.splitlines()]
    found = [[unbold(field) for field in line.split(" & ")] for line in lines if line != r"\midrule"]
    assert [len(row) for row in found] == [len(row) for row in shown]
    assert found == [[escape_latex(field).strip() for field in row] for row in shown]


def test_html_read_back_is_what_was_shown_and_text_is_no_element(results):
    injected = named(report(results).named("routes")[0], "<script>alert(1)</script>" + "x" * 90)
    tables = [*report(results).tables, injected]
    html = FORMATS["html"](tables)
    assert "<script" not in html
    elements = ET.fromstring(f"<body>{html}</body>").iter("table")
    read = [[["".join(field.itertext()) for field in row] for row in table.iter("tr")] for table in elements]
    assert read == [fields(table) for table in tables]


def test_latex_signs_numbers_and_comes_in_parts_no_longer_than_a_page(results):
    assert escape_latex("[-0.100, +0.2] image-to-text 5%") == r"[$-0.100$, $+0.2$] image-to-text 5\%"
    assert escape_latex('a|b "c"') == r"a\textbar{}b \textquotedblright{}c\textquotedblright{}"
    many = [train(4, 5, language=code, seed=seed) for code in ("de", "fr", "cs") for seed in range(1, 31)]
    (table,) = report(many).named("runs")
    latex = FORMATS["latex"]([table])
    assert re.findall(r"Part (\d) of (\d)", latex) == [("1", "3"), ("2", "3"), ("3", "3")]
    assert len(set(re.findall(r"\\label\{(.*)\}", latex))) == 3
    assert latex.count(r" \\") == 93


def test_csv_rows_of_several_tables_state_their_table_setup_and_group():
    scores = {"de": 6, "fr": 5}
    runs = [train(4, hits, language=code) for code, hits in scores.items()]
    on_text = [train(4, hits, language=code, text="corpus.tsv") for code, hits in scores.items()]
    others = [train(4, hits, language=code, size=30) for code, hits in scores.items()]
    results = [*runs, *on_text, *others]

    tables = report(results).named("disparity")
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](tables))))
    origins = {(row["table"], row["setup"], row["gallery_size"], row["dataset"]) for row in rows}
    assert origins == {
        ("disparity", "trained on pairs", "20", "xtd10"),
        ("disparity", "trained on pairs", "30", "xtd10"),
        ("disparity", "trained on corpus.tsv", "20", "xtd10"),
    }
    assert [name for name in rows[0] if name == "dataset"] == ["dataset"]

    comparisons = comparison_tables(runs + others, ["method1", "zero-shot"])
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"](comparisons))))
    assert {(row["table"], row["gallery_size"]) for row in rows} == {
        (name, size) for name in ("comparison", "comparison-languages") for size in ("20", "30")
    }


def test_csv_and_json_hold_raw_numbers_and_where_they_come_from(results):
    table = report(results).named("routes")[0]
    rows = list(csv.DictReader(io.StringIO(FORMATS["csv"]([table]))))
    (row,) = [row for row in rows if row["language"] == "fr"]
    ids = [result.run_id for result in results if result.config.language == "fr"]
    assert (float(row["mean"]), row["seeds"], row["run_ids"].split()) == (0.25, "1 2", ids)
    assert (row["gallery_size"], row["gallery_kind"], row["test_captions"]) == ("20", "images", "20")
    assert next(row for row in rows if row["route"] == "baseline1")["std"] == ""
    (document,) = json.loads(FORMATS["json"]([table]), parse_constant=pytest.fail)
    assert document["group"]["gallery_size"] == 20
    assert [row["std"] for row in document["rows"] if row["route"] == "baseline1"] == [None]
    assert (table.frame["mean"] - table.frame["zero_shot"]).tolist() == pytest.approx(table.frame["gain"].tolist())


def table_of(count, name="row", best=()):
    frame = frame_of([{"name": f"{name} {i}", "score": i / 100} for i in range(count)])
    columns = (Column("name"), Column("score", "{score:.3f}", always=True))
    return Table("made", "Made", None, frame, columns, best=frozenset(best))


def test_the_best_score_alone_is_bold_on_whichever_page_it_is():
    table = table_of(45, best={(3, "score"), (42, "score")})
    assert re.findall(r"\\textbf\{(.*?)\}", FORMATS["latex"]([table])) == ["0.030", "0.420"]
    assert re.findall(r"\*\*(0.*?)\*\*", FORMATS["markdown"]([table])) == ["0.030", "0.420"]


@pytest.mark.parametrize(
    ("letters", "environment", "scaled"), [(10, "table", 0), (60, "table*", 0), (120, "table*", 1)]
)
def test_latex_tables_take_a_column_a_page_or_are_scaled_down(letters, environment, scaled):
    """A field of 120 letters is not cut, as it is in a terminal."""
    latex = FORMATS["latex"]([table_of(2, "x" * letters)])
    assert re.findall(r"\\begin\{(table.*?)\}", latex) == [environment]
    assert latex.count(r"\resizebox{\linewidth}") == scaled
    assert r"\begin{tabular}{lr}" in latex  # names to the left, numbers to the right


ARTICLE = r"""\documentclass[twocolumn]{article}
\usepackage[T1]{fontenc}
\usepackage{booktabs,graphicx}
\begin{document}
%s
\end{document}
"""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs pdflatex, e.g. texlive-latex-recommended of Debian")
def test_latex_compiles_and_no_table_is_wider_than_its_place(results, tmp_path):
    spec = "lora:r=4,layers=top-2,target_modules=query/key/value/output+head:rank=50"
    long_names = [changed(train(4, 7, adapter=spec, language=code), {"adapter.spec": spec}) for code in ("de", "fr")]
    tables = [*report(results), named(report(results).named("routes")[0], AWKWARD)]
    tables += [
        *comparison_tables([*results, *long_names], ["best"]),
        *comparison_tables([*results, *long_names], ["list"]),
    ]
    tables += paper_tables(results)
    latex = re.sub(r"(\\end\{table\*?\})", r"\1\\clearpage", FORMATS["latex"](tables, ids=True))
    (tmp_path / "paper.tex").write_text(ARTICLE % latex, "utf-8")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    found = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert found.returncode == 0, found.stdout[-2000:]
    assert "Overfull" not in found.stdout
    assert "Float too large" not in found.stdout
