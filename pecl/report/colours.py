"""One colour and one marker for each method, in every figure and on the page.

Okabe & Ito's palette (https://jfly.uni-koeln.de/color), distinguishable to colour-blind readers. Each colour has its
own marker, so that no distinction rests on colour.
"""

from typing import NamedTuple

from pecl.report.methods import Method


class Look(NamedTuple):
    """How a method is drawn."""

    colour: str
    marker: str


# name of a look, which is a class of the page's style -> look
LOOKS = {
    "baseline1": Look("#56B4E9", "o"),
    "baseline2": Look("#E69F00", "s"),
    "method1": Look("#0072B2", "^"),
    "method2": Look("#009E73", "D"),
    "method3": Look("#D55E00", "v"),
    "text": Look("#CC79A7", "P"),
    "photographs": Look("#000000", "X"),
}


def look_name(method: Method) -> str:
    """Return the key of a method in `LOOKS`: its route, or `text` or `photographs` where it was distilled from text."""
    if method.text is None:
        return method.route
    return "photographs" if method.photographs else "text"
