"""A figure of a benchmark, and how two ways of working are timed side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One number that a benchmark gives.

    Attributes:
        name: what it says.
        value: the number: a ratio of times of one run (larger is better), a share, or seconds.
        unit: `x`, `share` or `s`.
        wanted: what the project asks for, such as ">= 8"; empty where nothing is.
        floor: below it (for seconds: above it) a small run has regressed, beyond what noise explains; None: no such.
        details: seconds and whatever else stands behind it.
    """

    name: str
    value: float
    unit: str = "x"
    wanted: str = ""
    floor: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def regressed(self) -> bool:
        """Whether it is worse than its floor."""
        if self.floor is None:
            return False
        return self.value > self.floor if self.unit == "s" else self.value < self.floor

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return asdict(self) | {"regressed": self.regressed}

    def line(self) -> str:
        """Return the figure as a line of a table."""
        shown = f"{self.value:.0%}" if self.unit == "share" else f"{self.value:.2f} {self.unit}"
        wanted = f"  (wanted {self.wanted})" if self.wanted else ""
        return f"  {self.name:64} {shown:>9}{wanted}{'  REGRESSED' if self.regressed else ''}"


def seconds(function: Callable[[], Any]) -> float:
    """Return how long `function` takes."""
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def fastest(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the least seconds of each way, run by turns: other work on the machine only ever adds to a time."""
    found = {name: float("inf") for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            found[name] = min(found[name], seconds(way))
    return found


def by_turns(ways: Mapping[str, Callable[[Any], Any]], parts: Sequence[Any]) -> dict[str, float]:
    """Return the seconds that each way takes for all `parts`, part by part and by turns.

    Whatever slows the machine down for a while slows all of them.
    """
    found = dict.fromkeys(ways, 0.0)
    for part in parts:
        for name, way in ways.items():
            found[name] += seconds(lambda way=way, part=part: way(part))
    return found
