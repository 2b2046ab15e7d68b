"""Disparity between languages before and after training, and the share of the gap to English that training closed."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from operator import attrgetter

import numpy as np

from pecl.config.routes import ROUTES
from pecl.language.languages import ENGLISH
from pecl.report.selection.candidates import Candidate, Setting, recorded_fields, varying
from pecl.report.selection.groups import Group, R, by_arithmetic, group_of, grouped
from pecl.report.selection.methods import ZERO_SHOT
from pecl.report.tables.columns import setting_remark, setting_text
from pecl.report.tables.table import SHORT_ID, Column, Row, Table, frame_of, interval_column
from pecl.results.result import Result
from pecl.retrieval.measures import bootstrap_interval

_TITLE = "Disparity between languages"


def _languages_text(row: Row) -> str:
    return " ".join(row["languages"])


_COLUMNS = (
    Column("condition"),
    Column("languages", _languages_text),
    Column("mean", "{mean:.3f}"),
    Column("std over languages", "{std_population:.3f}"),
    Column("max - min", "{max_minus_min:.3f}"),
    Column("gap to English", "{gap_to_english:+.3f}"),
    interval_column("gap_low", "gap_high"),
    Column("gap closed", "{share_closed:.1%}"),
)


@dataclass(frozen=True)
class _Condition:
    """The scores of one row: of the base encoder, or of a route."""

    name: str
    hits: Mapping[str, np.ndarray]  # language -> hits (N,) of the test items, whose mean is its score
    zero_shot: str | None = None  # name of the condition whose gap a route closes; None for the base encoder


def disparity_table(candidates: Sequence[Candidate], results: Sequence[Result]) -> Table | None:
    """Return a row for zero-shot and each route: mean, std and range over languages, gap to English, share closed.

    A language is included if all routes of its setting have a result for it, so that all rows cover the same
    languages. A route with fewer than two languages other than English is left out. Return None if no setting has two
    languages. English's score is taken from `results`, see `find_english`; for the formulas see `_rows`.
    """
    by_setting = _comparable(candidates)
    if not by_setting:
        return None

    group = group_of(candidates[0].runs[0])
    fields = recorded_fields(by_setting)
    rows: list[Row] = []
    references: dict[str, Result | None] = {}  # precision -> English's zero-shot
    for setting, compared in by_setting.items():
        precision = compared[0].config.precision
        english = references.setdefault(precision, find_english(results, group, precision))
        recorded = {name: value for name, value in setting if name in fields}
        rows += [recorded | row for row in _rows(_conditions(compared), english)]

    columns = (*map(_setting_column, varying(by_setting)), *_COLUMNS)
    used = [candidate for compared in by_setting.values() for candidate in compared]
    remarks = [*setting_remark(used), *_remarks(references), *_left_out_remark(candidates, used)]
    runs = [run for candidate in used for run in candidate.runs]
    english_only = [english for english in references.values() if english is not None and english not in runs]

    table = Table(
        "disparity", _TITLE, group, frame_of(rows), columns, runs + english_only, remarks, references=english_only
    )
    return replace(table, frame=table.frame[~table.texts.duplicated().to_numpy()])


def zero_shot_disparity_table(evaluations: Sequence[Result]) -> Table | None:
    """Return a row per text and arithmetic of evaluations of the base encoder; None for fewer than two languages."""
    plain = [result for result in evaluations if "zero_shot" in result.stages]
    rows: list[Row] = []
    references: dict[str, Result | None] = {}
    for arithmetic, results in by_arithmetic(plain).items():
        conditions = _plain_conditions(results, arithmetic)
        if conditions:
            precision = results[0].config.precision
            english = references.setdefault(precision, find_english(plain, group_of(plain[0]), precision))
            rows += _rows(conditions, english)
    if not rows:
        return None

    remarks = [reference_remark(precision, english) for precision, english in references.items()]
    return Table("disparity", _TITLE, group_of(plain[0]), frame_of(rows), _COLUMNS, plain, remarks)


def _comparable(candidates: Sequence[Candidate]) -> dict[Setting, list[Candidate]]:
    """Return by setting the candidates whose languages have all routes; settings with two languages or more."""
    by_setting = {}
    for setting, alike in grouped(candidates, attrgetter("setting")).items():
        complete = _of_complete_languages(alike)
        if len({candidate.language for candidate in complete}) > 1:
            by_setting[setting] = complete
    return by_setting


def _of_complete_languages(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates of languages with all routes; a route needs two languages other than English."""
    count = Counter(candidate.route for candidate in candidates if candidate.language != ENGLISH)
    routes = {route for route, languages in count.items() if languages > 1}

    of_routes = [candidate for candidate in candidates if candidate.route in routes]
    routes_of: dict[str, set[str]] = {}
    for candidate in of_routes:
        routes_of.setdefault(candidate.language, set()).add(candidate.route)
    return [candidate for candidate in of_routes if routes_of[candidate.language] == routes]


def _conditions(candidates: Sequence[Candidate]) -> list[_Condition]:
    """Return the conditions of candidates of one setting: the base encoder by test text, then the routes."""
    before: dict[str, dict[str, np.ndarray]] = {name: {} for name in ZERO_SHOT.values()}
    after: dict[str, dict[str, np.ndarray]] = {route: {} for route in ROUTES}
    zero_shot_of = {}
    for candidate in candidates:
        zero_shot = ZERO_SHOT[candidate.query]
        zero_shot_of[candidate.route] = zero_shot
        before[zero_shot][candidate.language] = candidate.runs[0].hits("zero_shot")
        after[candidate.route][candidate.language] = candidate.trained_hits

    plain = [_Condition(name, hits) for name, hits in before.items() if hits]
    trained = [_Condition(route, hits, zero_shot_of[route]) for route, hits in after.items() if hits]
    return plain + trained


