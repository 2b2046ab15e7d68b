"""Numbers that plots show, each with its spread and where it comes from; and the settings in which they compare."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pecl.languages import LANGUAGES
from pecl.report import BEST, METRIC, best_cells, hits
from pecl.retrieval import bootstrap_interval

Result = dict[str, Any]
METRIC_TEXT = "Mean R@1 of both directions"
# Fields in which runs of one cell may differ: its seed, and where things lie.
_NOT_OF_THE_CELL = ("seed", "out", "data_dir")


@dataclass(frozen=True, order=True)
class Setting:
    """What must be equal for two recalls to be compared: data, gallery, number of test captions, and tower."""

    dataset: str
    split: str
    kind: str
    size: int
    captions: int
    tower: str

    @classmethod
    def of(cls, result: Result) -> Setting:
        """Return the setting of a result's test."""
        data, gallery = result["data"], result["data"]["gallery"]
        tower = (result["towers"]["text"] or {}).get("name") or result["config"]["profile"]
        split = result["config"]["split"] or ""
        return cls(data["dataset"], split, gallery["kind"], gallery["size"], data["split"]["test"], tower)

    @property
    def name(self) -> str:
        """Return data set and split."""
        return f"{self.dataset} {self.split}".strip()

    def text(self) -> str:
        """Return what a caption says of it."""
        items = "images" if self.kind == "images" else "English captions"
        return f"{self.name}, gallery {self.size:,} {items}, n = {self.captions:,} test captions, tower {self.tower}"


@dataclass(frozen=True)
class Estimate:
    """A mean over test captions and seeds: `low` and `high` bound its 95 % interval, or one standard deviation.

    `seeds` is empty for the plain tower.
    """

    mean: float
    low: float
    high: float
    seeds: tuple[int, ...]
    runs: tuple[str, ...]

    @property
    def error(self) -> list[list[float]]:
        """Lengths of the error bar below and above, (2, 1), as matplotlib takes them."""
        return [[max(self.mean - self.low, 0.0)], [max(self.high - self.mean, 0.0)]]

    def scaled(self, factor: float) -> Estimate:
        """Return it with all its values times a positive `factor`."""
        return Estimate(self.mean * factor, self.low * factor, self.high * factor, self.seeds, self.runs)


def estimate(runs: Sequence[Result], what: str) -> Estimate:
    """Return `zero_shot`, `best` (recall) or `gain` of the runs of one cell, which differ in their seeds alone.

    One seed: mean over the test captions and its bootstrap interval; several: mean and standard deviation over seeds.
    """
    per_item = [_per_item(result, what) for result in runs]
    seeds = () if what == "zero_shot" else tuple(sorted(result["config"]["seed"] for result in runs))
    ids = tuple(sorted(result["run_id"] for result in runs))
    means = [float(items.mean()) for items in per_item]
    mean = float(np.mean(means))
    if len(seeds) <= 1:  # the plain tower has no seed
        low, high = bootstrap_interval(per_item[0])
    else:
        spread = float(np.std(means, ddof=1))
        low, high = mean - spread, mean + spread
    return Estimate(mean, low, high, seeds, ids)


def _per_item(result: Result, what: str) -> np.ndarray:
    ranks = result["ranks"]["test"]
    if what == "gain":
        return hits(ranks[BEST]) - hits(ranks["zero_shot"])
    return hits(ranks[what])


def by_setting(results: Iterable[Result]) -> dict[Setting, list[Result]]:
    """Return the results of each setting, in order."""
    found: dict[Setting, list[Result]] = {}
    for result in results:
        found.setdefault(Setting.of(result), []).append(result)
    return dict(sorted(found.items()))


def cell_key(result: Result, *without: str) -> tuple:
    """Return the config of a result but for seed and places, and `without` further fields."""
    left_out = {*_NOT_OF_THE_CELL, *without}
    return tuple((name, value) for name, value in result["config"].items() if name not in left_out)


def cells(results: Iterable[Result]) -> list[list[Result]]:
    """Return the results grouped by cell: those of a group differ in their seeds alone."""
    found: dict[tuple, list[Result]] = {}
    for result in results:
        found.setdefault(cell_key(result), []).append(result)
    return list(found.values())


def chosen_cells(results: Sequence[Result]) -> list[list[Result]]:
    """Return the runs of the cell that validation chose for each language, route and module."""
    groups = {cell_key(group[0]): group for group in cells(results)}
    return [groups[cell_key(result)] for result in best_cells(results)]


def validation(runs: Sequence[Result]) -> float:
    """Return the mean validation score of the runs of a cell."""
    return float(np.mean([result["metrics"]["val"][BEST][METRIC] for result in runs]))


def language_name(code: str) -> str:
    """Return `German (de)` for `de`."""
    return f"{LANGUAGES[code]} ({code})" if code in LANGUAGES else code


def describe(setting: Setting, estimates: Sequence[Estimate], metric: str = METRIC_TEXT) -> str:
    """Return the caption of a plot of `estimates`: metric, gallery, captions, seeds, and what the bars are."""
    seeds = [seed for one in estimates for seed in one.seeds]
    counts = {len(one.seeds) for one in estimates}
    bars = []
    if counts & {0, 1}:
        bars.append("95 % bootstrap interval over test captions")
    if counts - {0, 1}:
        bars.append("± one standard deviation over seeds" + (" where a cell has several" if bars else ""))
    return f"{metric}; {setting.text()}; {seeds_text(seeds)}. Bars: {'; '.join(bars)}."


def seeds_text(seeds: Iterable[int]) -> str:
    """Return `seed 1` or `seeds 1, 2`."""
    named = sorted(set(seeds))
    return f"seed{'s' if len(named) > 1 else ''} {', '.join(map(str, named))}"


def run_ids(estimates: Iterable[Estimate]) -> tuple[str, ...]:
    """Return the ids of all runs that the estimates come from, sorted."""
    return tuple(sorted({run for one in estimates for run in one.runs}))
