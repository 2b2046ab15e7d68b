"""Recall against minutes in docs/results.md: the table and the figure of `benchmarks/rivals.py`."""

import json
from pathlib import Path
from typing import Any

from marked import ROOT, table

from pecl.files import write_bytes
from pecl.language.languages import language_name
from pecl.report.plots.style import GREY, Plot, panels, styled

FIGURES = ROOT / "results" / "rivals.json"  # of `benchmarks/rivals.py --json`
# colours, markers
_LOOKS = (("#D55E00", "s"), ("#E69F00", "D"), ("#0072B2", "o"), ("#56B4E9", "^"))


def rivals_table() -> str:
    """Tabulate minutes and recall at the end of each training, and pecl's minutes to the same recall."""
    ways = _figures()["ways"]
    return table(
        ["training", "parameters", "minutes", "mean R", "pecl's minutes to that recall"],
        [
            [
                way["name"],
                f"{way['parameters']:,}",
                f"{way['points'][-1][0] / 60:.1f}",
                f"{_best(way):.3f}",
                _reached(way, ways),
            ]
            for way in ways
        ],
    )


def _reached(way: dict[str, Any], ways: list[dict[str, Any]]) -> str:
    """Return the minutes until the first of pecl's trainings reaches the best recall of another library's training."""
    if _is_own(way):
        return ""
    reached = [at for mine in ways if _is_own(mine) for at, recall in mine["points"] if recall >= _best(way)]
    return f"{min(reached) / 60:.1f}" if reached else "not reached"


def _best(way: dict[str, Any]) -> float:
    return max(recall for _, recall in way["points"])


def _is_own(way: dict[str, Any]) -> bool:
    return way["name"].startswith("pecl")


def _figures() -> dict[str, Any]:
    return json.loads(FIGURES.read_text("utf-8"))


def write_rivals(folder: Path) -> None:
    """Write the figure into a folder."""
    plot = draw()
    write_bytes(folder / f"{plot.name}.png", plot.render("png"))


@styled
def draw() -> Plot:
    """Draw recall against minutes, a point after each pass."""
    document = _figures()
    caption = (
        f"{language_name(document['language'])}, {document['pairs']} pairs, mean of R@1, 5 and 10 of both directions, "
        f"{document['test captions']} photographs. A point after each pass; CPU minutes of one thread, one seed."
    )
    figure, (ax,) = panels(2.3, caption)
    for way, (colour, marker) in zip(document["ways"], _LOOKS, strict=True):
        minutes, recalls = zip(*((at / 60, recall) for at, recall in way["points"]), strict=True)
        ax.plot(minutes, recalls, color=colour, marker=marker, markersize=3, label=way["name"])

    ax.axhline(document["ways"][0]["points"][0][1], color=GREY, linewidth=0.8)
    ax.set(xlabel="minutes", ylabel="mean R")
    ax.legend(loc="lower right", bbox_to_anchor=(1, 0.06), fontsize=5.5)
    return Plot("rivals", "Recall against minutes of training", caption, (), figure)
