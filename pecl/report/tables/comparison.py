"""Comparisons of methods and candidates: differences by language, and over languages."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from pecl.errors import ConfigError, DataError, unknown
from pecl.report.significance import holm, sign_flip_p, two_level_interval, wilcoxon_p
from pecl.report.tables.candidates import Candidate, candidates_by_method
from pecl.report.tables.groups import Group, by_group, intervals
from pecl.report.tables.methods import method_labels
from pecl.report.tables.scores import ZERO_SHOT
from pecl.report.tables.table import Column, Row, Table, difference, frame_of
from pecl.results.result import Result

ALL = "best"  # the name that asks for all contestants against the best one
_COMPARED = (Column("first", always=True), Column("second", always=True))
_SCORES = (
    Column("first score", "{first_score:.3f}", True),
    Column("second score", "{second_score:.3f}", True),
    *difference("difference"),
)
_TESTS = (Column("p", "{p:.2g}", True), Column("p (Holm)", "{p_holm:.2g}", True))
_LANGUAGE = Column("language", always=True)
_WINS = (Column("languages", "{languages:d}", True), Column("wins/ties/losses", "{wins_ties_losses}", always=True))


@dataclass
class Contestant:
    """A method, a method with one adapter, or the plain tower; per language its test hits and its validation score."""

    hits: dict[str, np.ndarray] = field(default_factory=dict)  # averaged over seeds, (N,)
    validation: dict[str, float] = field(default_factory=dict)
    runs: dict[str, Sequence[Result]] = field(default_factory=dict)

    def add(self, language: str, hits: np.ndarray, validation: float, runs: Sequence[Result]) -> None:
        """Add a language."""
        self.hits[language] = hits
        self.validation[language] = validation
        self.runs[language] = runs


def comparison_tables(results: Sequence[Result], names: Sequence[str]) -> list[Table]:
    """Return, for each group of results that were measured alike, differences by language, and over its languages.

    The first of `names` is compared with each of the others; `best` alone compares the contestant with the highest
    mean validation score with all others.

    Raises:
        ConfigError: a name is unknown, or only one is given.
        DataError: no results that were measured alike have two of them.
    """
    trained = [result for result in results if result.kind == "train"]
    by_name = {group: contestants(own) for group, own in by_group(trained).items()}
    known = {name for found in by_name.values() for name in found}
    if len(names) == 1 and names[0] != ALL:
        raise ConfigError(f"--compare {names[0]}: expected two names or more, or {ALL!r} for all against the best")
    for name in names:
        if name not in known and list(names) != [ALL]:
            raise ConfigError(f"--compare: {unknown('method', name, known)}")

    tables = []
    for group, found in by_name.items():
        pairs = _pairs(found, names)
        if pairs:
            tables += _tables(group, found, pairs)
    if not tables:
        raise DataError(f"--compare {' '.join(names)}: no results that were measured alike have two of these methods")
    return tables


def contestants(results: Sequence[Result]) -> dict[str, Contestant]:
    """Return the contestants among trainings of one group by name.

    A method has the name of the summary, such as `method1 (text)`. If a group has several adapters, `method1 lora` is
    the method with that adapter. `zero-shot` is the plain tower. Of several candidates in a language, the one with the
    most seeds represents the contestant; among equals, validation decides.
    """
    candidates = candidates_by_method(results)
    labels, _ = method_labels(candidate.method for candidate in candidates)
    several = len({candidate.adapter.spec for candidate in candidates}) > 1

    # worst first, so that the best candidate of a name replaces the others
    ordered: list[Candidate] = sorted(candidates, key=lambda one: (len(one.seeds), one.validation))
    found: dict[str, Contestant] = {}
    for candidate in ordered:
        label = labels[candidate.method]
        names = [label, f"{label} {candidate.adapter.spec}"] if several else [label]
        for name in names:
            contestant = found.setdefault(name, Contestant())
            contestant.add(candidate.language, candidate.trained_hits, candidate.validation, candidate.runs)

        first = candidate.runs[0]
        plain = found.setdefault(ZERO_SHOT[candidate.query], Contestant())
        plain.add(candidate.language, first.hits("zero_shot"), first.recall("val", "zero_shot"), [first])
    return found


def _pairs(found: dict[str, Contestant], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return the pairs of names to compare that share a language."""
    if list(names) == [ALL]:
        best = _best(found)
        names = [best, *(name for name in found if name != best)]
    first, *others = names
    return [
        (first, other)
        for other in others
        if first in found and other in found and found[first].hits.keys() & found[other].hits.keys()
    ]


