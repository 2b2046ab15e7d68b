r"""Tables as text, Markdown, LaTeX, HTML, CSV and JSON. Run ids are shown on request.

pandas writes all formats but the first. The LaTeX goes into a paper without changes and needs the packages booktabs and
graphicx: each table is a float with a caption, which states data, gallery, n and seeds, and a label `tab:<name>-<n>`. A
wide table is a `table*` over both columns, and one that is wider than the page is scaled down. A table that is longer
than a page is split into parts.
"""

import itertools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from typing import Any, NamedTuple

from pecl.errors import one_line
from pecl.report.tables.layout import Layout, laid_out, text_table, wrapped
from pecl.report.tables.table import Frame, Table

_COLUMN_WIDTH = 46  # letters per row that fit a column of LaTeX's article class, 229.5 pt; a letter has 4.5 to 4.9 pt
_PAGE_WIDTH = 95  # letters per row that fit its page, 469 pt
_PAGE_ROWS = 40
_SIGNS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "…": r"\dots{}",
    "|": r"\textbar{}", '"': r"\textquotedblright{}", "<": r"$<$", ">": r"$>$",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
_SIGNED = re.compile(r"(?<![\w.$-])[-+]\d+(?:\.\d+)?")  # a hyphen before a number is a minus sign


def to_latex(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as LaTeX; ids of runs are comments."""
    parts = ["% needs \\usepackage{booktabs,graphicx}\n"]
    for number, table in enumerate(tables, 1):
        parts += _floats(table, f"tab:{table.name}-{number}", ids)
    return "\n".join(parts)


def escape_latex(field: object) -> str:
    """Escape a field for LaTeX; signed numbers become mathematics, with a minus or plus sign."""
    # NUL stands for the dollar of mathematics while the signs are escaped
    marked = _SIGNED.sub(lambda match: f"\0{match.group()}\0", one_line(field))
    return "".join(_SIGNS.get(sign, sign) for sign in marked).replace("\0", "$")


def _floats(table: Table, label: str, ids: bool) -> Iterator[str]:
    """Yield the floats of a table, one per page that it fills."""
    layout = laid_out(table, ids)
    width = sum(max(map(len, [name, *layout.frame[name]])) + 2 for name in layout.frame) - 2

    starts = range(0, len(layout.frame), _PAGE_ROWS)
    for part, start in enumerate(starts, 1):
        rows = slice(start, start + _PAGE_ROWS)
        page = layout._replace(frame=layout.frame[rows], best=layout.best[rows])
        part_text = f"Part {part} of {len(starts)}" if len(starts) > 1 else ""
        caption = _latex_caption(table, layout.shared, part_text)
        part_label = label if part == 1 else f"{label}-{part}"

        latex = _float(page, caption, part_label, width)
        if ids and table.short_ids:
            latex = f"% {table.short_ids}\n{latex}"
        yield latex


def _latex_caption(table: Table, shared: str, part: str) -> str:
    note = "; ".join(filter(None, [table.group and table.group.metric, *table.notes]))
    sentences = [
        table.title,
        table.heading[0],
        f"In all rows: {shared}" if shared else "",
        note[:1].upper() + note[1:],
        "Best in bold" if table.best else "",
        part,
    ]
    caption = escape_latex(" ".join(f"{sentence}." for sentence in sentences if sentence))
    # a long word, such as an adapter's options, may be broken at its signs
    return re.sub(r"\S{30,}", lambda word: re.sub(r"(?<=[,:/+=])(?=\w)", r"\\allowbreak ", word[0]), caption)


def _float(layout: Layout, caption: str, label: str, width: int) -> str:
    """Return one float; `width` is the number of letters of the table's rows."""
    bold = layout.best.replace({True: "textbf:--rwrap", False: ""})
    style = layout.frame.style.apply(lambda _: bold, axis=None).hide(axis="index")
    style.format(escape_latex)
    style.format_index(escape_latex, axis="columns")
    latex = style.to_latex(
        column_format="".join("r" if name in layout.numbers else "l" for name in layout.frame),
        position="t",
        position_float="centering",
        hrules=True,
        caption=caption,
        label=label,
        environment="table*" if width > _COLUMN_WIDTH else "table",
    )

    if width > _PAGE_WIDTH:
        latex = latex.replace(r"\begin{tabular}", r"\resizebox{\linewidth}{!}{\begin{tabular}")
        latex = latex.replace(r"\end{tabular}", r"\end{tabular}}")
    # a bracket or asterisk at the beginning of a row would be an argument of the line break before it
    latex = re.sub(r"^(?=[\[*])", "{}", latex, flags=re.MULTILINE)
    return latex.replace(r"\centering", r"\centering\small", 1)


class _Section(NamedTuple):
    """A table as text formats print it."""

    heading: tuple[str, str] | None  # title and details of its group, before the group's first table
    table: Table
    layout: Layout
    note: str


def _sections(tables: Sequence[Table], ids: bool) -> Iterator[_Section]:
    """Yield the sections of tables; a heading has the notes that its tables share."""
    for (title, details), alike in itertools.groupby(tables, key=lambda table: table.heading):
        group_tables = list(alike)
        shared = []
        if title:
            first = group_tables[0]
            common = [note for note in first.notes if note not in first.footnotes]
            shared = [note for note in common if all(note in table.notes for table in group_tables)]

        heading = (title, "; ".join([details, *shared])) if title else None
        for table in group_tables:
            notes = [note for note in table.notes if note not in shared]
            if ids:
                notes.append(table.short_ids)
            yield _Section(heading, table, laid_out(table, ids), "; ".join(notes))
            heading = None


def to_text(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as plain text, at most 100 letters wide; tables that were measured alike share a heading."""
    parts = []
    for heading, table, layout, note in _sections(tables, ids):
        if heading:
            title, details = heading
            parts.append(f"{wrapped(f'== {title} ==')}\n{wrapped(details)}")
        body = text_table(layout.frame, layout.numbers, whole=layout.whole)
        lines = [wrapped(table.title), wrapped(layout.shared), body, wrapped(f"({note})") if note else ""]
        parts.append("\n".join(filter(None, lines)))
    return "\n\n".join(parts) + "\n"


def to_markdown(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as GitHub Markdown, the best of comparable scores in bold."""
    parts = []
    for heading, table, layout, note in _sections(tables, ids):
        if heading:
            title, details = heading
            parts += [f"## {escape_markdown(title)}", escape_markdown(details)]

        alignments = ["right" if name in layout.numbers else "left" for name in layout.frame]
        frame = layout.frame.map(escape_markdown)
        frame = frame.mask(layout.best, "**" + frame + "**").rename(columns=escape_markdown)
        body = frame.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=alignments)
        parts += [f"**{escape_markdown(table.title)}**", escape_markdown(layout.shared), body, escape_markdown(note)]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_html(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as HTML elements: a heading per group of numbers, tables with captions, and notes."""
    parts = []
    for heading, table, layout, note in _sections(tables, ids):
        if heading:
            title, details = heading
            parts.append(f'<h3>{escape(title)}</h3>\n<p class="hint">{escape(details)}</p>')

        body = html_table(table.title, layout.frame)
        under = escape("; ".join(filter(None, [layout.shared, note])))
        if under:
            body += f'\n<p class="under">{under}</p>'
        parts.append(body)
    return "\n\n".join(parts) + "\n"


def html_table(title: str, frame: Frame) -> str:
    """Return one table as HTML, with its title as the caption; fields are escaped."""
    import pandas as pd

    with pd.option_context("display.max_colwidth", None):  # otherwise pandas cuts long fields
        table = frame.to_html(index=False, border=0, justify="unset").replace(' style="text-align: unset;"', "", 1)
    return f"<table>\n<caption>{escape(title)}</caption>\n{table.partition('>')[2].lstrip()}"


def to_csv(tables: Sequence[Table], ids: bool = True) -> str:
    """Return tables as one CSV table of raw values, with run ids and without notes.

    The first columns have the name of each row's table, its setup and its group, so that rows of several tables differ.
    Several seeds or run ids in a field are joined by spaces.
    """
    import pandas as pd

    frame = pd.concat([_with_origin(table) for table in tables]) if tables else pd.DataFrame()
    return frame.map(_joined).to_csv(index=False)


def _with_origin(table: Table) -> Frame:
    """Return the frame of a table after columns of its name, setup and group; fields that its rows state stay there."""
    origin = {"table": table.name, "setup": table.setup}
    if table.group is not None:
        origin |= asdict(table.group)

    frame = table.frame.copy()
    missing = [name for name in origin if name not in frame]
    for position, name in enumerate(missing):
        frame.insert(position, name, [origin[name]] * len(frame))
    return frame


def _joined(value: Any) -> Any:
    return " ".join(map(str, value)) if isinstance(value, list) else value


def to_json(tables: Sequence[Table], ids: bool = True) -> str:
    """Return tables as a JSON list: raw values, and always the full run ids."""
    return json.dumps([table.to_dict() for table in tables], indent=2, ensure_ascii=False) + "\n"


# Name -> a function that writes tables as text, with run ids or without
FORMATS = {
    "text": to_text,
    "markdown": to_markdown,
    "latex": to_latex,
    "html": to_html,
    "csv": to_csv,
    "json": to_json,
}
ENDINGS = {"text": "txt", "markdown": "md", "latex": "tex"}  # suffixes of files that differ from the format's name


def escape_markdown(field: Any) -> str:
    """Escape a field for Markdown: one line, without code, HTML or links."""
    return re.sub(r"([\\|`*<]|\](?=[(\[:]))", r"\\\1", one_line(field))
