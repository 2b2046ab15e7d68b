"""Formats of tables, and their LaTeX through pdflatex: nothing is wider or longer than the page."""

import csv
import io
import json
import re
import shutil
import subprocess
from dataclasses import replace

import pytest
from helpers.project import ROOT
from helpers.report_results import evaluate, train

from pecl.report.tables import FORMATS, report, text_table
from pecl.report.tables.layout import laid_out
from pecl.report.tables.paper import paper_tables
from pecl.report.tables.table import words
from pecl.results.result import collect

AWKWARD = r"a_b & 5% {x} #1 | <i> \ ~^ $y$ `c`* +0.5"  # not so long that its middle is left out


@pytest.fixture
def results():
    scores = {"de": (4, 6), "fr": (2, 5)}
    trained = [train(before, after, seed=s, language=code) for code, (before, after) in scores.items() for s in (1, 2)]
    return [*trained, train(4, 5, route="baseline1"), train(4, 6, adapter="bottleneck"), evaluate(9, language="en")]


@pytest.fixture
def awkward(results):
    table = report(results).named("routes")[0]
    rows = [{**table.rows[0], "language": AWKWARD}, *table.rows[1:]]
    return replace(table, title=AWKWARD, rows=rows, columns=[words(AWKWARD, "language"), *table.columns[1:]])


def shown_fields(table):
    columns = laid_out(table).columns
    return [[column.name for column in columns], *map(list, zip(*(column.texts for column in columns), strict=True))]


def shown_columns(table):
    head, *rows = shown_fields(table)
    return {joined(name): list(fields) for name, *fields in zip(head, *rows, strict=True)}


def joined(heading):
    """Return a heading as it is when it was broken after its hyphens, or was not."""
    return heading.replace("- ", "-")


def read_csv(tables):
    return list(csv.DictReader(io.StringIO(FORMATS["csv"].write(tables), newline="")))


def read_markdown(text):
    """Return the tables of GitHub Markdown as lists of rows of fields, escapes undone."""
    tables, rows = [], []
    for line in [*text.splitlines(), ""]:
        if line.startswith("|"):
            fields = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"))
            bare = [re.sub(r"^\*\*(.*)\*\*$", r"\1", field.strip()) for field in fields]
            rows.append([re.sub(r"\\([\\|`*<])", r"\1", field).strip() for field in bare])
        elif rows:
            assert all(set(field) <= set("-:") for field in rows[1])
            tables.append([rows[0], *rows[2:]])
            rows = []
    return tables


def read_latex(text):
    """Return the tables of a LaTeX document as heading -> fields, escapes undone; checks their structure."""
    tables = []
    for _, body in re.findall(r"\\begin\{(table\*?)\}(.*?)\\end\{\1\}", text, re.DOTALL):
        tables.append({})
        for columns, inner in re.findall(r"\\begin\{tabular\}\{([lr]+)\}\n(.*?)\\end\{tabular\}", body, re.DOTALL):
            head, rest = re.fullmatch(r"\\toprule\n(.+)\n\\midrule\n(.*)\n\\bottomrule\n", inner, re.DOTALL).groups()
            headings, rows = latex_rows(head), latex_rows(rest)
            assert {len(row) for row in [*headings, *rows]} == {len(columns)}
            names = [joined(" ".join(filter(None, lines))) for lines in zip(*headings, strict=True)]
            tables[-1] |= dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        tables[-1].pop("row", None)  # numbers that tell rows apart in blocks
    return tables


def latex_rows(text):
    lines = [line.removesuffix(r" \\") for line in text.splitlines() if line != r"\addlinespace"]
    return [[plain(field) for field in re.split(r"(?<!\\)&", line)] for line in lines]


def plain(latex):
    for command, sign in {r"\textbackslash{}": "\0", r"\textasciitilde{}": "~", r"\textasciicircum{}": "^"}.items():
        latex = latex.replace(command, sign)
    latex = latex.replace(r"$\pm$", "±").replace("$<$", "<").replace("$>$", ">")
    latex = re.sub(r"^\\textbf\{(.*)\}$", r"\1", latex.strip())
    latex = re.sub(r"(?<!\\)\$", "", latex)  # mathematics around signed numbers
    return re.sub(r"\\([&%$#_{}])", r"\1", latex).replace("\0", "\\").strip()