def _best(found: dict[str, Contestant]) -> str:
    """Return the name with the highest mean validation score over the languages of all; without any, over its own."""
    common = set.intersection(*(set(contestant.validation) for contestant in found.values()))

    def mean_validation(name: str) -> float:
        scores = found[name].validation
        return float(np.mean([scores[language] for language in common or scores]))

    return max(found, key=mean_validation)


def _tables(group: Group, found: dict[str, Contestant], pairs: Sequence[tuple[str, str]]) -> list[Table]:
    by_language: list[Row] = []
    over_languages: list[Row] = []
    runs: dict[str, Result] = {}
    for first, second in pairs:
        shared = sorted(found[first].hits.keys() & found[second].hits.keys())
        differences = []
        for language in shared:
            differences.append(found[first].hits[language] - found[second].hits[language])
            for name in (first, second):
                runs |= {run.run_id: run for run in found[name].runs[language]}
        by_language += _language_rows(first, second, shared, found, differences)
        if len(shared) > 1:
            over_languages.append(_summary_row(first, second, shared, found, np.stack(differences)))

    _correct(by_language)
    results = list(runs.values())
    method = "p: sign-flip test over items"
    columns = (_LANGUAGE, *_COMPARED, *_SCORES, *_TESTS)
    tables = [_table("comparison", "Differences by language", group, by_language, columns, results, method)]
    if over_languages:
        _correct(over_languages)
        method = "interval: languages and items are resampled; p: Wilcoxon's signed-rank test over languages"
        columns = (*_COMPARED, *_SCORES, *_WINS, *_TESTS)
        title = "Differences over languages"
        tables.append(_table("comparison-languages", title, group, over_languages, columns, results, method))
    return tables


def _table(
    name: str,
    title: str,
    group: Group,
    rows: Sequence[Row],
    columns: Sequence[Column],
    results: Sequence[Result],
    method: str,
) -> Table:
    remarks = [method, f"Holm's correction over the rows of the table ({len(rows)})"]
    return Table(name, title, group, frame_of(rows), columns, results, remarks)


def _language_rows(
    first: str, second: str, languages: Sequence[str], found: dict[str, Contestant], differences: Sequence[np.ndarray]
) -> list[Row]:
    rows = []
    for language, values, (low, high) in zip(languages, differences, intervals(differences).tolist(), strict=True):
        rows.append(
            {
                "language": language,
                "first": first,
                "second": second,
                "first_score": float(found[first].hits[language].mean()),
                "second_score": float(found[second].hits[language].mean()),
                "difference": _mean(values),
                "difference_low": low,
                "difference_high": high,
                "p": sign_flip_p(values),
                "run_ids": [run.run_id for name in (first, second) for run in found[name].runs[language]],
            }
        )
    return rows


def _summary_row(
    first: str, second: str, languages: Sequence[str], found: dict[str, Contestant], differences: np.ndarray
) -> Row:
    means = np.round(differences.mean(axis=1), 12)
    low, high = two_level_interval(differences)
    return {
        "first": first,
        "second": second,
        "first_score": float(np.mean([found[first].hits[language].mean() for language in languages])),
        "second_score": float(np.mean([found[second].hits[language].mean() for language in languages])),
        "difference": _mean(differences),
        "difference_low": low,
        "difference_high": high,
        "languages": len(languages),
        "wins_ties_losses": f"{(means > 0).sum()}/{(means == 0).sum()}/{(means < 0).sum()}",
        "p": wilcoxon_p(means.tolist()),
    }


def _mean(values: np.ndarray) -> float:
    """Return the mean without rounding errors, which would print a difference of 0 as -0.000."""
    return round(float(values.mean()), 12) + 0.0


def _correct(rows: Sequence[Row]) -> None:
    """Add Holm's correction over all rows."""
    for row, corrected in zip(rows, holm([row["p"] for row in rows]), strict=True):
        row["p_holm"] = corrected
