"""Comparisons of methods: differences by language, and over languages; and the names of methods."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from pecl.errors import ConfigError, DataError, unknown
from pecl.report.selection.contestants import Contestant, Contestants, contestants
from pecl.report.selection.groups import Group, by_group, intervals
from pecl.report.significance import Sides, holm, interval_over_languages, seeds_and_items, sign_flip_p, wilcoxon_p
from pecl.report.tables.table import Column, Row, Table, difference, frame_of
from pecl.results.result import Result, TrainingResult, trainings
from pecl.retrieval.measures import LEVEL, SAMPLES

ALL = "best"  # the name that asks for all contestants against the best one
LIST = "list"  # the name that asks for the names
BY_LANGUAGE = "comparison"  # names of the tables
OVER_LANGUAGES = "comparison-languages"
NAMES = "comparison-names"

SEEDS_AND_ITEMS = "seeds and items"  # what p and interval take as drawn at random
ITEMS = "items"
RESAMPLED = {
    SEEDS_AND_ITEMS: f"{LEVEL:.0%} of Student's t, with the variance over seeds and that over test items",
    ITEMS: f"{LEVEL:.0%} percentile bootstrap: {SAMPLES:,} resamples of the test items of a language, seed 0",
}
_TEST_OF = {
    SEEDS_AND_ITEMS: "test over seeds and items: Welch's t with the variance over seeds and that over paired items",
    ITEMS: "test over items: sign flips; it takes the seeds as they are, so p is of these weights, not of the method",
}
_LANGUAGES_RESAMPLED = (
    f"{LEVEL:.0%} percentile bootstrap: {SAMPLES:,} resamples of the languages, of the seeds of each, and of the test "
    "items, which all languages share, seed 0"
)
_LANGUAGE = Column("language", always=True)
_COMPARED = (Column("first", whole=34), Column("second", whole=34))
_SCORES = (
    Column("first score", "{first_score:.3f} ± {first_std:.3f}", always=True),
    Column("second score", "{second_score:.3f} ± {second_std:.3f}", always=True),
    Column("seeds", "{first_seeds:#} and {second_seeds:#}"),
    *difference("difference"),
)
_MEAN_SCORES = (
    Column("first score", "{first_score:.3f}", always=True),
    Column("second score", "{second_score:.3f}", always=True),
    *difference("difference"),
)
_WINS = (
    Column("languages", "{languages:d}", always=True),
    Column("wins/ties/losses", "{wins_ties_losses}", always=True),
)
_P = Column("p", "{p:p}", always=True)
_P_HOLM = Column("p (Holm)", "{p_holm:p}", always=True)
_OVER = Column("p over", "{p_over}")
_NAMES = (
    Column("name", whole=70, always=True),
    Column("languages", "{languages:#}", always=True),
    Column("seeds", "{seeds}"),
    Column("runs", "{run_ids:#}", always=True),
    Column("stands for"),
)


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

    def sides(self, language: str) -> Sides:
        """Return the hits of both in a language."""
        return Sides(self.first.hits[language], self.second.hits[language])

    def runs(self, language: str) -> list[TrainingResult]:
        return [*self.first.runs[language], *self.second.runs[language]]

    def is_over_seeds(self, language: str) -> bool:
        """Return whether the variance over seeds is known: each has several, or is the base encoder, which has none."""
        counts = [len(side.runs[language]) for side in (self.first, self.second) if not side.is_plain]
        return bool(counts) and min(counts) > 1


def comparison_tables(results: Sequence[Result], names: Sequence[str]) -> list[Table]:
    """Return, for each group of results that were measured alike, differences by language, and over its languages.

    The first of `names` is compared with each of the others. `best` alone compares the method with the highest mean
    validation score with all others, and `list` alone returns the names, see `contestants`.

    Raises:
        ConfigError: a name is unknown, or only one is given.
        DataError: no results that were measured alike have two of them.
    """
    by_name = {group: contestants(runs) for group, runs in by_group(trainings(results)).items()}
    if list(names) == [LIST]:
        return [_table_of_names(group, among) for group, among in by_name.items()]
    _check_names(names, {name for among in by_name.values() for name in among.by_name})

    tables = []
    for group, among in by_name.items():
        comparisons = _comparisons(among, names)
        if comparisons:
            tables.append(_table_by_language(group, comparisons))
        if any(len(comparison.languages) > 1 for comparison in comparisons):
            tables.append(_table_over_languages(group, comparisons))
    if not tables:
        raise DataError(
            f"no results that were measured alike have two of these methods: {', '.join(names)}", field="compare"
        )
    return tables


def _check_names(names: Sequence[str], method_names: set[str]) -> None:
    if list(names) == [ALL]:
        return
    if len(names) == 1:
        raise ConfigError(
            f"expected two names or more, {ALL!r} for all against the best, or {LIST!r} for names, got {names[0]!r}",
            field="compare",
        )
    for name in names:
        if name not in method_names:
            raise ConfigError(unknown("method", name, method_names), field="compare")


def _comparisons(among: Contestants, names: Sequence[str]) -> list[_Comparison]:
    """Return the comparisons of contestants that share a language."""
    if list(names) == [ALL]:
        best = _best_name(among.single)
        names = [best, *(name for name in among.single if name != best)]

    first, *rivals = names
    by_name = among.by_name

    comparisons = []
    for rival in rivals:
        if first in by_name and rival in by_name:
            comparison = _Comparison(first, rival, by_name[first], by_name[rival])
            if comparison.languages:
                comparisons.append(comparison)

    return comparisons


def _best_name(by_name: dict[str, Contestant]) -> str:
    """Return the name with the highest mean validation score over the languages of all; without any, over its own."""
    common = set.intersection(*(set(contestant.validation) for contestant in by_name.values()))

    def mean_validation(name: str) -> float:
        scores = by_name[name].validation
        return float(np.mean([scores[language] for language in common or scores]))

    return max(by_name, key=mean_validation)


def _table_of_names(group: Group, among: Contestants) -> Table:
    """Return a row per name: the numbers of its languages, seeds and runs, and the full names that it stands for."""
    rows = []
    for name, contestant in among.by_name.items():
        counts = sorted(contestant.seed_counts)
        one_of = among.choices.get(name, [])
        rows.append(
            {
                "name": name,
                "languages": sorted(contestant.hits),
                "seeds": " or ".join(map(str, counts)) or None,
                "run_ids": [run.run_id for runs in contestant.runs.values() for run in runs],
                "stands_for": f"one of {len(one_of)} by seeds and validation" if one_of else None,
                "one_of": one_of,
            }
        )
    runs = _distinct(run for contestant in among.single.values() for runs in contestant.runs.values() for run in runs)
    footnotes = list(filter(None, [_passed_over(among.single.items())]))
    return Table(NAMES, "Names of methods", group, frame_of(rows), _NAMES, runs, footnotes=footnotes)


def _table_by_language(group: Group, comparisons: Sequence[_Comparison]) -> Table:
    rows = [_language_row(comparison, language) for comparison in comparisons for language in comparison.languages]
    _add_corrected(rows)

    kinds = [kind for kind in _TEST_OF if any(row["p_over"] == kind for row in rows)]
    columns = (_LANGUAGE, *_COMPARED, *_SCORES, _P, _OVER, _P_HOLM)
    return Table(
        BY_LANGUAGE,
        "Differences by language",
        group,
        frame_of(rows),
        columns,
        _distinct(run for comparison in comparisons for code in comparison.languages for run in comparison.runs(code)),
        resampled="; ".join(RESAMPLED[kind] for kind in kinds),
        footnotes=[*(_TEST_OF[kind] for kind in kinds), _family(rows), *_left_out(comparisons)],
    )


def _table_over_languages(group: Group, comparisons: Sequence[_Comparison]) -> Table:
    compared = [comparison for comparison in comparisons if len(comparison.languages) > 1]
    rows = [_summary_row(comparison) for comparison in compared]
    _add_corrected(rows)
    return Table(
        OVER_LANGUAGES,
        "Differences over languages",
        group,
        frame_of(rows),
        (*_COMPARED, *_MEAN_SCORES, *_WINS, _P, _P_HOLM),
        _distinct(run for comparison in compared for code in comparison.languages for run in comparison.runs(code)),
        resampled=_LANGUAGES_RESAMPLED,
        footnotes=[
            "test over languages: Wilcoxon's signed ranks of their mean differences",
            _family(rows),
            *_left_out(compared),
        ],
    )


def _distinct(runs: Iterable[TrainingResult]) -> list[TrainingResult]:
    return list({run.run_id: run for run in runs}.values())


def _family(rows: Sequence[Row]) -> str:
    """Return the remark on the family of tests, and its correction."""
    comparisons = "1 comparison" if len(rows) == 1 else f"{len(rows)} comparisons"
    return f"family: the rows of this table, {comparisons}; correction: Holm's"


def _left_out(comparisons: Sequence[_Comparison]) -> list[str]:
    """Return remarks on the runs and languages of the compared names that are not compared."""
    contestants_by_name: dict[str, Contestant] = {}
    languages: dict[str, set[str]] = {}
    for comparison in comparisons:
        for name, contestant in (
            (comparison.first_name, comparison.first),
            (comparison.second_name, comparison.second),
        ):
            contestants_by_name[name] = contestant
            languages.setdefault(name, set()).update(comparison.languages)

    remarks = [_passed_over(contestants_by_name.items())]
    for name, contestant in contestants_by_name.items():
        missing = sorted(contestant.hits.keys() - languages[name])
        if missing:
            remarks.append(f"{name} also has {', '.join(missing)}, which the other method lacks")
    return list(filter(None, remarks))


def _passed_over(named: Iterable[tuple[str, Contestant]]) -> str:
    """Return the remark on the runs of these names that validation passed over; empty without any."""
    parts = []
    for name, contestant in named:
        languages_of: dict[str, list[str]] = {}
        for language, reasons in contestant.passed_over.items():
            languages_of.setdefault(", ".join(reasons), []).append(language)
        parts += [f"of {name} in {', '.join(codes)}: {reasons}" for reasons, codes in languages_of.items()]
    return f"left out, chosen by seeds and validation: {'; '.join(parts)}" if parts else ""


def _language_row(comparison: _Comparison, language: str) -> Row:
    first, second = sides = comparison.sides(language)
    differences = first.mean(axis=0) - second.mean(axis=0)
    mean = _mean(differences)
    p_items = sign_flip_p(differences)
    if comparison.is_over_seeds(language):
        _, p, low, high = seeds_and_items(first, second)
    else:
        p = p_items
        low, high = intervals([differences])[0].tolist()

    row: Row = {"language": language, "first": comparison.first_name, "second": comparison.second_name}
    for side, hits, contestant in zip(("first", "second"), sides, (comparison.first, comparison.second), strict=True):
        row[f"{side}_score"] = float(hits.mean())
        row[f"{side}_std"] = float(hits.mean(axis=1).std(ddof=1)) if len(hits) > 1 else None
        row[f"{side}_seeds"] = [] if contestant.is_plain else [run.config.seed for run in contestant.runs[language]]

    return row | {
        "difference": mean,
        "difference_low": low,
        "difference_high": high,
        "p": p,
        "p_over": SEEDS_AND_ITEMS if comparison.is_over_seeds(language) else ITEMS,
        "p_over_items": p_items,
        "run_ids": [run.run_id for run in comparison.runs(language)],
    }


def _summary_row(comparison: _Comparison) -> Row:
    sides = [comparison.sides(language) for language in comparison.languages]
    means = np.round([first.mean() - second.mean() for first, second in sides], 12)
    low, high = interval_over_languages(sides)

    return {
        "first": comparison.first_name,
        "second": comparison.second_name,
        "first_score": float(np.mean([first.mean() for first, _ in sides])),
        "second_score": float(np.mean([second.mean() for _, second in sides])),
        "difference": _mean(means),
        "difference_low": low,
        "difference_high": high,
        "languages": len(sides),
        "wins_ties_losses": f"{(means > 0).sum()}/{(means == 0).sum()}/{(means < 0).sum()}",
        "p": wilcoxon_p(means.tolist()),
    }


def _mean(values: np.ndarray) -> float:
    """Return the mean without rounding errors, which would print a difference of 0 as -0.000."""
    return round(float(values.mean()), 12) + 0.0


def _add_corrected(rows: Sequence[Row]) -> None:
    """Add to each row Holm's correction over all rows."""
    corrected = holm([row["p"] for row in rows])
    for row, p_holm in zip(rows, corrected, strict=True):
        row["p_holm"] = p_holm
