r"""Tables as text, Markdown, LaTeX, CSV and JSON. Ids of runs are shown where they are asked for.

The LaTeX goes into a paper without changes and needs the package booktabs. Each table is a float with a caption, which
states data, gallery, n and seeds, and a label `tab:<name>-<n>`. A wide table is a `table*`, over both columns. Columns
that do not fit come below the others, as in a terminal. A table that is longer than a page comes in parts.
"""

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pecl.report.tables.layout import (
    Printed,
    blocks,
    heading_rows,
    laid_out,
    one_line,
    shortened,
    text_table,
    width_of,
    wrapped,
)
from pecl.report.tables.table import Table, raw_rows

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
    rows = [_row([_field(column, place) for column in columns]) for place in places]
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


def _field(column: Printed, place: int) -> str:
    text = escape_latex(column.fields[place])
    return rf"\textbf{{{text}}}" if place in column.best and text else text


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


_Body = Callable[[Table, Sequence[str]], str]  # from a table and the parts of its note that its heading does not state
_FORMULA = re.compile(r"(?![-+][\d.]+(e[-+]?\d+)?$)[=+\-@\t\r]", re.IGNORECASE)  # how one begins, but not a number


def to_text(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as plain text, at most 100 letters wide, those measured alike under one heading."""
    return _by_heading(tables, _text_heading, lambda table, notes: _text(table, notes, ids))


def to_markdown(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as GitHub Markdown, the best of scores that compare in bold."""

    def head(title: str, details: str) -> str:
        return f"## {escape_markdown(title)}\n\n{escape_markdown(details)}"

    return _by_heading(tables, head, lambda table, notes: _markdown(table, notes, ids))


def to_csv(tables: Sequence[Table], ids: bool = True) -> str:
    """Return tables of one name as one long table of raw values: seeds and run ids joined by spaces, no notes.

    Text that a spreadsheet would take for a formula begins with an apostrophe. Ids are always there.
    """
    rows = raw_rows(tables)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    writer.writerows([_csv_field(value) for value in row.values()] for row in rows)
    return buffer.getvalue()


def to_json(tables: Sequence[Table], ids: bool = True) -> str:
    """Return tables as a JSON list: raw values, and always the full run ids."""
    return json.dumps([table.to_dict() for table in tables], indent=2, ensure_ascii=False) + "\n"


class Format(NamedTuple):
    """A function that writes tables as text, with run ids or without, and the ending of a file of them."""

    write: Callable[..., str]
    ending: str


FORMATS: dict[str, Format] = {
    "text": Format(to_text, "txt"),
    "markdown": Format(to_markdown, "md"),
    "latex": Format(to_latex, "tex"),
    "csv": Format(to_csv, "csv"),
    "json": Format(to_json, "json"),
}


def escape_markdown(field: object) -> str:
    """Return text that Markdown shows as it is: on one line, without code, HTML or links."""
    return re.sub(r"([\\|`*<]|\](?=[(\[:]))", r"\\\1", one_line(field))


def _by_heading(tables: Sequence[Table], head: Callable[[str, str], str], body: _Body) -> str:
    """Return each heading with the notes that all tables below it share, and the tables with their other notes."""
    parts: list[str] = []
    for (title, details), group in itertools.groupby(tables, key=Table.heading):
        own = list(group)
        shared = [note for note in own[0].notes if title and all(note in table.notes for table in own)]
        if title:
            parts.append(head(title, "; ".join([details, *shared])))
        parts += [body(table, [note for note in table.notes if note not in shared]) for table in own]
    return "\n\n".join(parts) + "\n"


def _text_heading(title: str, details: str) -> str:
    return f"{wrapped(f'== {shortened(one_line(title), 300)} ==')}\n{wrapped(one_line(details))}"


def _text(table: Table, notes: Sequence[str], ids: bool) -> str:
    layout = laid_out(table, ids)
    note = "; ".join([*notes, *([table.short_ids] if ids else [])])
    above = [wrapped(one_line(part)) for part in (table.title, layout.shared)]
    below = wrapped(one_line(f"({note})")) if note else ""
    return "\n".join(filter(None, [*above, text_table(layout.columns), below]))


def _markdown(table: Table, notes: Sequence[str], ids: bool) -> str:
    columns, shared = laid_out(table, ids)
    fields = [
        [f"**{text}**" if place in column.best and text else text for place, text in enumerate(texts)]
        for column, texts in ((column, map(escape_markdown, column.texts)) for column in columns)
    ]
    heads = [escape_markdown(column.name) for column in columns]
    rule = ["---:" if column.number else "---" for column in columns]
    rows = [f"| {' | '.join(row)} |" for row in (heads, rule, *zip(*fields, strict=True))]
    above = [f"**{escape_markdown(table.title)}**", *([escape_markdown(shared)] if shared else [])]
    note = escape_markdown("; ".join([*notes, *([table.short_ids] if ids else [])]))
    return "\n\n".join(filter(None, [*above, "\n".join(rows), note]))


def _csv_field(value: Any) -> Any:
    value = " ".join(map(str, value)) if isinstance(value, list) else value
    return "'" * bool(_FORMULA.match(value)) + one_line(value) if isinstance(value, str) else value
