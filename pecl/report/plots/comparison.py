"""Forest plots of comparisons: a panel per comparison, with a row per language and one over all languages."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pecl.language.languages import language_name
from pecl.report.plots import style
from pecl.report.plots.style import COLUMN, GREY, SCORE, Plot
from pecl.report.selection.groups import Group, grouped
from pecl.report.tables.comparison import BY_LANGUAGE, ITEMS, OVER_LANGUAGES, RESAMPLED, SEEDS_AND_ITEMS
from pecl.report.tables.table import Row, Table, seeds_text

ALL_LANGUAGES = "all languages"
_ROW_HEIGHT = 0.17  # inches
_PANEL_HEIGHT = 0.55  # inches of a panel without its rows
_WIDTH = 1.4 * COLUMN
_POINTS = {SEEDS_AND_ITEMS: "Filled", ITEMS: "Hollow (a method has one seed)"}
_TITLE_LETTERS = 60  # of a line
_TITLE = "Differences by language and over languages"


def draw_forest(group: Group, tables: Sequence[Table]) -> Plot:
    """Draw the numbers of a group's comparison tables; a comparison of one language has no row over languages."""
    by_name = {table.name: table for table in tables}
    by_language = by_name[BY_LANGUAGE]
    over_languages = by_name.get(OVER_LANGUAGES)
    comparisons = grouped(by_language.rows, _compared)
    overall = {_compared(row): row for row in over_languages.rows} if over_languages else {}

    heights = []
    for names, rows in comparisons.items():
        row_count = len(rows) + (1 if names in overall else 0)
        heights.append(_PANEL_HEIGHT + _ROW_HEIGHT * row_count)
    caption = _caption(group, by_language, over_languages)
    figure, axes = style.panels(heights, caption, width=_WIDTH)

    for panel, (names, rows) in zip(axes, comparisons.items(), strict=True):
        _draw_rows(panel, rows, overall.get(names))
        panel.set_title(_title(*names))
        panel.xaxis.set_major_locator(MaxNLocator(5))
    axes[-1].set_xlabel(f"difference in {SCORE}")
    style.same_limits(axes, up=False)
    return Plot(BY_LANGUAGE, _TITLE, caption, tuple(by_language.origin["run_ids"]), figure)


def _compared(row: Row) -> tuple[str, str]:
    return row["first"], row["second"]


def _title(first: str, second: str) -> str:
    title = f"{first} less {second}"
    return title if len(title) <= _TITLE_LETTERS else f"{first}\nless {second}"


def _draw_rows(panel: Axes, rows: Sequence[Row], overall: Row | None) -> None:
    """Draw a point and an interval per row, with the numbers on the right; the row over languages is a diamond."""
    panel.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
    labels = [language_name(row["language"]) for row in rows]
    for y, row in enumerate(rows):
        fill = "black" if row["p_over"] == SEEDS_AND_ITEMS else "white"
        _draw_row(panel, y, row, marker="o", markersize=3.5, markerfacecolor=fill, gid="language")
    if overall is not None:
        labels.append(ALL_LANGUAGES)
        _draw_row(panel, len(rows), overall, marker="D", markersize=5.5, gid="overall")
        panel.axhline(len(rows) - 0.5, color=GREY, linewidth=0.5)

    panel.set_yticks(range(len(labels)), labels)
    panel.set_ylim(len(labels) - 0.4, -0.6)  # the first row is on top
    panel.grid(axis="y", visible=False)


def _draw_row(panel: Axes, y: int, row: Row, gid: str, **look: Any) -> None:
    mean = row["difference"]
    low = row["difference_low"]
    high = row["difference_high"]

    panel.plot([low, high], [y, y], color="black", linewidth=1.0, gid=f"{gid}-interval")
    panel.plot([mean], [y], color="black", linestyle="none", gid=gid, **look)
    panel.annotate(
        f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]",
        (1, y),
        xycoords=panel.get_yaxis_transform(),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        size=style.NAME_SIZE,
        annotation_clip=False,
    )


def _bars(by_language: Table) -> str:
    """Return a sentence on the bars of each kind of points."""
    kinds = {row["p_over"] for row in by_language.rows}
    parts = [f"{_POINTS[kind]} with bars: {RESAMPLED[kind]}" for kind in _POINTS if kind in kinds]
    return f"{'; '.join(parts)}."


def _caption(group: Group, by_language: Table, over_languages: Table | None) -> str:
    origin = by_language.origin
    captions = ", ".join(f"{number:,}" for number in origin["test_captions"])
    metric = group.metric[0].upper() + group.metric[1:]
    caption = (
        f"{metric}; {group.data}, gallery {group.gallery}, n = {captions} test captions, text tower "
        f"{group.text_tower}; {seeds_text(origin['seeds'])}. Points: first less second. {_bars(by_language)}"
    )
    if over_languages is not None:
        caption += f" Diamond: mean over languages; its bar: {over_languages.resampled}."
    return caption
