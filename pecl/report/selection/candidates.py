"""Candidates: the runs of one configuration over its seeds, and the choice among them by validation score only."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

import numpy as np

from pecl.config import IDENTITY_DEFAULTS, Role, fields_of
from pecl.errors import DataError
from pecl.language.languages import language_name
from pecl.report.selection.groups import BEST, Group, group_of, grouped
from pecl.report.selection.methods import CHOICES, Method, method_of
from pecl.results.result import Result, TrainingResult, where


def _identity_fields(without: Role, *names: str) -> list[str]:
    """Return the fields of a run's identity that have none of the roles `without`, except for `names`."""
    left_out = fields_of(without)
    return [name for name in IDENTITY_DEFAULTS if name not in left_out and name not in names]


_STATED = Role.GROUP | Role.ROW | Role.REPEAT  # the table's heading or the row states these fields

# The fields that ...
_SETTING = _identity_fields(_STATED | Role.SEARCHED, "all_pairs")  # ... tell candidates of different rows apart
_SETUP = _identity_fields(_STATED | Role.SEARCHED, "all_pairs", "adapter", "engine", "joint", "shots")  # ... tables
_LISTED = _identity_fields(_STATED, "adapter", "lr", "alignment_weight")  # ... a list of runs names if they vary
_REPEATED = fields_of(Role.REPEAT)  # ... the runs of one candidate differ in
_LATER = fields_of(Role.LATER)  # ... raw rows state only with another value than their default

Setting = tuple[tuple[str, Any], ...]


class Candidate:
    """Runs that differ only in their seed, with their values for tables and figures."""

    def __init__(
        self,
        runs: Sequence[TrainingResult],
        chosen_run: TrainingResult,
        compared: int,
        aside: int,
        passed_over: Sequence[TrainingResult] = (),
    ) -> None:
        first = runs[0]
        scores = [run.recall(stage=BEST) for run in runs]

        self.runs = runs  # by seed
        self.run_ids = [run.run_id for run in runs]
        self.seeds = [run.config.seed for run in runs]

        # how it was chosen
        self.chosen_run = chosen_run  # the run at whose seed it was compared with the other candidates
        self.validation = chosen_run.recall("val", BEST)  # validation score that it was chosen by
        self.compared = compared  # number of candidates that it was chosen from
        self.aside = aside  # number of candidates without a run of that seed
        self.passed_over = passed_over  # runs of the candidates that it was preferred to

        # what its runs share
        self.config = first.config
        self.language = first.config.language
        self.route = first.config.route
        self.method = method_of(first)
        self.adapter = first.adapter
        self.setting = setting_of(first)  # fields that distinguish it from candidates of other rows
        self.pairs = first.data.split["train"]  # number of training pairs
        self.query = first.data.query["test"]  # column of the test queries: target, or target_to_english
        self.captions = first.test_captions  # number of test captions

        # mean R@1 of both directions
        self.zero_shot = first.recall(stage="zero_shot")  # of the tower without adapter; the same for every seed
        self.mean = float(np.mean(scores))  # after training, mean over seeds
        self.std = float(np.std(scores, ddof=1)) if len(scores) > 1 else math.nan  # of the sample of seeds
        self.gain = self.mean - self.zero_shot

        # mean recall@1, 5 and 10 of both directions, before and after training
        self.mean_recall_before = first.measured(stage="zero_shot").mean_recall
        self.mean_recall = float(np.mean([run.measured(stage=BEST).mean_recall for run in runs]))

    @cached_property
    def trained_hits(self) -> np.ndarray:
        """Hits of each test item after training, averaged over seeds, (N,)."""
        return np.mean([run.hits(BEST) for run in self.runs], axis=0)

    @cached_property
    def gains(self) -> np.ndarray:
        """Hits of each test item after training, averaged over seeds, less its hits before, (N,)."""
        return self.trained_hits - self.runs[0].hits("zero_shot")


def setting_of(result: TrainingResult) -> Setting:
    """Return (field, value) of the fields that no grid searches over and that neither table nor row states.

    In addition to fields of the config it has `photographs`, the number of photographs trained on next to text.
    """
    setting = []
    for name in _SETTING:
        value = getattr(result.config, name)
        if name == "adapter":
            value = result.adapter and result.adapter.spec
        setting.append((name, value))

    translations = result.data.translations
    setting.append(("photographs", translations and translations.photographs))
    return tuple(setting)


