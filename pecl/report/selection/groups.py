"""Groups of results that were measured alike, so that one table may hold them; and intervals over test items."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import numpy as np

from pecl.errors import ConfigError, DataError, not_none, unknown
from pecl.results.parts import Tower
from pecl.results.result import Result, UnfinishedRun, where
from pecl.retrieval.measures import DIRECTIONS, LEVEL, SAMPLES, bootstrap_intervals

T = TypeVar("T")
K = TypeVar("K")
R = TypeVar("R", bound=Result)

BEST = "best"
_BLOCK_SIZE = 256  # arrays that are resampled together
BOOTSTRAP = f"{LEVEL:.0%} percentile bootstrap over test items, {SAMPLES:,} resamples, seed 0"


@dataclass(frozen=True)
class Group:
    """Properties of a measurement that results must share to be comparable."""

    dataset: str
    dataset_split: str | None
    captions: str  # first digits of the SHA-256 of the English captions of the whole set
    gallery_kind: str
    gallery_size: int | None  # items in the gallery of the test part; None if a table states it row by row
    split_seed: int | None  # seed of the few-shot split; None for an evaluation of the whole set
    text_tower: str  # name and first digits of the fingerprint
    image_tower: str | None  # the same; None if the gallery is English captions
    test_query: str  # train-side, or official-run-cross

    @property
    def metric(self) -> str:
        """The metric of the scores in tables."""
        directions = " and ".join(name.replace("_", "-") for name in DIRECTIONS[self.gallery_kind])
        return f"mean R@1 of {directions}"

    @property
    def gallery(self) -> str:
        """Size and kind of the gallery."""
        kind = {"images": "images", "english": "English captions"}[self.gallery_kind]
        return f"{self.gallery_size:,} {kind}" if self.gallery_size else f"{kind}, size by row"

    @property
    def data(self) -> str:
        """Data set and its split."""
        return f"{self.dataset} {self.dataset_split}" if self.dataset_split else self.dataset

    @property
    def title(self) -> str:
        """Data set and gallery."""
        return f"{self.data}, {self.gallery}"

    @property
    def details(self) -> str:
        """The other properties that its numbers share."""
        towers = f"text tower {self.text_tower}"
        if self.image_tower:
            towers += f", image tower {self.image_tower}"
        part = "whole set" if self.split_seed is None else f"few-shot split seed {self.split_seed}"
        return f"{self.metric}; {towers}; {part}; test query: {self.test_query}; captions {self.captions}"


def group_of(result: Result) -> Group:
    """Return the group that a complete result belongs to."""
    config = result.config
    data = result.data
    captions = not_none(data.sha256["english"] or data.sha256["target"], "sha256 of captions")
    image_tower = result.towers.image if data.gallery.kind == "images" else None

    return Group(
        dataset=data.dataset,
        dataset_split=config.split,
        captions=captions[:8],
        gallery_kind=data.gallery.kind,
        gallery_size=data.gallery.size,
        split_seed=config.split_seed if result.kind == "train" else None,
        text_tower=_tower_text(result.towers.text),
        image_tower=_tower_text(image_tower) if image_tower else None,
        test_query=config.test_query,
    )


def _tower_text(tower: Tower) -> str:
    return f"{tower.name} {tower.fingerprint[:8]}"


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """Return `items` by their `key`, keys in the order of their first item."""
    groups: dict[K, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def by_arithmetic(results: Sequence[R]) -> dict[str, list[R]]:
    """Return results by device and precision of the text tower, as text for a label: empty if all have the same."""
    by_label = grouped(results, lambda result: f", {result.config.device} {result.config.precision}")
    return by_label if len(by_label) > 1 else {"": list(results)}


def by_group(results: Iterable[R]) -> dict[Group, list[R]]:
    """Return the results by group, groups in a fixed order.

    Raises:
        DataError: two runs of one language in a group were tested on different captions.
    """
    groups = grouped(results, group_of)
    for group_results in groups.values():
        _check_test_captions(group_results)

    ordered = sorted(groups, key=lambda group: (group.dataset, group.gallery_kind, group.gallery_size, repr(group)))
    return {group: groups[group] for group in ordered}


def _check_test_captions(results: Sequence[Result]) -> None:
    """Raise DataError if two results of one language were tested on different captions."""
    first_of: dict[tuple[str, str], Result] = {}
    for result in results:
        language = result.config.language
        column = result.data.query["test"]
        first = first_of.setdefault((language, column), result)

        first_sha = str(first.data.sha256[column])[:8]
        sha = str(result.data.sha256[column])[:8]
        if first_sha != sha:
            raise DataError(
                f"{where(first)} and {where(result)} were tested on different captions of language {language}: "
                f"data.sha256.{column} begins {first_sha} against {sha}; run the older one again"
            )


def select(results: Sequence[R], conditions: Sequence[str]) -> list[R]:
    """Return the complete results for which all of `conditions`, each `key=value`, hold.

    Keys are the fields of `Group`, those of the config, and `kind`.

    Raises:
        ConfigError: a condition is not `key=value`, or has an unknown key.
        DataError: no result meets it.
    """
    selected = list(results)
    for condition in conditions:
        key, equals, value = condition.partition("=")
        if not equals:
            raise ConfigError(field="where", expected="key=value, such as gallery_size=900", got=condition)

        by_value: dict[str, list[R]] = {}
        for result in selected:
            values = {**result.config.to_dict(), **asdict(group_of(result)), "kind": result.kind}
            if key not in values:
                raise ConfigError(unknown("key", key, values), field="where")
            by_value.setdefault(str(values[key]), []).append(result)

        if value not in by_value:
            available = ", ".join(sorted(by_value))
            raise DataError(f"no complete result has {condition}; {key} is {available} here", field="where")
        selected = by_value[value]
    return selected


def select_unfinished(runs: Sequence[UnfinishedRun], conditions: Sequence[str]) -> list[UnfinishedRun]:
    """Return the unfinished runs that may meet all of `conditions`, which `select` has checked.

    A run that did not finish records no gallery size, captions or towers: conditions on these leave it in.
    """
    selected = []
    for run in runs:
        values = {
            **run.config.to_dict(),
            "dataset_split": run.config.split,
            "gallery_kind": run.config.gallery,
            "kind": run.kind,
        }
        wanted = [condition.partition("=") for condition in conditions]
        if all(str(values.get(key, value)) == value for key, _, value in wanted):
            selected.append(run)
    return selected


def intervals(per_item: Iterable[np.ndarray]) -> np.ndarray:
    """Return (K, 2): the bootstrap interval of the mean of each of K arrays, which may differ in length."""
    arrays = list(per_item)
    ends = np.empty((len(arrays), 2))
    for length in {len(values) for values in arrays}:
        indices = [i for i, values in enumerate(arrays) if len(values) == length]
        for start in range(0, len(indices), _BLOCK_SIZE):
            block = indices[start : start + _BLOCK_SIZE]
            ends[block] = bootstrap_intervals(np.stack([arrays[i] for i in block]))
    return ends
