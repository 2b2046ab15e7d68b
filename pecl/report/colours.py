"""One colour and one marker for each route, in every figure and on the page.

Okabe & Ito's palette (https://jfly.uni-koeln.de/color), told apart by colour-blind readers; a marker goes with each
colour, so nothing is told by colour alone.
"""

from __future__ import annotations

from typing import NamedTuple


class RouteLook(NamedTuple):
    """How a route is drawn."""

    colour: str
    marker: str


_ROUTES = {
    "baseline1": RouteLook("#56B4E9", "o"),
    "baseline2": RouteLook("#E69F00", "s"),
    "method1": RouteLook("#0072B2", "^"),
    "method2": RouteLook("#009E73", "D"),
    "method3": RouteLook("#D55E00", "v"),
}
_TEXT = RouteLook("#CC79A7", "P")
ON_TEXT = "text"  # any route that was trained on text of its own, not on pairs


def route_look(name: str) -> RouteLook:
    """Return the look of a route as `best_of_routes` names it: `method1`, or `method1, flickr30k200`."""
    return _ROUTES.get(name, _TEXT)


def route_label(name: str) -> str:
    """Return the short name of a route: `method1`, or `method1 (text)` where it was trained on text of its own."""
    route, _, text = name.partition(", ")
    return f"{route} (text)" if text else route


def text_remark(names: list[str]) -> str:
    """Return the sentence that says what `(text)` means in a figure with these routes; empty where none is there."""
    texts = sorted({text for name in names if (text := name.partition(", ")[2])})
    return f" (text): trained on {', '.join(texts)}." if texts else ""