def test_markdown_read_back_is_what_was_shown(results, awkward):
    tables = [*report(results).tables, awkward]
    assert read_markdown(FORMATS["markdown"].write(tables)) == [
        [[field.strip() for field in row] for row in shown_fields(table)] for table in tables
    ]


def test_latex_read_back_is_what_was_shown(results, awkward):
    tables = [*report(results).tables, awkward]
    text = FORMATS["latex"].write(tables)
    assert read_latex(text) == [shown_columns(table) for table in tables]
    labels = re.findall(r"\\label\{(.*?)\}", text)
    assert len(set(labels)) == len(tables)


def test_latex_has_nothing_that_tex_takes_for_a_command(awkward):
    text = FORMATS["latex"].write([awkward])
    for line in text.splitlines():
        bare = re.sub(r"\\[&%$#_{}]|\\[a-z]+(\{\})?", "", line)
        assert bare.startswith("%") or not re.search(r"[%#_^~]", bare), line
        assert line.startswith("%") or bare.count("$") % 2 == 0, line


def test_negative_numbers_have_a_minus_sign_in_latex():
    text = FORMATS["latex"].write(report([train(6, 4)]).named("routes"))
    assert "$-0.100$ & [$-0." in text
    assert "image-to-text" in text


def test_csv_holds_raw_numbers_and_where_they_come_from(results):
    table = report(results).named("routes")[0]
    rows = read_csv([table])
    assert len(rows) == 4
    (row,) = [row for row in rows if row["language"] == "fr"]
    assert float(row["mean"]) == 0.25
    assert row["seeds"] == "1 2"
    assert row["run_ids"].split() == [r.run_id for r in results if r.config.language == "fr"]
    assert (row["gallery_size"], row["gallery_kind"], row["test_captions"]) == ("20", "images", "20")
    assert row["metric"] == "mean R@1 of image-to-text and text-to-image"
    assert next(row for row in rows if row["route"] == "baseline1")["std"] == ""


def test_csv_of_several_groups_is_one_table(results):
    tables = report([*results, train(3, 4, size=30, shots=10)]).named("routes")
    assert {row["gallery_size"] for row in read_csv(tables)} == {"20", "30"}


def test_json_is_valid_and_holds_full_run_ids(results):
    document = json.loads(FORMATS["json"].write(report(results).tables), parse_constant=pytest.fail)
    routes = next(table for table in document if table["name"] == "routes")
    assert routes["group"]["gallery_size"] == 20
    assert all(len(run_id) == 16 for run_id in routes["run_ids"])
    assert [row["std"] for row in routes["rows"] if row["route"] == "baseline1"] == [None]


def test_text_has_the_heading_once_a_group_and_a_note_below_each_table(results):
    made = report(results)
    text = FORMATS["text"].write(made.tables)
    assert text.count("== xtd10") == 2  # trainings on the test part, evaluations on the whole set
    unbroken = " ".join(text.split())
    assert all(part in unbroken for table in made.tables for part in table.notes)
    assert unbroken.count("intervals: 95%") == 2  # once a heading, since it is so of all tables below it
    assert unbroken.count("English zero-shot") == len(made.named("disparity")) == 1  # and not what only one table says
    assert "nan" not in text.lower()


HOSTILE = "x\n\\input{/etc/passwd}\r\u2028\0\x1b[2J[a](javascript:alert(1))"


@pytest.mark.parametrize("form", ["text", "markdown", "latex"])
def test_a_name_of_several_lines_stays_on_its_line(results, form):
    (table,) = report(results).named("routes")
    hostile = replace(
        table,
        group=replace(table.group, dataset=HOSTILE),
        title=HOSTILE,
        remarks=(HOSTILE,),
        rows=[{**table.rows[0], "language": HOSTILE}, *table.rows[1:]],
    )
    harmless = re.sub(r"[^ -~]", " ", HOSTILE)  # as long, so that lines are full at the same places
    plain = replace(hostile, group=replace(table.group, dataset=harmless), title=harmless, remarks=(harmless,))
    text = FORMATS[form].write([hostile])
    assert len(text.splitlines()) == len(FORMATS[form].write([plain]).splitlines())
    if form == "text":
        assert max(map(len, text.splitlines())) <= 100
        assert len(text_table(hostile.text_columns[:1]).splitlines()) == 1 + len(hostile.rows)
    else:  # what a terminal shows is escaped where it is printed
        assert len(text.splitlines()) == len(FORMATS[form].write([replace(plain, rows=table.rows)]).splitlines())
        assert all(sign == "\n" or sign.isprintable() for sign in text)
    if form == "latex":
        assert not re.search(r"^[^%]*\\input", text, re.MULTILINE)


