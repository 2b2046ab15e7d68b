"""LaTeX of the shipped results goes through pdflatex in two columns, and nothing is wider or longer than the page."""

import re
import shutil
import subprocess

import pytest
from helpers.project import ROOT
from helpers.report_results import evaluate, train

from pecl.report.tables import FORMATS, report
from pecl.report.tables.paper import paper_tables
from pecl.results.result import collect

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