def _plain_conditions(results: Sequence[Result], arithmetic: str) -> list[_Condition]:
    """Return a condition per test text of evaluations of the base encoder that has two languages or more."""
    by_text: dict[str, dict[str, np.ndarray]] = {}
    for result in results:
        name = ZERO_SHOT[result.data.query["test"]] + arithmetic
        by_text.setdefault(name, {})[result.config.language] = result.hits("zero_shot")
    return [_Condition(name, hits) for name, hits in by_text.items() if len(hits) > 1]


def _rows(conditions: Sequence[_Condition], english: Result | None) -> list[Row]:
    """Return a row per condition: the disparity between languages.

    The standard deviation is the population's, since these are all languages. The gap is English's zero-shot score
    minus the mean of the languages other than English; its bootstrap interval is paired by test item. A route closes
    the share 1 - its gap / its zero-shot gap, which is NaN unless the interval of the zero-shot gap is above 0:
    otherwise that gap is within noise.
    """
    rows: dict[str, Row] = {}
    for condition in conditions:
        scores = np.array([hits.mean() for hits in condition.hits.values()])
        row = {
            "condition": condition.name,
            "languages": sorted(condition.hits),
            "mean": float(scores.mean()),
            "std_population": float(scores.std()),
            "max_minus_min": float(np.ptp(scores)),
            **_gap_values(condition, english),
            "share_closed": math.nan,
        }

        if condition.zero_shot is not None:
            zero_shot_row = rows[condition.zero_shot]
            if zero_shot_row["gap_low"] > 0:
                row["share_closed"] = 1 - row["gap_to_english"] / zero_shot_row["gap_to_english"]
        rows[condition.name] = row

    return list(rows.values())


def _gap_values(condition: _Condition, english: Result | None) -> Row:
    """Return English's score, the gap to it, and the gap's interval; NaN without a result of English."""
    if english is None:
        return dict.fromkeys(("english_zero_shot", "gap_to_english", "gap_low", "gap_high"), math.nan)

    other_hits = [hits for language, hits in condition.hits.items() if language != ENGLISH]
    gaps = english.hits("zero_shot") - np.mean(other_hits, axis=0)
    low, high = bootstrap_interval(gaps)
    return {
        "english_zero_shot": english.recall(stage="zero_shot"),
        "gap_to_english": float(gaps.mean()),
        "gap_low": low,
        "gap_high": high,
    }


def find_english(results: Iterable[Result], group: Group, precision: str) -> Result | None:
    """Return a result with English's zero-shot score on English captions, in this precision and the gallery of `group`.

    It is a training or evaluation of English in the same group, else an evaluation of a whole set with a gallery of
    that size. The test side does not matter, since English is tested on English.
    """
    english = [result for result in results if _is_plain_english(result) and result.config.precision == precision]
    for split_seed in (group.split_seed, None):
        reference_group = replace(group, split_seed=split_seed)
        matches = [
            result for result in english if replace(group_of(result), test_query=group.test_query) == reference_group
        ]
        if matches:
            return min(matches, key=attrgetter("run_id"))
    return None


def plain_english(results: Iterable[R]) -> list[R]:
    """Return the results among which `find_english` searches: many searches need not pass over all the others."""
    return [result for result in results if _is_plain_english(result)]


def _is_plain_english(result: Result) -> bool:
    """Return whether a result has a zero-shot score of English on English captions."""
    tests_english = result.config.language == ENGLISH and result.data.query["test"] == "target"
    return tests_english and "zero_shot" in result.stages


def english_of(candidate: Candidate, results: Iterable[Result]) -> Result | None:
    """Return the English reference of a candidate, see `find_english`."""
    return find_english(results, group_of(candidate.runs[0]), candidate.config.precision)


def gap_to_english(candidate: Candidate, english: Result | None) -> float | None:
    """Return English's zero-shot R@1 minus the language's; None if the gap is within noise, or English is missing.

    R@1 is the mean of both directions. The share of the gap that training closes is the gain divided by this gap, in
    every table and figure.
    """
    if english is None or candidate.language == ENGLISH:
        return None
    gaps = english.hits("zero_shot") - candidate.runs[0].hits("zero_shot")
    low, _ = bootstrap_interval(gaps)
    return float(gaps.mean()) if low > 0 else None


def reference_remark(precision: str, english: Result | None) -> str:
    """Return the sentence that names the English reference of runs of a precision, or states that there is none."""
    if english is None:
        return f"gap to English: no {precision} result of language en on this gallery"
    return f"English zero-shot {english.recall(stage='zero_shot'):.3f} ({precision}, run {english.run_id[:SHORT_ID]})"


def _remarks(references: Mapping[str, Result | None]) -> list[str]:
    remarks = [reference_remark(precision, english) for precision, english in references.items()]
    if any(references.values()):
        remarks.append("gap: English less the mean of the other languages")
        remarks.append(
            "gap closed: share of the zero-shot gap on the same test text; only if the interval of that gap is above 0"
        )
    return remarks


def _left_out_remark(candidates: Sequence[Candidate], used: Sequence[Candidate]) -> list[str]:
    """Return a remark that names the languages of candidates that are not used, or no remark."""
    left_out = {candidate.language for candidate in candidates} - {candidate.language for candidate in used} - {ENGLISH}
    if not left_out:
        return []
    return [f"languages left out, since a route has no result of them: {', '.join(sorted(left_out))}"]


def _setting_column(name: str) -> Column:
    return Column(name.replace("_", " "), partial(_setting_field, name))


def _setting_field(name: str, row: Row) -> str:
    if row["condition"] in ZERO_SHOT.values():  # without an adapter, settings make no difference
        return "-"
    return setting_text(name, row[name])
