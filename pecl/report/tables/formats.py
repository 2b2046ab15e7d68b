"""Tables as text, Markdown, LaTeX (booktabs), CSV and JSON."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from pecl.errors import printable
from pecl.report.tables.table import Table

_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$",
    "<": r"$<$", ">": r"$>$", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
_SIGNED = re.compile(r"(?<![\w.$-])[-+]\d[\d.]*")  # a hyphen before a number is a minus sign
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # line breaks among them
_FORMULA = re.compile(r"(?![-+][\d.]+(e[-+]?\d+)?$)[=+\-@\t\r]", re.IGNORECASE)  # how one begins, but not a number
_NUMERIC = re.compile(r"[-+\[\d]")


def text_table(table: pd.DataFrame) -> str:
    """Return a table as text."""
    shown = table.map(lambda value: printable(value) if isinstance(value, str) else value)
    return shown.to_string(index=False, na_rep="-")


def to_text(tables: Sequence[Table]) -> str:
    """Return tables as plain text, those of a group under its heading."""
    return _by_heading(
        tables,
        lambda heading: f"== {_one_line(heading)} ==",
        lambda table: f"{_one_line(table.title)}\n{text_table(table.shown)}\n({_one_line(table.note)})",
    )


def to_markdown(tables: Sequence[Table]) -> str:
    """Return tables as GitHub Markdown."""
    return _by_heading(tables, lambda heading: f"## {escape_markdown(heading)}", _markdown)


def to_latex(tables: Sequence[Table]) -> str:
    r"""Return tables as LaTeX for the package booktabs, each a float with a caption and a label `tab:<name>-<n>`."""
    count = itertools.count(1)
    return _by_heading(
        tables,
        lambda heading: f"% {_one_line(heading)}",
        lambda table: _latex(table, f"tab:{table.name}-{next(count)}"),
    )


def to_csv(tables: Sequence[Table]) -> str:
    """Return tables of one name as one long table of raw values: seeds and run ids joined by spaces, no notes.

    Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    rows = pd.concat([table.rows for table in tables], ignore_index=True)
    joined = rows.map(lambda value: " ".join(map(str, value)) if isinstance(value, list) else value)
    safe = joined.map(lambda value: _csv_text(value) if isinstance(value, str) else value)
    buffer = io.StringIO()
    safe.to_csv(buffer, index=False, lineterminator="\n")
    return buffer.getvalue()


def to_json(tables: Sequence[Table]) -> str:
    """Return tables as a JSON list: raw values, full run ids."""
    return json.dumps([table.to_dict() for table in tables], indent=2, ensure_ascii=False) + "\n"


class Format(NamedTuple):
    """How tables become text, and the ending of a file of them."""

    write: Callable[[Sequence[Table]], str]
    ending: str


FORMATS: dict[str, Format] = {
    "text": Format(to_text, "txt"),
    "markdown": Format(to_markdown, "md"),
    "latex": Format(to_latex, "tex"),
    "csv": Format(to_csv, "csv"),
    "json": Format(to_json, "json"),
}


def _by_heading(tables: Sequence[Table], head: Callable[[str], str], body: Callable[[Table], str]) -> str:
    return "\n\n".join(_blocks(tables, head, body)) + "\n"


def _blocks(tables: Sequence[Table], head: Callable[[str], str], body: Callable[[Table], str]) -> Iterator[str]:
    for group, own in itertools.groupby(tables, key=lambda table: table.group):
        if group:
            yield head(group.heading())
        yield from (body(table) for table in own)


def _markdown(table: Table) -> str:
    header = [escape_markdown(name) for name in table.shown.columns]
    rule = ["---:" if numeric else "---" for numeric in _numeric_columns(table.shown)]
    rows = [[escape_markdown(field) for field in row] for row in table.shown.itertuples(index=False)]
    lines = [f"| {' | '.join(row)} |" for row in [header, rule, *rows]]
    return f"**{escape_markdown(table.title)}**\n\n" + "\n".join(lines) + f"\n\n{escape_markdown(table.note)}"


def _csv_text(text: str) -> str:
    return "'" * bool(_FORMULA.match(text)) + _one_line(text)


def escape_markdown(field: object) -> str:
    """Return text that Markdown shows as it is: on one line, without code, HTML or links."""
    return re.sub(r"([\\|`*<]|\](?=[(\[:]))", r"\\\1", _one_line(field))


def _one_line(field: object) -> str:
    """Return text without line breaks and other control characters."""
    return _CONTROLS.sub(" ", str(field))


def _latex(table: Table, label: str) -> str:
    columns = "".join("r" if numeric else "l" for numeric in _numeric_columns(table.shown))
    rows = [[_escape_latex(field) for field in row] for row in table.shown.itertuples(index=False)]
    header = " & ".join(map(_escape_latex, table.shown.columns))
    where = f" {table.group.dataset}, gallery: {table.group.gallery}." if table.group else ""
    return "\n".join(
        [
            r"\begin{table}[t]",
            r"\centering",
            rf"\caption{{{_escape_latex(f'{table.title}.{where}')}}}",
            rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            rf"{header} \\",
            r"\midrule",
            *(rf"{' & '.join(row)} \\" for row in rows),
            r"\bottomrule",
            r"\end{tabular}",
            rf"\par\footnotesize {_escape_latex(table.note)}",
            r"\end{table}",
        ]
    )


def _escape_latex(field: object) -> str:
    # NUL takes the place of the dollar of mathematics
    marked = _SIGNED.sub(lambda found: f"\0{found.group()}\0", _one_line(field))
    return "".join(_LATEX.get(sign, sign) for sign in marked).replace("\0", "$")


def _numeric_columns(table: pd.DataFrame) -> list[bool]:
    """Return for each column whether all that it shows begins like a number."""
    return [all(_NUMERIC.match(str(field)) for field in table[name] if str(field)) for name in table.columns]