def test_markdown_has_no_links_of_a_names_making(results):
    (table,) = report(results).named("routes")
    text = FORMATS["markdown"].write([replace(table, title="[a](javascript:x) [b][c] [d]: e <f>")])
    assert not re.search(r"(?<!\\)\][(\[:]", text)
    assert "[+0." in text  # an interval needs no escape


def test_csv_begins_no_field_as_a_formula(results):
    (table,) = report(results).named("routes")
    texts = ["=1+1", "+cmd", "-x", "@sum", "\t=1", "\r=1", "-0.5", "+1e-4", "de", "-"]
    rows = [{"language": text, "mean": -0.5} for text in texts]
    read = read_csv([replace(table, rows=rows)])
    escaped = ["'=1+1", "'+cmd", "'-x", "'@sum", "' =1", "' =1", "-0.5", "+1e-4", "de", "'-"]
    assert [row["language"] for row in read] == escaped
    assert {row["mean"] for row in read} == {"-0.5"}


def test_a_frame_holds_the_raw_rows(results):
    table = report(results).named("routes")[0]
    frame = table.frame()
    assert [*frame.columns] == [*table.rows[0]]
    assert frame["seeds"].tolist() == [row["seeds"] for row in table.rows]
    assert (frame["mean"] - frame["zero_shot"]).tolist() == pytest.approx(frame["gain"].tolist())


PAPER = r"""
\documentclass[11pt,a4paper,twocolumn]{article}  % as the ACL's style has it
\usepackage{mathptmx}
\usepackage[textwidth=16cm,textheight=24.7cm,columnsep=0.6cm]{geometry}
\usepackage{booktabs}
\begin{document}
A paper.
FLOATS
\end{document}
"""


def compiled(latex, folder):
    """Return the log of a paper that has the floats of `latex`, each on a page."""
    floats = re.findall(r"\\begin\{table(?:\*?)\}.*?\\end\{table\*?\}", latex, re.DOTALL)
    assert floats
    (folder / "paper.tex").write_text(PAPER.strip().replace("FLOATS", "\n\\clearpage\n".join(floats)), "utf-8")
    command = ["pdflatex", "-interaction=batchmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    log = (folder / "paper.log").read_text("latin-1")
    assert done.returncode == 0, log[-2000:]
    assert (folder / "paper.pdf").stat().st_size > 10_000
    return log


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="needs pdflatex with geometry, mathptmx and booktabs")
@pytest.mark.parametrize("tables", [lambda results: report(results, "published").tables, paper_tables])
def test_tables_of_the_shipped_results_fit_a_paper_in_two_columns(tables, tmp_path):
    log = compiled(FORMATS["latex"].write(tables(collect([ROOT / "results" / "measured"]))), tmp_path)
    assert re.findall(r"^(?:Overfull.*|.*Float too large.*|!.*)", log, re.MULTILINE) == []


def test_a_row_never_begins_as_the_option_of_the_line_break_before_it():
    """After two backslashes TeX takes a bracket on the next line for a length."""
    results = [evaluate(hits, language=code) for code, hits in (("de", 4), ("fr", 6))]
    latex = FORMATS["latex"].write(report(results).tables) + FORMATS["latex"].write(paper_tables([train(4, 6)]))
    assert not re.search(r"\\\\\n\s*[\[*]", latex)


def test_a_table_longer_than_a_page_comes_in_parts():
    results = [train(4, 5, language=code, seed=seed) for code in ("de", "fr", "cs") for seed in range(1, 31)]
    (table,) = report(results).named("runs")
    floats = FORMATS["latex"].write([table]).split("\n\n")[1:]
    assert [re.findall(r"Part (\d) of (\d)", part)[0] for part in floats] == [("1", "3"), ("2", "3"), ("3", "3")]
    assert len({re.findall(r"\\label\{(.*)\}", part)[0] for part in floats}) == 3
    assert sum(part.count(r" \\") for part in floats) - 3 * floats[0].split(r"\midrule")[0].count(r" \\") == 90
