"""Candidates: the runs of one configuration over its seeds; and the choice among candidates, only by validation."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from pecl.config import IDENTITY_DEFAULTS, ExperimentConfig, Role, fields_of
from pecl.data.languages import language_name
from pecl.report.methods import Method, method_of
from pecl.report.tables.groups import group_of, grouped
from pecl.report.tables.statistics import BEST, hits
from pecl.report.tables.table import test_captions
from pecl.results.result import Result

_SAID = fields_of(Role.GROUP | Role.ROW | Role.REPEAT)  # stated by the table, or by the row
_SETTING = [name for name in IDENTITY_DEFAULTS if name not in _SAID | fields_of(Role.SEARCHED)]
_SETUP = [name for name in _SETTING if name not in ("adapter", "engine", "joint", "shots")]
_CANDIDATE = [name for name in IDENTITY_DEFAULTS if name not in fields_of(Role.REPEAT)]

Setting = tuple[tuple[str, Any], ...]


@dataclass(frozen=True)
class Candidate:
    """Runs that differ only in their seed, by seed, and what tables and figures say of them."""

    runs: tuple[Result, ...]
    chosen_run: Result  # the run at whose seed it was compared with the other candidates
    method: Method
    setting: Setting  # fields that distinguish it from candidates of other rows, see `setting_of`
    config: ExperimentConfig
    language: str
    route: str
    pairs: int  # that were trained on
    query: str  # column that is tested on: target, or target_to_english
    captions: int  # of the test part
    validation: float  # validation score that it was chosen by
    zero_shot: float  # score of the tower without adapter; the same for every seed
    mean: float  # of the scores after training over seeds
    std: float  # of the same, that of a sample; not a number with one seed
    mean_recall_before: float  # mean recall@1, 5 and 10 of both directions before training
    mean_recall: float  # the same after training
    compared: int  # number of candidates that it was chosen from
    aside: int  # number of those that had no run of that seed

    @property
    def seeds(self) -> list[int]:
        """Seeds of the runs."""
        return [run.config.seed for run in self.runs]

    @property
    def run_ids(self) -> list[str]:
        """Ids of the runs, by seed."""
        return [run.run_id for run in self.runs]

    @property
    def gain(self) -> float:
        """Mean score after training less the score before."""
        return self.mean - self.zero_shot

    @cached_property
    def trained_hits(self) -> np.ndarray:
        """Hits of each test item after training, averaged over seeds, (N,)."""
        return np.mean([hits(run, BEST) for run in self.runs], axis=0)

    @cached_property
    def gains(self) -> np.ndarray:
        """Hits of each test item after training, averaged over seeds, less its hits before, (N,)."""
        return self.trained_hits - hits(self.runs[0], "zero_shot")


def _candidate(runs: tuple[Result, ...], chosen: Result, compared: int, aside: int) -> Candidate:
    first, scores = runs[0], [run.recall(stage=BEST) for run in runs]
    return Candidate(
        runs=runs,
        chosen_run=chosen,
        method=method_of(first),
        setting=setting_of(first),
        config=first.config,
        language=first.config.language,
        route=first.config.route,
        pairs=first.data.split["train"],
        query=first.data.query["test"],
        captions=test_captions(first),
        validation=chosen.recall("val", BEST),
        zero_shot=first.recall(stage="zero_shot"),
        mean=float(np.mean(scores)),
        std=float(np.std(scores, ddof=1)) if len(scores) > 1 else float("nan"),
        mean_recall_before=first.measured(stage="zero_shot").mean_recall,
        mean_recall=float(np.mean([run.measured(stage=BEST).mean_recall for run in runs])),
        compared=compared,
        aside=aside,
    )


def setting_of(result: Result) -> Setting:
    """Return (field, value) of the fields that no grid searches over and that neither table nor row states.

    In addition to fields of the config it has `photographs`, the number that was trained on next to text.
    """
    spec, text = result.adapter and result.adapter.spec, result.data.translations
    fields = ((name, spec if name == "adapter" else getattr(result.config, name)) for name in _SETTING)
    return *fields, ("photographs", text and text.photographs)


def setups_of(results: Sequence[Result]) -> dict[str, list[Result]]:
    """Return trainings by their method and training data, in words: one table has one setup.

    Routes, adapters, numbers of shots and joint trainings are compared within a setup.
    """
    found = grouped(results, _setup)
    order = sorted(found, key=lambda said: re.sub(r"\d[\d,]*", lambda one: one[0].replace(",", "").zfill(9), said))
    return {setup: found[setup] for setup in order}


def _setup(result: Result) -> str:
    method, photographs, given = method_of(result), dict(setting_of(result))["photographs"], []
    for name in _SETUP:
        value = getattr(result.config, name)
        if name == "train_on" and method.text is not None:
            given.append(f"trained on {method.text}" + (f" and {photographs:,} photographs" if photographs else ""))
        elif name == "train_on":
            given.append("trained on pairs" + ("" if method.photographs else " without photographs"))
            given += ["closed form"] if method.closed_form else []
        elif name == "train_size":
            given += [f"{value:,} of them"] if value else []
        elif name != "text" and value != IDENTITY_DEFAULTS[name]:
            given.append(name.replace("_", " ") + ("" if value is True else f" {value}"))
    return ", ".join(given)


def differing_fields(results: Sequence[Result]) -> list[str]:
    """Return the config fields that vary across `results` and have no column of their own in a list of runs."""
    kept = [name for name in IDENTITY_DEFAULTS if name not in _SAID | {"adapter", "lr", "alignment_weight"}]
    return [name for name in kept if len({str(getattr(result.config, name)) for result in results}) > 1]


def varying(settings: Iterable[Setting], without: str = "") -> list[str]:
    """Return the names of the fields in which settings differ, except for `without`."""
    columns = zip(*settings, strict=True)
    return [column[0][0] for column in columns if len(set(column)) > 1 and column[0][0] != without]


def chosen_candidates(results: Sequence[Result]) -> list[Candidate]:
    """Return the candidate with the best validation score for each group, language, route and setting.

    Candidates are compared at one seed: the lowest of those that most of them have. So further seeds of the chosen
    one sharpen its mean and do not change the choice. Equal scores are settled by run id; test scores are never
    looked at.
    """
    order = sorted(results, key=lambda result: (result.config.seed, result.run_id))
    rows = grouped(order, lambda one: (group_of(one), one.config.language, one.config.route, setting_of(one)))
    chosen = [
        _choose(list(grouped(row, lambda one: str([getattr(one.config, name) for name in _CANDIDATE])).values()))
        for row in rows.values()
    ]
    return sorted(chosen, key=lambda one: (one.language, one.route, str(one.setting), one.run_ids))


def _choose(candidates: list[list[Result]]) -> Candidate:
    count = Counter(run.config.seed for runs in candidates for run in runs)
    seed = min(count, key=lambda seed: (-count[seed], seed))
    found = [(run, runs) for runs in candidates for run in runs if run.config.seed == seed]
    chosen, runs = min(found, key=lambda pair: (-pair[0].recall("val", BEST), pair[0].run_id))
    return _candidate(tuple(runs), chosen, compared=len(found), aside=len(candidates) - len(found))


def candidates_by_method(results: Sequence[Result]) -> list[Candidate]:
    """Return `chosen_candidates` of each method, so that validation never chooses one method in place of another."""
    found = sorted(grouped(results, method_of).items(), key=lambda item: item[0].order)
    return [candidate for _, own in found for candidate in chosen_candidates(own)]


def best_of_methods(results: Sequence[Result]) -> list[Candidate]:
    """Return the candidate of each language and method, whatever its adapter and its number of pairs of text.

    Of the candidates that were repeated with the most seeds it is the one with the best validation score.
    """
    found = grouped(candidates_by_method(results), lambda one: (one.language, one.method))
    best = [max(own, key=lambda one: (len(one.seeds), one.validation)) for own in found.values()]
    return sorted(best, key=lambda one: (language_name(one.language), one.method.order))


def by_gain(candidates: Iterable[Candidate]) -> list[str]:
    """Return the languages of candidates, the one whose best candidate gained most first."""
    found = grouped(candidates, lambda one: one.language)
    return sorted(found, key=lambda code: (-max(one.gain for one in found[code]), code))
