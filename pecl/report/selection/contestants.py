"""Contestants of a comparison: methods with names that state all in which they differ, and the base encoder."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pecl.config import IDENTITY_DEFAULTS
from pecl.report.selection.candidates import Candidate, candidates_by_method, seeds_and_validation, varying
from pecl.report.selection.groups import grouped
from pecl.report.selection.methods import ZERO_SHOT, method_labels
from pecl.results.result import TrainingResult

_ALWAYS_NAMED = ("adapter", "engine")  # fields that all names state if any two candidates differ in them


@dataclass
class Contestant:
    """A method, or the base encoder, with its values in each language.

    Attributes:
        is_plain: whether it is the base encoder, which has no seeds.
        hits: hits of each seed and test item, (seeds, items), after training.
        validation: the validation score that the candidate was chosen by.
        runs: the runs of the hits, by seed.
        passed_over: why runs of its name are not among them, such as `6 runs with other lr`.
    """

    is_plain: bool = False
    hits: dict[str, np.ndarray] = field(default_factory=dict)
    validation: dict[str, float] = field(default_factory=dict)
    runs: dict[str, Sequence[TrainingResult]] = field(default_factory=dict)
    passed_over: dict[str, list[str]] = field(default_factory=dict)

    def add(self, candidate: Candidate) -> None:
        """Add the language of a candidate."""
        language = candidate.language
        self.hits[language] = np.stack([run.hits("best") for run in candidate.runs])
        self.validation[language] = candidate.validation
        self.runs[language] = candidate.runs
        if candidate.passed_over:
            self.passed_over[language] = [_passed_over_text(candidate)]

    def add_plain(self, candidate: Candidate) -> None:
        """Add the base encoder in the language of a candidate."""
        first = candidate.runs[0]
        self.hits[candidate.language] = first.hits("zero_shot")[None]
        self.validation[candidate.language] = first.recall("val", "zero_shot")
        self.runs[candidate.language] = [first]

    @property
    def seed_counts(self) -> set[int]:
        """Numbers of seeds of its languages; empty for the base encoder."""
        return set() if self.is_plain else {len(runs) for runs in self.runs.values()}


@dataclass(frozen=True)
class Contestants:
    """The contestants among results that were measured alike, by name.

    Attributes:
        single: methods that differ in more than what validation chooses, by full name, and the base encoder.
        choices: short names, such as `method1` -> full names. In each language it is one of them: that with the most
            seeds, and among equals that with the best validation score.
        by_name: all of them.
    """

    single: dict[str, Contestant]
    choices: dict[str, list[str]]
    by_name: dict[str, Contestant]


def contestants(results: Sequence[TrainingResult]) -> Contestants:
    """Return the contestants among trainings of one group.

    A full name is the method as the summary names it, then its adapter and engine if those of the group differ, then
    each field of the setting in which candidates of the method differ: `method1 (text) lora:r=4 engine=peft`.
    """
    candidates = candidates_by_method(results)
    labels, _ = method_labels(candidate.method for candidate in candidates)
    names = _full_names(candidates, [labels[candidate.method] for candidate in candidates])

    single: dict[str, Contestant] = {}
    for name, candidate in zip(names, candidates, strict=True):
        single.setdefault(name, Contestant()).add(candidate)
        plain_tower = single.setdefault(ZERO_SHOT[candidate.query], Contestant(is_plain=True))
        plain_tower.add_plain(candidate)

    choices: dict[str, list[str]] = {}
    chosen: dict[str, Contestant] = {}
    named = grouped(zip(names, candidates, strict=True), lambda pair: labels[pair[1].method])
    for label, pairs in named.items():
        if label not in single:
            choices[label] = list(dict.fromkeys(name for name, _ in pairs))
            chosen[label] = _chosen(pairs)
    return Contestants(single, choices, single | chosen)


def _full_names(candidates: Sequence[Candidate], labels: Sequence[str]) -> list[str]:
    """Return the full name of each candidate, whose method has the label."""
    stated = [name for name in _ALWAYS_NAMED if name in varying(candidate.setting for candidate in candidates)]
    by_label = grouped(zip(labels, candidates, strict=True), lambda pair: pair[0])
    fields = {
        label: stated + [name for name in varying(pair[1].setting for pair in pairs) if name not in stated]
        for label, pairs in by_label.items()
    }
    return [
        " ".join([label, *(_field_text(name, candidate) for name in fields[label])])
        for label, candidate in zip(labels, candidates, strict=True)
    ]


def _field_text(name: str, candidate: Candidate) -> str:
    value = dict(candidate.setting)[name]
    if name == "adapter":
        return str(value)
    return f"{name}={'none' if value is None else value}"


def _chosen(pairs: Sequence[tuple[str, Candidate]]) -> Contestant:
    """Return the contestant of a short name: in each language one of the candidates (full name, candidate)."""
    contestant = Contestant()
    for language, alike in grouped(pairs, lambda pair: pair[1].language).items():
        name, best = max(alike, key=lambda pair: seeds_and_validation(pair[1]))
        contestant.add(best)
        others = [other for other, _ in alike if other != name]
        if others:
            contestant.passed_over.setdefault(language, []).insert(0, f"it is {name}, not {', '.join(others)}")
    return contestant


def _passed_over_text(candidate: Candidate) -> str:
    """Return how many runs validation passed over, and the fields in which they differ from those of the candidate."""
    runs = candidate.passed_over
    fields = [
        name
        for name in IDENTITY_DEFAULTS
        if name != "seed" and any(getattr(run.config, name) != getattr(candidate.config, name) for run in runs)
    ]
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''} with other {', '.join(fields)}"
