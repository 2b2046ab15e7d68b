r"""Tables as LaTeX that a paper takes as it is, for the package booktabs.

Each is a float with a caption, which says data, gallery, n and seeds, and a label `tab:<name>-<n>`; one that is wide is
a `table*`, over both columns. What is wider still comes below, as in a terminal; what is longer than a page comes in
parts. The best score of what compares is bold.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence

from pecl.report.tables.layout import Printed, blocks, heading_rows, laid_out, one_line, width_of
from pecl.report.tables.table import Table

# Letters of a row that fit, in \small of 10 points, one column of a paper (219 points) and both (455, with less space
# between the table's columns); and lines of a page
_COLUMN, _PAGE, _LINES = 42, 98, 46

_SIGNS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "…": r"\dots{}",
    "<": r"$<$", ">": r"$>$", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
_SIGNED = re.compile(r"(?<![\w.$-])[-+]\d+(?:\.\d+)?")  # a hyphen before a number is a minus sign


def to_latex(tables: Sequence[Table], ids: bool = False) -> str:
    r"""Return tables as LaTeX; ids of runs are comments."""
    parts = [
        float_ for number, table in enumerate(tables, 1) for float_ in _floats(table, f"tab:{table.name}-{number}", ids)
    ]
    return "\n\n".join(["% needs \\usepackage{booktabs}", *parts]) + "\n"


def escape_latex(field: object) -> str:
    """Return text that LaTeX shows as it is, signed numbers with a minus or plus sign."""
    # NUL takes the place of the dollar of mathematics
    marked = _SIGNED.sub(lambda found: f"\0{found.group()}\0", one_line(field))
    return "".join(_SIGNS.get(sign, sign) for sign in marked).replace("\0", "$")


def _floats(table: Table, label: str, ids: bool) -> Iterator[str]:
    """Yield the floats of a table, several where it is longer than a page."""
    columns, shared = laid_out(table, ids)
    own, rows = blocks(columns, _PAGE), len(columns[0].texts)
    most = max(1, _LINES // len(own) - 3)  # rows of a part, without the headings of each block
    starts = range(0, rows, most)
    for part, start in enumerate(starts, 1):
        of = f"Part {part} of {len(starts)}." if len(starts) > 1 else ""
        yield _float(
            [_tabular(block, range(rows)[start : start + most]) for block in own],
            wide=max(map(width_of, own)) > _COLUMN,
            caption=" ".join(filter(None, [_caption(table, shared), of])),
            label=label if part == 1 else f"{label}-{part}",
            comment=table.short_ids if ids else "",
        )


def _float(tabulars: Sequence[str], wide: bool, caption: str, label: str, comment: str) -> str:
    kind = "table*" if wide else "table"
    return "\n".join(
        [
            *([f"% {one_line(comment)}"] if comment else []),
            rf"\begin{{{kind}}}[t]",
            r"\centering\small" + (r"\setlength{\tabcolsep}{4pt}" if wide else ""),
            rf"\caption{{{_breakable(escape_latex(caption))}}}",
            rf"\label{{{label}}}",
            "\n\\par\\medskip\n".join(tabulars),
            rf"\end{{{kind}}}",
        ]
    )


def _tabular(columns: Sequence[Printed], places: Sequence[int]) -> str:
    """Return the rows at `places` of a block."""
    rows = [
        _row([_bold(escape_latex(column.fields[place]), place in column.best) for column in columns])
        for place in places
    ]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{''.join('r' if column.number else 'l' for column in columns)}}}",
            r"\toprule",
            *(_row(map(escape_latex, own)) for own in heading_rows(columns)),
            r"\midrule",
            *_with_rules(rows, [columns[0].fields[place] for place in places]),
            r"\bottomrule",
            r"\end{tabular}",
        ]
    )


def _row(fields: Iterator[str] | Sequence[str]) -> str:
    r"""Return a row; a bracket or asterisk that it begins with is kept from the `\\` before it, which would take it."""
    text = " & ".join(fields)
    return rf"{'{}' if text[:1] in ('[', '*') else ''}{text} \\"


def _with_rules(rows: Sequence[str], first: Sequence[str]) -> list[str]:
    """Return the rows, a thin rule between those whose first column differs, where it repeats."""
    groups = [[row for row, _ in own] for _, own in itertools.groupby(zip(rows, first, strict=True), lambda p: p[1])]
    if len(groups) == 1 or min(map(len, groups)) == 1:
        return list(rows)
    return [line for place, group in enumerate(groups) for line in ([r"\addlinespace"] if place else []) + group]


def _caption(table: Table, shared: str) -> str:
    title, _ = table.heading()
    parts = [f"{table.title}.", f"{title}." if title else "", f"In all rows: {shared}." if shared else ""]
    note = "; ".join(filter(None, [table.group and table.group.metric, table.note]))
    bold = "Best in bold." if table.best else ""
    return " ".join(filter(None, [*parts, f"{note[:1].upper()}{note[1:]}." if note else "", bold]))


def _breakable(text: str) -> str:
    """Return text in which a long word, such as an adapter's options, may end a line at its signs."""
    return re.sub(r"\S{30,}", lambda word: re.sub(r"(?<=[,:/+=])(?=\w)", r"\\allowbreak ", word.group()), text)


def _bold(text: str, best: bool) -> str:
    return rf"\textbf{{{text}}}" if best and text else text