def setups_of(results: Sequence[TrainingResult]) -> dict[str, list[TrainingResult]]:
    """Return trainings by setup, that is their method and training data in words; each table has one setup.

    Routes, adapters, numbers of shots and joint trainings are compared within a setup. Distillations whose weights were
    chosen by different scores are separate setups; a setup states the score only if there are several.
    """
    by_setup: dict[str, list[TrainingResult]] = {}
    for setup, setup_results in grouped(results, _setup).items():
        by_choice = grouped(setup_results, lambda result: method_of(result).choose)
        for choice, alike in by_choice.items():
            name = f"{setup}, {CHOICES[choice][1]}" if len(by_choice) > 1 else setup
            by_setup[name] = alike

    return {setup: by_setup[setup] for setup in sorted(by_setup, key=_with_padded_numbers)}


def _with_padded_numbers(text: str) -> str:
    """Return a sort key for `text` by which 50 precedes 5,000."""
    return re.sub(r"\d[\d,]*", lambda number: number[0].replace(",", "").zfill(9), text)


def _setup(result: TrainingResult) -> str:
    parts = []
    for name in _SETUP:
        parts += _setup_parts(name, result)
    return ", ".join(parts)


def _setup_parts(name: str, result: TrainingResult) -> list[str]:
    """Return what a setup states of one field: nothing if it has its default."""
    value = getattr(result.config, name)
    if name == "train_on":  # states `text`, too
        return _training_data(result)
    if name == "train_size":
        return [f"{value:,} of them"] if value else []
    if name == "text" or value == IDENTITY_DEFAULTS[name]:
        return []

    words = name.replace("_", " ")
    return [words if value is True else f"{words} {value}"]


def _training_data(result: TrainingResult) -> list[str]:
    method = method_of(result)
    if method.text is not None:
        photographs = dict(setting_of(result))["photographs"]
        return [f"trained on {method.text}" + (f" and {photographs:,} photographs" if photographs else "")]

    parts = ["trained on pairs" if method.photographs else "trained on pairs without photographs"]
    if method.closed_form:
        parts.append("closed form")
    return parts


def differing_fields(results: Sequence[Result]) -> list[str]:
    """Return the config fields that vary across `results` and have no column of their own in a list of runs.

    The fields of a group are among them only if the results are of several groups, so that no heading states them.
    """
    names = _LISTED
    if len({group_of(result) for result in results}) > 1:
        names = _LISTED + [name for name in IDENTITY_DEFAULTS if name in fields_of(Role.GROUP) and name != "gallery"]
    return [name for name in names if len({str(getattr(result.config, name)) for result in results}) > 1]


def varying(settings: Iterable[Setting], without: str = "") -> list[str]:
    """Return the names of the fields in which settings differ, except for `without`."""
    columns = zip(*settings, strict=True)
    names = [column[0][0] for column in columns if len(set(column)) > 1]
    return [name for name in names if name != without]


def recorded_fields(settings: Iterable[Setting]) -> list[str]:
    """Return the fields that raw rows state: all but those of the role `LATER` that have their default in all settings.

    A new field of the config thus leaves the tables of earlier results unchanged.
    """
    names = []
    for column in zip(*settings, strict=True):
        name = column[0][0]
        changed = any(value != IDENTITY_DEFAULTS.get(name) for _, value in column)
        if changed or name not in _LATER:
            names.append(name)
    return names


def chosen_candidates(results: Sequence[TrainingResult]) -> list[Candidate]:
    """Return the candidate with the best validation score for each group, language, method and setting.

    Candidates are compared at one seed: the lowest of the seeds that most of them have. Further seeds of the chosen
    candidate therefore refine its mean, but do not change the choice. Ties go to the lowest run id; test scores are
    never used. Raise DataError if runs of a chosen candidate were trained on different captions or files.
    """
    ordered = sorted(results, key=attrgetter("config.seed", "run_id"))
    candidates = [_choose(runs) for runs in grouped(ordered, _row_key).values()]

    for candidate in candidates:
        _check_inputs(candidate)

    return sorted(candidates, key=lambda candidate: (*_row_of_table(candidate), candidate.run_ids))


def _row_key(result: TrainingResult) -> tuple[Group, str, Method, Setting]:
    return group_of(result), result.config.language, method_of(result), setting_of(result)


