"""Tables as text, Markdown, CSV and JSON; `latex` has LaTeX. Ids of runs are shown where they are asked for."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pandas as pd

from pecl.report.tables.latex import to_latex
from pecl.report.tables.layout import laid_out, numeric_columns, shortened, text_table, wrapped
from pecl.report.tables.signs import escape_markdown, one_line
from pecl.report.tables.table import Table

_Body = Callable[[Table, Sequence[str]], str]  # of a table and the parts of its note that its heading does not say
_FORMULA = re.compile(r"(?![-+][\d.]+(e[-+]?\d+)?$)[=+\-@\t\r]", re.IGNORECASE)  # how one begins, but not a number


def to_text(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as plain text, at most 100 letters wide, those measured alike under one heading."""
    return _by_heading(tables, _text_heading, lambda table, said: _text(table, said, ids))


def to_markdown(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as GitHub Markdown, the best score of what compares in bold."""

    def head(title: str, details: str) -> str:
        return f"## {escape_markdown(title)}\n\n{escape_markdown(details)}"

    return _by_heading(tables, head, lambda table, said: _markdown(table, said, ids))


def to_csv(tables: Sequence[Table], ids: bool = True) -> str:
    """Return tables of one name as one long table of raw values: seeds and run ids joined by spaces, no notes.

    Text that a spreadsheet would take for a formula begins with an apostrophe. Ids are always there.
    """
    rows = pd.concat([table.rows for table in tables], ignore_index=True)
    joined = rows.map(lambda value: " ".join(map(str, value)) if isinstance(value, list) else value)
    safe = joined.map(lambda value: _csv_text(value) if isinstance(value, str) else value)
    buffer = io.StringIO()
    safe.to_csv(buffer, index=False, lineterminator="\n")
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


def _by_heading(tables: Sequence[Table], head: Callable[[str, str], str], body: _Body) -> str:
    return "\n\n".join(_blocks(tables, head, body)) + "\n"


def _blocks(tables: Sequence[Table], head: Callable[[str, str], str], body: _Body) -> Iterator[str]:
    """Yield each heading, with what the notes of all tables under it say, and the tables with the rest."""
    for (title, details), group in itertools.groupby(tables, key=Table.heading):
        own = list(group)
        shared = [part for part in own[0].said if title and all(part in table.said for table in own)]
        if title:
            yield head(title, "; ".join([details, *shared]))
        yield from (body(table, [part for part in table.said if part not in shared]) for table in own)


def _text_heading(title: str, details: str) -> str:
    return f"{wrapped(f'== {shortened(one_line(title), 300)} ==')}\n{wrapped(one_line(details))}"


def _text(table: Table, said: Sequence[str], ids: bool) -> str:
    layout = laid_out(table, ids)
    note = "; ".join([*said, *([table.short_ids] if ids else [])])
    above = [wrapped(one_line(part)) for part in (table.title, layout.said)]
    below = wrapped(one_line(f"({note})")) if note else ""
    return "\n".join(filter(None, [*above, text_table(layout.frame), below]))


def _markdown(table: Table, said_below: Sequence[str], ids: bool) -> str:
    frame, said = laid_out(table, ids)
    header = [escape_markdown(name) for name in frame.columns]
    rule = ["---:" if numeric else "---" for numeric in numeric_columns(frame)]
    rows = [
        [_bold(escape_markdown(field), (place, name) in table.best) for name, field in zip(frame, row, strict=True)]
        for place, row in enumerate(frame.itertuples(index=False))
    ]
    lines = [f"| {' | '.join(row)} |" for row in [header, rule, *rows]]
    above = [f"**{escape_markdown(table.title)}**", *([escape_markdown(said)] if said else [])]
    note = escape_markdown("; ".join([*said_below, *([table.short_ids] if ids else [])]))
    return "\n\n".join(filter(None, [*above, "\n".join(lines), note]))


def _bold(text: str, best: bool) -> str:
    return f"**{text}**" if best and text else text


def _csv_text(text: str) -> str:
    return "'" * bool(_FORMULA.match(text)) + one_line(text)
