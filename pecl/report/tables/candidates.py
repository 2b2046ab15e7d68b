"""Candidates: the runs of one configuration over its seeds; and the choice among candidates, only by validation."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pecl.config import IDENTITY_DEFAULTS, ExperimentConfig, Role, fields_of
from pecl.languages import language_name
from pecl.report.methods import Method, method_of
from pecl.report.tables.groups import Group, group_of, grouped
from pecl.report.tables.statistics import BEST, hits, sample_std
from pecl.report.tables.table import test_captions
from pecl.results.result import Result

_SAID = fields_of(Role.GROUP | Role.ROW | Role.REPEAT)  # stated by the table, or by the row
_SETTING = [name for name in IDENTITY_DEFAULTS if name not in _SAID | fields_of(Role.SEARCHED)]
_SETUP = [name for name in _SETTING if name not in ("adapter", "engine", "joint", "shots")]
_CANDIDATE = [name for name in IDENTITY_DEFAULTS if name not in fields_of(Role.REPEAT)]

Setting = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Candidate:
    """Runs that differ only in their seed, by seed.

    Attributes:
        seed: seed at which it was compared with the other candidates.
        compared: number of candidates it was chosen from.
        aside: number of candidates that had no run of that seed, and so could not be compared.
    """

    runs: tuple[Result, ...]
    seed: int
    compared: int = 1
    aside: int = 0

    @property
    def config(self) -> ExperimentConfig:
        """Config of the first run."""
        return self.runs[0].config

    @property
    def language(self) -> str:
        """Language that was trained."""
        return self.config.language

    @property
    def pairs(self) -> int:
        """Number of pairs that were trained on."""
        return self.runs[0].data.split["train"]

    @property
    def route(self) -> str:
        """Route that was trained."""
        return self.config.route

    @property
    def method(self) -> Method:
        """Method of its training."""
        return method_of(self.runs[0])

    @property
    def query(self) -> str:
        """Column that is tested on: target, or target_to_english."""
        return self.runs[0].data.query["test"]

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs."""
        return [run.config.seed for run in self.runs]

    @property
    def run_ids(self) -> list[str]:
        """Ids of the runs, by seed."""
        return [run.run_id for run in self.runs]

    @property
    def chosen_run(self) -> Result:
        """The run that the choice was made by."""
        return self.runs[self.seeds.index(self.seed)]

    @property
    def validation(self) -> float:
        """Validation score that it was chosen by."""
        return self.chosen_run.recall("val", BEST)

    @cached_property
    def setting(self) -> Setting:
        """Fields that distinguish it from candidates of other rows: see `setting_of`."""
        return setting_of(self.runs[0])

    @property
    def zero_shot(self) -> float:
        """Score of the tower without adapter; the same for every seed."""
        return self.runs[0].recall(stage="zero_shot")

    @property
    def scores(self) -> list[float]:
        """Score after training, by seed."""
        return [run.recall(stage=BEST) for run in self.runs]

    @property
    def mean(self) -> float:
        """Mean of the scores over seeds."""
        return float(np.mean(self.scores))

    @property
    def mean_recall_before(self) -> float:
        """Mean over both directions of recall@1, 5 and 10 of the tower without adapter."""
        return self.runs[0].measured(stage="zero_shot").mean_recall

    @property
    def mean_recall(self) -> float:
        """The same after training, mean over seeds."""
        return float(np.mean([run.measured(stage=BEST).mean_recall for run in self.runs]))

    @property
    def gain(self) -> float:
        """Mean score after training less the score before."""
        return self.mean - self.zero_shot

    @property
    def std(self) -> float:
        """Sample standard deviation of the scores over seeds; not a number with one seed."""
        return sample_std(self.scores)

    @property
    def captions(self) -> int:
        """Number of test captions: queries of the direction that starts from text."""
        return test_captions(self.runs[0])

    @cached_property
    def trained_hits(self) -> np.ndarray:
        """Hits of each test item after training, averaged over seeds, (N,)."""
        return np.mean([hits(run, BEST) for run in self.runs], axis=0)

    @cached_property
    def gains(self) -> np.ndarray:
        """Hits of each test item after training, averaged over seeds, less its hits before, (N,)."""
        return self.trained_hits - hits(self.runs[0], "zero_shot")


def setting_of(result: Result) -> Setting:
    """Return (field, value) of the fields that no grid searches over and that neither table nor row states.

    In addition to fields of the config it has `photographs`, the number that was trained on next to text.
    """
    spec = result.adapter and result.adapter.spec
    fields = ((name, spec if name == "adapter" else getattr(result.config, name)) for name in _SETTING)
    return *fields, ("photographs", _photographs(result))


def _photographs(result: Result) -> int | None:
    text = result.data.translations
    return None if text is None else text.photographs


