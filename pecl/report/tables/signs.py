"""Text that means something else to Markdown or LaTeX, made to be read as it is."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # line breaks among them
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "…": r"\dots{}",
    "<": r"$<$", ">": r"$>$", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip
_SIGNED = re.compile(r"(?<![\w.$-])[-+]\d+(?:\.\d+)?")  # a hyphen before a number is a minus sign


def one_line(field: object) -> str:
    """Return text without line breaks and other control characters."""
    return _CONTROLS.sub(" ", str(field))


def escape_markdown(field: object) -> str:
    """Return text that Markdown shows as it is: on one line, without code, HTML or links."""
    return re.sub(r"([\\|`*<]|\](?=[(\[:]))", r"\\\1", one_line(field))


def escape_latex(field: object) -> str:
    """Return text that LaTeX shows as it is, signed numbers with a minus or plus sign."""
    # NUL takes the place of the dollar of mathematics
    marked = _SIGNED.sub(lambda found: f"\0{found.group()}\0", one_line(field))
    return "".join(_LATEX.get(sign, sign) for sign in marked).replace("\0", "$")
