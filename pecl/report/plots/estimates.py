"""Numbers that plots show, each with its error bar, and captions."""

from collections.abc import Iterable, Sequence

import numpy as np

from pecl.report.tables import Candidate, Group, hits
from pecl.report.tables.table import seeds_text
from pecl.results.result import Result
from pecl.retrieval.measures import bootstrap_interval

SCORE = "mean R@1"


def zero_shot(result: Result) -> np.ndarray:
    """Return mean, low and high (3,) of the score of the plain tower that `result` holds, over test items."""
    return _bootstrapped(hits(result, "zero_shot"))


def trained(candidate: Candidate) -> np.ndarray:
    """Return mean, low and high (3,) of a candidate's score after training.

    One seed: the bootstrap interval over test items; several: one standard deviation over seeds around their mean.
    """
    return _over_seeds(candidate, candidate.trained_hits, 0.0)


def gain(candidate: Candidate) -> np.ndarray:
    """Return a candidate's gain over the plain tower as in `trained`; an interval is paired."""
    return _over_seeds(candidate, candidate.gains, candidate.zero_shot)


def error(estimate: np.ndarray) -> np.ndarray:
    """Return the lengths of the error bar below and above, (2, 1), as matplotlib takes them."""
    mean, low, high = estimate
    return np.maximum([[mean - low], [high - mean]], 0.0)


def _over_seeds(candidate: Candidate, per_item: np.ndarray, less: float) -> np.ndarray:
    if len(candidate.runs) == 1:
        return _bootstrapped(per_item)
    return candidate.mean - less + candidate.std * np.array([0, -1, 1])


def _bootstrapped(per_item: np.ndarray) -> np.ndarray:
    return np.array([per_item.mean(), *bootstrap_interval(per_item)])


def where_text(group: Group, candidates: Iterable[Candidate]) -> str:
    """Return the words for a group's data: data set, gallery, number of test captions, tower."""
    n = ", ".join(f"{number:,}" for number in sorted({one.captions for one in candidates}))
    return f"{group.data}, gallery {group.gallery}, n = {n} test captions, text tower {group.text_tower}"


def describe(group: Group, candidates: Sequence[Candidate], plain: bool = False) -> str:
    """Return the caption of a plot: metric, data, gallery, number of captions, seeds, and error bars.

    `plain` says that the plot shows scores of the plain tower, too.
    """
    seeds = seeds_text(seed for one in candidates for seed in one.seeds)
    several = {len(one.runs) > 1 for one in candidates}
    bars = ["95 % bootstrap interval over test items"] if plain or False in several else []
    if True in several:
        bars.append("± one standard deviation over seeds" + (" where a candidate has several" if bars else ""))
    metric = group.metric[0].upper() + group.metric[1:]
    return f"{metric}; {where_text(group, candidates)}; {seeds}. Bars: {'; '.join(bars)}."


def run_ids(candidates: Iterable[Candidate], *others: Result) -> tuple[str, ...]:
    """Return the ids of the runs of candidates, and of other results, sorted."""
    return tuple(sorted({run.run_id for one in candidates for run in one.runs} | {run.run_id for run in others}))
