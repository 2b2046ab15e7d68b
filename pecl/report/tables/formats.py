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
from html import escape
from typing import Any

from pecl.errors import one_line
from pecl.report.tables.table import Frame, Layout, Table, laid_out, text_table, wrapped

# Letters per row that fit a paper's column and its page, and rows per page
_COLUMN, _PAGE, _ROWS = 42, 98, 40
_SIGNS = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "…": r"\dots{}",
    "<": r"$<$", ">": r"$>$", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
_SIGNED = re.compile(r"(?<![\w.$-])[-+]\d+(?:\.\d+)?")  # a hyphen before a number is a minus sign


def to_latex(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as LaTeX; ids of runs are comments."""
    floats = [_floats(table, f"tab:{table.name}-{number}", ids) for number, table in enumerate(tables, 1)]
    return "\n".join(["% needs \\usepackage{booktabs,graphicx}\n", *itertools.chain.from_iterable(floats)])


def escape_latex(field: object) -> str:
    """Escape a field for LaTeX; signed numbers become mathematics, with a minus or plus sign."""
    # NUL stands for the dollar of mathematics while the signs are escaped
    marked = _SIGNED.sub(lambda found: f"\0{found.group()}\0", one_line(field))
    return "".join(_SIGNS.get(sign, sign) for sign in marked).replace("\0", "$")


def _floats(table: Table, label: str, ids: bool) -> Iterator[str]:
    layout = laid_out(table, ids)
    width = max(map(len, text_table(layout.frame, layout.numbers, width=100_000).splitlines()), default=0)
    note = "; ".join(filter(None, [table.group and table.group.metric, *table.notes]))
    said = [table.title, table.heading[0], f"In all rows: {layout.shared}" if layout.shared else ""]
    said += [note[:1].upper() + note[1:], "Best in bold" if table.best else ""]
    parts = range(0, len(layout.frame), _ROWS)
    for part, start in enumerate(parts, 1):
        of = [f"Part {part} of {len(parts)}"] if len(parts) > 1 else []
        caption = escape_latex(" ".join(f"{one}." for one in [*said, *of] if one))
        own, best = layout.frame[start : start + _ROWS], layout.best[start : start + _ROWS]
        bold = best.replace({True: "textbf:--rwrap", False: ""})
        style = own.style.hide(axis="index").format(escape_latex).format_index(escape_latex, axis="columns")
        latex = style.apply(lambda _, bold=bold: bold, axis=None).to_latex(
            column_format="".join("r" if name in layout.numbers else "l" for name in own),
            position="t",
            position_float="centering",
            hrules=True,
            # a long word, such as an adapter's options, may be broken at its signs
            caption=re.sub(r"\S{30,}", lambda one: re.sub(r"(?<=[,:/+=])(?=\w)", r"\\allowbreak ", one[0]), caption),
            label=label if part == 1 else f"{label}-{part}",
            environment="table*" if width > _COLUMN else "table",
        )
        if width > _PAGE:
            latex = latex.replace(r"\begin{tabular}", r"\resizebox{\linewidth}{!}{\begin{tabular}")
            latex = latex.replace(r"\end{tabular}", r"\end{tabular}}")
        # a bracket or asterisk at the beginning of a row would be an argument of the line break before it
        latex = re.sub(r"^(?=[\[*])", "{}", latex, flags=re.MULTILINE).replace(r"\centering", r"\centering\small", 1)
        yield f"% {table.short_ids}\n{latex}" if ids and table.short_ids else latex


def to_text(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as plain text, at most 100 letters wide; tables that were measured alike share a heading."""
    parts = []
    for heading, table, layout, note in _sections(tables, ids):
        parts += [f"{wrapped(f'== {heading[0]} ==')}\n{wrapped(heading[1])}"] if heading else []
        body = text_table(layout.frame, layout.numbers)
        said = [wrapped(table.title), wrapped(layout.shared), body, wrapped(f"({note})") if note else ""]
        parts.append("\n".join(filter(None, said)))
    return "\n\n".join(parts) + "\n"


def to_markdown(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as GitHub Markdown, the best of comparable scores in bold."""
    parts = []
    for heading, table, layout, note in _sections(tables, ids):
        parts += [f"## {escape_markdown(heading[0])}", escape_markdown(heading[1])] if heading else []
        sides = ["right" if name in layout.numbers else "left" for name in layout.frame]
        frame = layout.frame.map(escape_markdown)
        frame = frame.mask(layout.best, "**" + frame + "**").rename(columns=escape_markdown)
        said = frame.to_markdown(index=False, tablefmt="pipe", disable_numparse=True, colalign=sides)
        parts += [f"**{escape_markdown(table.title)}**", escape_markdown(layout.shared), said, escape_markdown(note)]
    return "\n\n".join(filter(None, parts)) + "\n"


def to_html(tables: Sequence[Table], ids: bool = False) -> str:
    """Return tables as HTML elements: a heading per group of numbers, tables with captions, and notes."""
    parts = []
    for heading, table, layout, note in _sections(tables, ids):
        parts += [f'<h3>{escape(heading[0])}</h3>\n<p class="hint">{escape(heading[1])}</p>'] if heading else []
        under = escape("; ".join(filter(None, [layout.shared, note])))
        parts.append(html_table(table.title, layout.frame) + (f'\n<p class="under">{under}</p>' if under else ""))
    return "\n\n".join(parts) + "\n"


def _sections(tables: Sequence[Table], ids: bool) -> Iterator[tuple[tuple[str, str] | None, Table, Layout, str]]:
    """Yield (heading, table, layout, note): a heading, before its first table, has the notes that they share."""
    for (title, details), group in itertools.groupby(tables, key=lambda table: table.heading):
        own = list(group)
        shared = [note for note in own[0].notes if title and all(note in table.notes for table in own)]
        heading = (title, "; ".join([details, *shared])) if title else None
        for table in own:
            notes = [*(note for note in table.notes if note not in shared), *([table.short_ids] if ids else [])]
            yield heading, table, laid_out(table, ids), "; ".join(notes)
            heading = None


def html_table(title: str, frame: Frame) -> str:
    """Return one table as HTML, with its title as the caption; fields are escaped."""
    import pandas as pd

    with pd.option_context("display.max_colwidth", None):  # otherwise pandas cuts long fields
        table = frame.to_html(index=False, border=0, justify="unset").replace(' style="text-align: unset;"', "", 1)
    return f"<table>\n<caption>{escape(title)}</caption>\n{table.partition('>')[2].lstrip()}"


def to_csv(tables: Sequence[Table], ids: bool = True) -> str:
    """Return tables of one name as one CSV table of raw values, with run ids and without notes.

    Several seeds or run ids in a field are joined by spaces.
    """
    import pandas as pd

    frame = pd.concat([table.frame for table in tables]) if tables else pd.DataFrame()
    return frame.map(lambda value: " ".join(map(str, value)) if isinstance(value, list) else value).to_csv(index=False)


def to_json(tables: Sequence[Table], ids: bool = True) -> str:
    """Return tables as a JSON list: raw values, and always the full run ids."""
    return json.dumps([table.to_dict() for table in tables], indent=2, ensure_ascii=False) + "\n"


# Name -> a function that writes tables as text, with run ids or without
FORMATS = {
    **{"text": to_text, "markdown": to_markdown, "latex": to_latex},
    **{"html": to_html, "csv": to_csv, "json": to_json},
}
ENDINGS = {"text": "txt", "markdown": "md", "latex": "tex"}  # suffixes of files that differ from the format's name


def escape_markdown(field: Any) -> str:
    """Escape a field for Markdown: one line, without code, HTML or links."""
    return re.sub(r"([\\|`*<]|\](?=[(\[:]))", r"\\\1", one_line(field))
