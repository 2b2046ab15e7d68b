"""Numbers that plots show, each with its error bar; captions; one plot for each group of results."""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import wraps

import numpy as np

from pecl.report.plots.style import NotDrawn, Plot, styled
from pecl.report.tables import Candidate, Group, by_group, hits
from pecl.report.tables.statistics import intervals
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result

SCORE = "mean R@1"


@dataclass(frozen=True)
class Estimate:
    """A mean over test items and seeds: `low` and `high` bound its 95 % interval, or one standard deviation."""

    mean: float
    low: float
    high: float

    @property
    def error(self) -> list[list[float]]:
        """Lengths of the error bar below and above, (2, 1), as matplotlib takes them."""
        return [[max(self.mean - self.low, 0.0)], [max(self.high - self.mean, 0.0)]]

    def scaled(self, factor: float) -> "Estimate":
        """Return it with all its values times a positive `factor`."""
        return Estimate(self.mean * factor, self.low * factor, self.high * factor)


def zero_shot(result: Result) -> Estimate:
    """Return the score of the plain tower that `result` holds, with its bootstrap interval over test items."""
    return _bootstrapped(hits(result, "zero_shot"))


def trained(candidate: Candidate) -> Estimate:
    """Return a candidate's score after training.

    One seed: with the bootstrap interval over test items; several: mean and standard deviation over seeds.
    """
    return _over_seeds(candidate, candidate.trained_hits, 0.0)


def gain(candidate: Candidate) -> Estimate:
    """Return a candidate's gain over the plain tower; its error bar is as in `trained`, paired."""
    return _over_seeds(candidate, candidate.gains, candidate.zero_shot)


def beyond_noise(candidate: Candidate) -> bool:
    """Return whether the 95 % interval over test items of a candidate's gain, averaged over seeds, leaves out 0."""
    low, high = intervals([candidate.gains])[0].tolist()
    return not low <= 0 <= high


def _over_seeds(candidate: Candidate, per_item: np.ndarray, less: float) -> Estimate:
    if len(candidate.runs) == 1:
        return _bootstrapped(per_item)
    mean, std = candidate.mean - less, candidate.std
    return Estimate(mean, mean - std, mean + std)


def _bootstrapped(per_item: np.ndarray) -> Estimate:
    low, high = intervals([per_item])[0].tolist()
    return Estimate(float(per_item.mean()), low, high)


def where_text(group: Group, captions: Iterable[int]) -> str:
    """Return the words for a group's data: data set, gallery, number of test captions, tower."""
    name = f"{group.dataset} {group.dataset_split}" if group.dataset_split else group.dataset
    n = ", ".join(f"{number:,}" for number in sorted(set(captions)))
    kind = "images" if group.gallery_kind == "images" else "English captions"
    gallery = group.gallery if group.gallery_size else f"of {kind}, its size in brackets"
    return f"{name}, gallery {gallery}, n = {n} test captions, text tower {group.text_tower}"


def describe(group: Group, candidates: Sequence[Candidate], plain: bool = False) -> str:
    """Return the caption of a plot: metric, data, gallery, number of captions, seeds, and error bars.

    `plain` says that the plot shows scores of the plain tower, too.
    """
    metric = group.metric[0].upper() + group.metric[1:]
    seeds = seeds_text(seed for one in candidates for seed in one.seeds)
    several = {len(one.runs) > 1 for one in candidates}
    bars = ["95 % bootstrap interval over test items"] if plain or False in several else []
    if True in several:
        bars.append("± one standard deviation over seeds" + (" where a candidate has several" if bars else ""))
    where = where_text(group, (candidate.captions for candidate in candidates))
    return f"{metric}; {where}; {seeds}. Bars: {'; '.join(bars)}."


def run_ids(candidates: Iterable[Candidate], *others: Result) -> tuple[str, ...]:
    """Return the ids of the runs of candidates, and of other results, sorted."""
    return tuple(sorted({run.run_id for one in candidates for run in one.runs} | {run.run_id for run in others}))


def trainings(results: Sequence[Result]) -> list[Result]:
    """Return the results of trainings.

    Raises:
        NotDrawn: there are none.
    """
    found = [result for result in results if result.kind == "train"]
    if not found:
        raise NotDrawn("no complete training among the results")
    return found


def for_each_group(
    draw: Callable[[Group, list[Result], Sequence[Result]], Plot],
) -> Callable[[Sequence[Result]], list[Plot]]:
    """Decorate a function that draws a group's plot from the group, its trainings and all results.

    The new one takes all results and returns the plots of the groups that have the data for one; if there are several,
    their names tell them apart. It raises NotDrawn if no group has; the reasons are joined.
    """

    @wraps(draw)
    @styled
    def draw_groups(results: Sequence[Result]) -> list[Plot]:
        plots, reasons = [], []
        for group, runs in by_group(trainings(results)).items():
            try:
                plots.append((group, draw(group, runs, results)))
            except NotDrawn as reason:
                reasons.append(str(reason))
        if not plots:
            raise NotDrawn("; ".join(dict.fromkeys(reasons)))
        return with_names(plots)

    return draw_groups


def with_names(plots: Sequence[tuple[Group, Plot]]) -> list[Plot]:
    """Return the plots; if there are several, add data set and gallery to their names, or else a number."""
    if len(plots) == 1:
        return [plots[0][1]]
    named: dict[str, Plot] = {}
    for group, plot in plots:
        said = f"{plot.name} {group.dataset} {group.dataset_split or ''} {group.gallery}".lower().replace(",", "")
        name = re.sub(r"[^a-z0-9]+", "-", said).strip("-")
        number = sum(other == name or other.startswith(f"{name}-no-") for other in named)
        name = f"{name}-no-{number + 1}" if number else name
        named[name] = replace(plot, name=name)
    return list(named.values())
