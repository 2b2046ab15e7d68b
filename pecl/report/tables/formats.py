"""Tables as text, Markdown, CSV and JSON; `latex` has LaTeX. Ids of runs are shown where they are asked for."""

from __future__ import annotations

import csv
import io
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from pecl.report.tables.latex import to_latex
from pecl.report.tables.layout import laid_out, one_line, shortened, text_table, wrapped
from pecl.report.tables.table import Table, raw_rows

_Body = Callable[[Table, Sequence[str]], str]  # of a table and the parts of its note that its heading does not state
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
    """How tables become text, with run ids or without, and the ending of a file of them."""

    write: Callable[..., str]
    ending: str


FORMATS: dict[str, Format] = {
    "text": Format(to_text, "txt"),
    "markdown": Format(to_markdown, "md"),
    "latex": Format(to_latex, "tex"),
    "csv": Format(to_csv, "csv"),
    "json": Format(to_json, "json"),
}


def markdown_table(head: Sequence[str], numbers: Sequence[bool], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; columns for which `numbers` is true are aligned to the right."""
    rule = ["---:" if one else "---" for one in numbers]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def escape_markdown(field: object) -> str:
    """Return text that Markdown shows as it is: on one line, without code, HTML or links."""
    return re.sub(r"([\\|`*<]|\](?=[(\[:]))", r"\\\1", one_line(field))


def _by_heading(tables: Sequence[Table], head: Callable[[str, str], str], body: _Body) -> str:
    return "\n\n".join(_blocks(tables, head, body)) + "\n"


def _blocks(tables: Sequence[Table], head: Callable[[str, str], str], body: _Body) -> Iterator[str]:
    """Yield each heading with the notes that all tables below it share, and the tables with their other notes."""
    for (title, details), group in itertools.groupby(tables, key=Table.heading):
        own = list(group)
        shared = [note for note in own[0].notes if title and all(note in table.notes for table in own)]
        if title:
            yield head(title, "; ".join([details, *shared]))
        yield from (body(table, [note for note in table.notes if note not in shared]) for table in own)


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
    heads, numbers = [escape_markdown(column.name) for column in columns], [column.number for column in columns]
    above = [f"**{escape_markdown(table.title)}**", *([escape_markdown(shared)] if shared else [])]
    note = escape_markdown("; ".join([*notes, *([table.short_ids] if ids else [])]))
    return "\n\n".join(filter(None, [*above, markdown_table(heads, numbers, list(zip(*fields, strict=True))), note]))


def _csv_field(value: Any) -> Any:
    value = " ".join(map(str, value)) if isinstance(value, list) else value
    return "'" * bool(_FORMULA.match(value)) + one_line(value) if isinstance(value, str) else value
