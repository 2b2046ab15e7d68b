"""A figure of a benchmark, and how two ways of working are timed side by side.

On one thread of a CPU, time is that of the processor, which other work on the machine adds nothing to but what it
takes of caches; else it is that of a clock.
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


def now() -> float:
    """Return seconds of the processor, or of a clock where several threads, or a GPU, compute."""
    return time.perf_counter() if torch.get_num_threads() > 1 or torch.cuda.is_initialized() else time.process_time()


def wait() -> None:
    """Wait until a GPU, where one is in use, has done what it was told."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def seconds(function: Callable[[], Any]) -> float:
    """Return how long `function` takes, what it leaves a GPU to do included; see `now`."""
    wait()
    started = now()
    function()
    wait()
    return now() - started


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


@cache
def text_tower(device: str, precision: str = FP32) -> MultilingualTextEncoder:
    """Return the mini text tower, which all parts share: whoever attaches an adapter takes it off again."""
    return load_towers("mini", device=device, precision=precision).text
