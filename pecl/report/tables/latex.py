r"""Tables as LaTeX that a paper takes as it is, for the package booktabs.

Each is a float with a caption, which says data, gallery, n and seeds, and a label `tab:<name>-<n>`; one that is wide is
a `table*`, over both columns. The best score of what compares is bold.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pecl.report.tables.layout import laid_out, numeric_columns
from pecl.report.tables.signs import escape_latex, one_line
from pecl.report.tables.table import Table

_COLUMN = 48  # letters of a row that a column of a two-column paper holds, in \small


def to_latex(tables: Sequence[Table], ids: bool = False) -> str:
    r"""Return tables as LaTeX; ids of runs are comments."""
    parts = [_latex(table, f"tab:{table.name}-{number}", ids) for number, table in enumerate(tables, 1)]
    return "\n\n".join(["% needs \\usepackage{booktabs}", *parts]) + "\n"


def _latex(table: Table, label: str, ids: bool) -> str:
    frame, said = laid_out(table, ids)
    columns = "".join("r" if numeric else "l" for numeric in numeric_columns(frame))
    rows = [
        " & ".join(
            _bold(escape_latex(field), (place, name) in table.best) for name, field in zip(frame, row, strict=True)
        )
        for place, row in enumerate(frame.itertuples(index=False))
    ]
    widest = sum(max(map(len, [str(name), *map(str, frame[name])])) + 2 for name in frame.columns)
    kind = "table" if widest <= _COLUMN else "table*"
    return "\n".join(
        [
            *([f"% {one_line(table.short_ids)}"] if ids else []),
            rf"\begin{{{kind}}}[t]",
            r"\centering\small",
            rf"\caption{{{escape_latex(_caption(table, said))}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rf"{' & '.join(map(escape_latex, frame.columns))} \\",
            r"\midrule",
            *_with_rules(rows, [str(field) for field in frame.iloc[:, 0]]),
            r"\bottomrule",
            r"\end{tabular}",
            rf"\end{{{kind}}}",
        ]
    )


def _with_rules(rows: Sequence[str], first: Sequence[str]) -> list[str]:
    """Return the rows, a thin rule between those whose first column differs, where it repeats."""
    blocks = [
        [rf"{row} \\" for row, _ in own] for _, own in itertools.groupby(zip(rows, first, strict=True), lambda p: p[1])
    ]
    if len(blocks) == 1 or min(map(len, blocks)) == 1:
        return [line for block in blocks for line in block]
    return [line for place, block in enumerate(blocks) for line in ([r"\addlinespace"] if place else []) + block]


def _caption(table: Table, said: str) -> str:
    title, _ = table.heading()
    parts = [f"{table.title}.", f"{title}." if title else "", f"In all rows: {said}." if said else ""]
    note = "; ".join(filter(None, [table.group and table.group.metric, table.brief_note]))
    bold = "Best in bold." if table.best else ""
    return " ".join(filter(None, [*parts, f"{note[:1].upper()}{note[1:]}." if note else "", bold]))


def _bold(text: str, best: bool) -> str:
    return rf"\textbf{{{text}}}" if best and text else text
