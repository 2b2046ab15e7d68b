"""Comparisons of methods and candidates: differences by language, and over languages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pecl.errors import ConfigError, DataError, unknown
from pecl.report.selection.candidates import candidates_by_method, seeds_and_validation
from pecl.report.selection.groups import Group, by_group, intervals
from pecl.report.selection.methods import method_labels
from pecl.report.significance import holm, sign_flip_p, two_level_interval, wilcoxon_p
from pecl.report.tables.columns import ZERO_SHOT
from pecl.report.tables.table import Column, Row, Table, difference, frame_of
from pecl.results.result import Result, TrainingResult, trainings
from pecl.retrieval.measures import LEVEL, SAMPLES

ALL = "best"  # the name that asks for all contestants against the best one
BY_LANGUAGE = "comparison"  # names of the tables
OVER_LANGUAGES = "comparison-languages"

_ITEMS_RESAMPLED = f"{LEVEL:.0%} percentile bootstrap: {SAMPLES:,} resamples of the test items of a language, seed 0"
_LANGUAGES_RESAMPLED = (
    f"{LEVEL:.0%} percentile bootstrap: {SAMPLES:,} resamples of the languages and of the test items, which all "
    "languages share, seed 0"
)
_LANGUAGE = Column("language", always=True)
_COMPARED = (Column("first", always=True), Column("second", always=True))
_SCORES = (
    Column("first score", "{first_score:.3f}", always=True),
    Column("second score", "{second_score:.3f}", always=True),
    *difference("difference"),
)
_WINS = (
    Column("languages", "{languages:d}", always=True),
    Column("wins/ties/losses", "{wins_ties_losses}", always=True),
)
_TESTS = (Column("p", "{p:.2g}", always=True), Column("p (Holm)", "{p_holm:.2g}", always=True))


@dataclass
class Contestant:
    """A method, a method with one adapter, or the plain tower; per language its test hits and its validation score."""

    hits: dict[str, np.ndarray] = field(default_factory=dict)  # averaged over seeds, (N,)
    validation: dict[str, float] = field(default_factory=dict)
    runs: dict[str, Sequence[TrainingResult]] = field(default_factory=dict)

    def add(self, language: str, hits: np.ndarray, validation: float, runs: Sequence[TrainingResult]) -> None:
        """Add a language."""
        self.hits[language] = hits
        self.validation[language] = validation
        self.runs[language] = runs


@dataclass(frozen=True)
class _Comparison:
    """Two contestants by name, and the languages that both have."""

    first_name: str
    second_name: str
    first: Contestant
    second: Contestant

    @property
    def languages(self) -> list[str]:
        return sorted(self.first.hits.keys() & self.second.hits.keys())

    def differences(self) -> list[np.ndarray]:
        """Return per language the paired differences of the test items, (N,)."""
        return [self.first.hits[language] - self.second.hits[language] for language in self.languages]

    def runs(self, language: str) -> list[TrainingResult]:
        return [*self.first.runs[language], *self.second.runs[language]]


def comparison_tables(results: Sequence[Result], names: Sequence[str]) -> list[Table]:
    """Return, for each group of results that were measured alike, differences by language, and over its languages.

    The first of `names` is compared with each of the others; `best` alone compares the contestant with the highest
    mean validation score with all others.

    Raises:
        ConfigError: a name is unknown, or only one is given.
        DataError: no results that were measured alike have two of them.
    """
    by_name = {group: contestants(runs) for group, runs in by_group(trainings(results)).items()}
    _check_names(names, {name for group_contestants in by_name.values() for name in group_contestants})

    tables = []
    for group, group_contestants in by_name.items():
        comparisons = _comparisons(group_contestants, names)
        if comparisons:
            tables.append(_table_by_language(group, comparisons))
        if any(len(comparison.languages) > 1 for comparison in comparisons):
            tables.append(_table_over_languages(group, comparisons))
    if not tables:
        raise DataError(f"--compare {' '.join(names)}: no results that were measured alike have two of these methods")
    return tables


def _check_names(names: Sequence[str], method_names: set[str]) -> None:
    if list(names) == [ALL]:
        return
    if len(names) == 1:
        raise ConfigError(f"--compare {names[0]}: expected two names or more, or {ALL!r} for all against the best")
    for name in names:
        if name not in method_names:
            raise ConfigError(f"--compare: {unknown('method', name, method_names)}")


def contestants(results: Sequence[TrainingResult]) -> dict[str, Contestant]:
    """Return the contestants among trainings of one group by name.

    A method has the name of the summary, such as `method1 (text)`. If a group has several adapters, `method1 lora` is
    the method with that adapter. `zero-shot` is the plain tower. Of several candidates in a language, the one with the
    most seeds represents the contestant; among equals, validation decides.
    """
    candidates = candidates_by_method(results)
    labels, _ = method_labels(candidate.method for candidate in candidates)
    has_several_adapters = len({candidate.adapter.spec for candidate in candidates}) > 1

    by_name: dict[str, Contestant] = {}
    for candidate in sorted(candidates, key=seeds_and_validation):  # the best one of a name comes last, and replaces
        label = labels[candidate.method]
        names = [label, f"{label} {candidate.adapter.spec}"] if has_several_adapters else [label]
        for name in names:
            contestant = by_name.setdefault(name, Contestant())
            contestant.add(candidate.language, candidate.trained_hits, candidate.validation, candidate.runs)

        first = candidate.runs[0]
        plain_tower = by_name.setdefault(ZERO_SHOT[candidate.query], Contestant())
        plain_tower.add(candidate.language, first.hits("zero_shot"), first.recall("val", "zero_shot"), [first])
    return by_name


def _comparisons(by_name: dict[str, Contestant], names: Sequence[str]) -> list[_Comparison]:
    """Return the comparisons of contestants that share a language."""
    if list(names) == [ALL]:
        best = _best_name(by_name)
        names = _without_repetitions([best, *by_name], by_name)

    first, *rivals = names

    comparisons = []
    for rival in rivals:
        if first in by_name and rival in by_name:
            comparison = _Comparison(first, rival, by_name[first], by_name[rival])
            if comparison.languages:
                comparisons.append(comparison)

    return comparisons


def _without_repetitions(names: Sequence[str], by_name: Mapping[str, Contestant]) -> list[str]:
    """Return the names that stand for other runs than those before: a method with one adapter has two names.

    Each comparison counts in Holm's correction, so none may be made twice.
    """
    plain_towers = set(ZERO_SHOT.values())
    by_runs: dict[str, str] = {}  # the first name of the same runs
    for name in names:
        runs = by_name[name].runs
        run_ids = {language: [run.run_id for run in runs[language]] for language in sorted(runs)}
        by_runs.setdefault(name if name in plain_towers else str(run_ids), name)
    return list(by_runs.values())


def _best_name(by_name: dict[str, Contestant]) -> str:
    """Return the name with the highest mean validation score over the languages of all; without any, over its own."""
    common = set.intersection(*(set(contestant.validation) for contestant in by_name.values()))

    def mean_validation(name: str) -> float:
        scores = by_name[name].validation
        return float(np.mean([scores[language] for language in common or scores]))

    return max(by_name, key=mean_validation)


def _table_by_language(group: Group, comparisons: Sequence[_Comparison]) -> Table:
    rows = [row for comparison in comparisons for row in _language_rows(comparison)]
    _add_corrected(rows)
    return Table(
        BY_LANGUAGE,
        "Differences by language",
        group,
        frame_of(rows),
        (_LANGUAGE, *_COMPARED, *_SCORES, *_TESTS),
        _runs_of(comparisons),
        ["p: sign-flip test over items", _correction_remark(rows)],
        resampled=_ITEMS_RESAMPLED,
    )


def _table_over_languages(group: Group, comparisons: Sequence[_Comparison]) -> Table:
    rows = [_summary_row(comparison) for comparison in comparisons if len(comparison.languages) > 1]
    _add_corrected(rows)
    return Table(
        OVER_LANGUAGES,
        "Differences over languages",
        group,
        frame_of(rows),
        (*_COMPARED, *_SCORES, *_WINS, *_TESTS),
        _runs_of(comparisons),
        ["p: Wilcoxon's signed-rank test over languages", _correction_remark(rows)],
        resampled=_LANGUAGES_RESAMPLED,
    )


def _runs_of(comparisons: Sequence[_Comparison]) -> list[TrainingResult]:
    runs = {}
    for comparison in comparisons:
        for language in comparison.languages:
            runs |= {run.run_id: run for run in comparison.runs(language)}
    return list(runs.values())


def _correction_remark(rows: Sequence[Row]) -> str:
    return f"Holm's correction over the rows of the table ({len(rows)})"


def _language_rows(comparison: _Comparison) -> list[Row]:
    differences = comparison.differences()
    ends = intervals(differences).tolist()

    rows = []
    for language, values, (low, high) in zip(comparison.languages, differences, ends, strict=True):
        rows.append(
            {
                "language": language,
                "first": comparison.first_name,
                "second": comparison.second_name,
                "first_score": float(comparison.first.hits[language].mean()),
                "second_score": float(comparison.second.hits[language].mean()),
                "difference": _mean(values),
                "difference_low": low,
                "difference_high": high,
                "p": sign_flip_p(values),
                "run_ids": [run.run_id for run in comparison.runs(language)],
            }
        )
    return rows


def _summary_row(comparison: _Comparison) -> Row:
    differences = np.stack(comparison.differences())
    means = np.round(differences.mean(axis=1), 12)
    low, high = two_level_interval(differences)

    return {
        "first": comparison.first_name,
        "second": comparison.second_name,
        "first_score": _mean_score(comparison.first, comparison.languages),
        "second_score": _mean_score(comparison.second, comparison.languages),
        "difference": _mean(differences),
        "difference_low": low,
        "difference_high": high,
        "languages": len(comparison.languages),
        "wins_ties_losses": f"{(means > 0).sum()}/{(means == 0).sum()}/{(means < 0).sum()}",
        "p": wilcoxon_p(means.tolist()),
    }


def _mean_score(contestant: Contestant, languages: Sequence[str]) -> float:
    return float(np.mean([contestant.hits[language].mean() for language in languages]))


def _mean(values: np.ndarray) -> float:
    """Return the mean without rounding errors, which would print a difference of 0 as -0.000."""
    return round(float(values.mean()), 12) + 0.0


def _add_corrected(rows: Sequence[Row]) -> None:
    """Add to each row Holm's correction over all rows."""
    corrected = holm([row["p"] for row in rows])
    for row, p_holm in zip(rows, corrected, strict=True):
        row["p_holm"] = p_holm
