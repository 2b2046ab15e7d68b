"""Figures of benchmarks, and functions that time several procedures in alternation.

On one CPU thread, times are CPU seconds, which other work only changes through caches. Otherwise
they are wall-clock seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import Any

import torch

from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_towers
from pecl.machine import FP32


@dataclass(frozen=True)
class Figure:
    """One number of a benchmark.

    Attributes:
        name: the description.
        value: a ratio of times in one run (larger is better), a share, or seconds.
        unit: `x`, `share` or `s`.
        wanted: the goal, such as ">= 8", or empty.
        floor: a small run below it (for seconds: above it) has regressed beyond noise; None: no
            floor.
        details: the seconds and other values behind the number.
    """

    name: str
    value: float
    unit: str = "x"
    wanted: str = ""
    floor: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def regressed(self) -> bool:
        """Whether the value is worse than the floor."""
        if self.floor is None:
            return False
        return self.value > self.floor if self.unit == "s" else self.value < self.floor

    def to_json(self) -> dict[str, Any]:
        """Return the figure as JSON values."""
        return asdict(self) | {"regressed": self.regressed}

    def line(self) -> str:
        """Format the figure as a line of a table."""
        shown = f"{self.value:.0%}" if self.unit == "share" else f"{self.value:.2f} {self.unit}"
        wanted = f"  (wanted {self.wanted})" if self.wanted else ""
        return f"  {self.name:64} {shown:>9}{wanted}{'  REGRESSED' if self.regressed else ''}"


def now() -> float:
    """Return CPU seconds, or wall-clock seconds with several threads or a GPU."""
    if torch.get_num_threads() > 1 or torch.cuda.is_initialized():
        return time.perf_counter()
    return time.process_time()


def wait() -> None:
    """Wait until a GPU in use has finished."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def seconds(function: Callable[[], Any]) -> float:
    """Time `function`, including its work on a GPU; see `now`."""
    wait()
    started = now()
    function()
    wait()
    return now() - started


def fastest(ways: Mapping[str, Callable[[], Any]], repeats: int) -> dict[str, float]:
    """Return the shortest time of each procedure, in alternation: other work only ever adds to a time."""
    least = {name: float("inf") for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            least[name] = min(least[name], seconds(way))
    return least


def by_turns(ways: Mapping[str, Callable[[Any], Any]], parts: Sequence[Any]) -> dict[str, float]:
    """Return the total seconds of each procedure over `parts`, in alternation part by part.

    A slow phase of the machine then slows all of them.
    """
    totals = dict.fromkeys(ways, 0.0)
    for part in parts:
        for name, way in ways.items():
            totals[name] += seconds(lambda way=way, part=part: way(part))
    return totals


@cache
def text_tower(device: str, precision: str = FP32) -> MultilingualTextEncoder:
    """Return the mini text tower. All parts share it, so a part must detach each adapter that it attaches."""
    return load_towers("mini", device=device, precision=precision).text