def setups_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return trainings by their method and training data, in words: one table has one setup.

    Routes, adapters, numbers of shots and joint trainings are compared within a setup.
    """
    return dict(sorted(grouped(results, _setup).items(), key=lambda item: _by_number(item[0])))


def _by_number(words: str) -> list[str | int]:
    """Return words and numbers in turn, so that 757 comes before 5,000."""
    parts = re.split(r"(\d(?:[\d,]*\d)?)", words)
    return [int(part.replace(",", "")) if place % 2 else part for place, part in enumerate(parts)]


def _setup(result: Result) -> str:
    config, given = result.config, []
    for name in _SETUP:
        value = getattr(config, name)
        if name == "train_on":
            given += _trained_on(result)
        elif name == "train_size":
            given += [f"{value:,} of them"] if value else []
        elif name != "text" and value != IDENTITY_DEFAULTS[name]:
            given.append(name.replace("_", " ") + ("" if value is True else f" {value}"))
    return ", ".join(given)


def _trained_on(result: Result) -> list[str]:
    """Return the words for a training's method, except for its route and number of pairs."""
    method, photographs = method_of(result), _photographs(result)
    if method.text is not None:
        return [f"trained on {method.text}" + (f" and {photographs:,} photographs" if photographs else "")]
    said = ["trained on pairs"] if method.photographs else ["trained on pairs without photographs"]
    return said + (["closed form"] if method.closed_form else [])


def differing_fields(results: Sequence[Result]) -> list[str]:
    """Return the config fields that vary across `results` and have no column of their own in a list of runs."""
    kept = [name for name in IDENTITY_DEFAULTS if name not in _SAID | {"adapter", "lr", "alignment_weight"}]
    return [name for name in kept if len({str(getattr(result.config, name)) for result in results}) > 1]


def varying(settings: Iterable[Setting]) -> list[str]:
    """Return the names of the fields in which settings differ."""
    columns = zip(*settings, strict=True)
    return [column[0][0] for column in columns if len(set(column)) > 1]


def chosen_candidates(results: Sequence[Result]) -> list[Candidate]:
    """Return the candidate with the best validation score for each group, language, route and setting.

    Candidates are compared at one seed: the lowest of those that most of them have. So further seeds of the chosen
    one sharpen its mean and do not change the choice. Equal scores are settled by run id; test scores are never
    looked at.
    """
    rows: dict[tuple[Group, str, str, Setting], dict[tuple, list[Result]]] = {}
    for result in sorted(results, key=lambda result: (result.config.seed, result.run_id)):
        row = (group_of(result), result.config.language, result.config.route, setting_of(result))
        key = tuple(str(getattr(result.config, name)) for name in _CANDIDATE)
        rows.setdefault(row, {}).setdefault(key, []).append(result)
    chosen = [_choose([tuple(runs) for runs in candidates.values()]) for candidates in rows.values()]
    return sorted(
        chosen, key=lambda candidate: (candidate.language, candidate.route, str(candidate.setting), candidate.run_ids)
    )


def best_runs(results: Sequence[Result]) -> list[Result]:
    """Return the run by which each of `chosen_candidates` was chosen."""
    return [candidate.chosen_run for candidate in chosen_candidates(results)]


def candidates_by_method(results: Sequence[Result]) -> list[Candidate]:
    """Return `chosen_candidates` of each method, so that validation never chooses one method in place of another."""
    found = sorted(grouped(results, method_of).items(), key=lambda item: item[0].order)
    return [candidate for _, own in found for candidate in chosen_candidates(own)]


def best_of_methods(results: Sequence[Result]) -> list[Candidate]:
    """Return the candidate of each language and method, whatever its adapter and its number of pairs of text.

    Of the candidates that were repeated with the most seeds it is the one with the best validation score.
    """
    found: dict[tuple[str, Method], Candidate] = {}
    for candidate in candidates_by_method(results):
        other = found.setdefault((candidate.language, candidate.method), candidate)
        if (len(candidate.seeds), candidate.validation) > (len(other.seeds), other.validation):
            found[candidate.language, candidate.method] = candidate
    return sorted(found.values(), key=lambda one: (language_name(one.language), one.method.order))


def by_gain(candidates: Iterable[Candidate]) -> list[str]:
    """Return the languages of candidates, the one whose best candidate gained most first."""
    best: dict[str, float] = {}
    for candidate in candidates:
        best[candidate.language] = max(candidate.gain, best.get(candidate.language, candidate.gain))
    return sorted(best, key=lambda code: (-best[code], code))


def _choose(candidates: list[tuple[Result, ...]]) -> Candidate:
    count = Counter(run.config.seed for runs in candidates for run in runs)
    seed = min(count, key=lambda seed: (-count[seed], seed))
    found = [(run, runs) for runs in candidates for run in runs if run.config.seed == seed]
    _, runs = min(found, key=lambda pair: (-pair[0].recall("val", BEST), pair[0].run_id))
    return Candidate(runs, seed, compared=len(found), aside=len(candidates) - len(found))
