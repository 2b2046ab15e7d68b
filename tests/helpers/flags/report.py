"""The flags of `pecl report`."""

from pathlib import Path

from helpers.flags.data import JSON
from helpers.flags.runs import EVALUATED, TRAINED
from helpers.flags.table import REAL, Has, Table
from helpers.report_results import unfinished

FAILED = unfinished(TRAINED, run_id="f" * 16, error="RuntimeError: out of memory")

REPORT = Table(
    "report folder",
    {
        "collect_runs": [TRAINED, EVALUATED, FAILED],
        "report": REAL,
        "pecl.report.tables.Report.named": REAL,
        "paper_tables": [],
        "summary_tables": [],
        "comparison_tables": [],
        "summary_text": "an overview",
        "write_text": Path("written"),
        "pecl.report.plots.draw_plots": None,
        "pecl.report.plots.write_plots": [Path("plot.png")],
        "pecl.report.page.write_page": Path("index.html"),
    },
    [
        ("folders", "collect_runs.folders", ["folder"]),
        ("--format latex", "output.text", Has("\\begin{tabular}")),
        JSON,
        ("--table routes", "named.name", "routes"),
        ("--where route=method1 --where kind=train", "report.where", ["route=method1", "kind=train"]),
        ("--paper", "paper_tables.results.0", TRAINED),
        ("--summary", "output.text", "an overview\n"),
        ("--summary", "summary_text.unfinished", [FAILED]),
        ("--compare method1 baseline1", "comparison_tables.names", ["method1", "baseline1"]),
        ("--ids", "output.text", Has(TRAINED.run_id[:8])),
        ("--out tables", "write_text.path", Path("tables/evaluations.txt")),
        ("--against published", "report.published", True),
        ("--plots plots", "write_plots.folder", "plots"),
        ("--html page", "write_page.folder", "page"),
        ("--html page --data-dir there", "write_page.data_dir", "there"),
        ("--html page --gallery-captions 5", "write_page.captions", 5),
    ],
)