def _row_of_table(candidate: Candidate) -> tuple[str, str, str]:
    return candidate.language, candidate.route, str(candidate.setting)


def _choose(runs: Sequence[TrainingResult]) -> Candidate:
    """Return the best candidate among the runs of one row; see `chosen_candidates`."""
    candidates = list(grouped(runs, _without_seed).values())

    count = Counter(run.config.seed for run in runs)
    seed = min(count, key=lambda seed: (-count[seed], seed))

    contenders = []  # (the run of that seed, all runs of its candidate)
    for candidate_runs in candidates:
        contenders += [(run, candidate_runs) for run in candidate_runs if run.config.seed == seed]

    chosen_run, chosen_runs = min(contenders, key=lambda pair: (-pair[0].recall("val", BEST), pair[0].run_id))
    return Candidate(
        chosen_runs,
        chosen_run,
        compared=len(contenders),
        aside=len(candidates) - len(contenders),
        passed_over=[run for alike in candidates if alike is not chosen_runs for run in alike],
    )


def _without_seed(result: TrainingResult) -> frozenset[tuple[str, Any]]:
    return frozenset((name, value) for name, value in result.config.identity().items() if name not in _REPEATED)


def _check_inputs(candidate: Candidate) -> None:
    chosen_run = candidate.chosen_run
    for run in candidate.runs:
        difference = _different_input(chosen_run, run)
        if difference:
            raise DataError(
                f"{where(chosen_run)} and {where(run)} differ only in their seed, but were trained on different "
                f"{difference}: run the older one again"
            )


def _different_input(first: TrainingResult, second: TrainingResult) -> str:
    """Return what two trainings read differently: data, or files; empty if they read the same.

    What an older result does not record counts as equal.
    """
    recorded = first.data.sha256
    same_data = all(recorded[key] == sha for key, sha in second.data.sha256.items() if key in recorded)
    same_text = _text_sha256(first) == _text_sha256(second)
    photographs = {first.data.photographs, second.data.photographs} - {None}
    if not same_data or not same_text or len(photographs) > 1:
        return "captions, photographs or parts"

    first_files = first.data.files or {}
    second_files = second.data.files or {}
    names = [name for name in ("start", "plugin") if name in first_files and name in second_files]
    return " and ".join(f"files of {name}" for name in names if first_files[name] != second_files[name])


def _text_sha256(result: TrainingResult) -> Any:
    translations = result.data.translations
    return translations and translations.sha256


def candidates_by_method(results: Sequence[TrainingResult]) -> list[Candidate]:
    """Return `chosen_candidates` of each method, so that validation never chooses one method in place of another."""
    by_method = grouped(results, method_of)

    candidates = []
    for method in sorted(by_method, key=attrgetter("order")):
        candidates += chosen_candidates(by_method[method])
    return candidates


def best_of_methods(results: Sequence[TrainingResult]) -> list[Candidate]:
    """Return the best candidate of each language and method, with any adapter and any number of pairs of text.

    Among the candidates with the most seeds it has the best validation score.
    """
    alike = grouped(candidates_by_method(results), attrgetter("language", "method"))
    best = [max(candidates, key=seeds_and_validation) for candidates in alike.values()]
    return sorted(best, key=lambda candidate: (language_name(candidate.language), candidate.method.order))


def seeds_and_validation(candidate: Candidate) -> tuple[int, float]:
    """Return the order of candidates of one name: those with more seeds are preferred, then validation decides."""
    return len(candidate.seeds), candidate.validation


def by_gain(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return candidates grouped by language, languages in descending order of their largest gain."""
    by_language = grouped(candidates, attrgetter("language"))
    largest = {code: max(candidate.gain for candidate in by_language[code]) for code in by_language}
    codes = sorted(by_language, key=lambda code: (-largest[code], code))
    return [candidate for code in codes for candidate in by_language[code]]


def with_several(candidates: Sequence[Candidate], name: str) -> list[Candidate]:
    """Return the candidates from which another candidate differs only in the field `name` of the setting."""
    count = Counter(without(candidate, name) for candidate in candidates)
    return [candidate for candidate in candidates if count[without(candidate, name)] > 1]


def without(candidate: Candidate, left_out: str) -> tuple:
    """Return language, route and setting of a candidate, except for the field `left_out`."""
    setting = [field for field in candidate.setting if field[0] != left_out]
    return candidate.language, candidate.route, *setting
