"""Disparity between languages before and after training, and the share of the gap to English that training closed."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from pecl.config.routes import ROUTES
from pecl.data.languages import ENGLISH
from pecl.report.tables.candidates import Candidate, recorded_fields, varying
from pecl.report.tables.groups import Group, by_arithmetic, group_of, grouped
from pecl.report.tables.scores import ZERO_SHOT, setting_remark, setting_text
from pecl.report.tables.table import SHORT_ID, Column, Row, Table, frame_of, interval_column
from pecl.results.result import Result
from pecl.retrieval.measures import bootstrap_interval

TITLE = "Disparity between languages"
_COLUMNS = (
    Column("condition"),
    Column("languages", lambda row: " ".join(row["languages"])),
    Column("mean", "{mean:.3f}"),
    Column("std over languages", "{std_population:.3f}"),
    Column("max - min", "{max_minus_min:.3f}"),
    Column("gap to English", "{gap_to_english:+.3f}"),
    interval_column("gap_low", "gap_high"),
    Column("gap closed", "{share_closed:.1%}"),
)

_Hits = dict[str, np.ndarray]  # language -> hits (N,) of the test items, whose mean is its score


def disparity_table(candidates: Sequence[Candidate], results: Sequence[Result]) -> Table | None:
    """Return a row for zero-shot and each route: mean, std and range over languages, gap to English, share closed.

    A language is included if all routes of its setting have a result for it, so that all rows cover the same
    languages. A route with fewer than two languages other than English is left out. Return None if no setting has two
    languages. English's score is taken from `results`, see `find_english`; for the formulas see `_rows`.
    """
    group = group_of(candidates[0].runs[0])
    by_setting = {setting: _complete(own) for setting, own in grouped(candidates, lambda one: one.setting).items()}
    kept = {setting: own for setting, own in by_setting.items() if len({one.language for one in own}) > 1}
    if not kept:
        return None
    fields = recorded_fields(kept)
    rows: list[Row] = []
    references: dict[str, Result | None] = {}  # precision -> English's zero-shot
    for setting, own in kept.items():
        precision = own[0].config.precision
        english = references.setdefault(precision, find_english(results, group, precision))
        starts = {one.route: ZERO_SHOT[one.query] for one in own}  # route -> its zero-shot
        found: dict[str, _Hits] = {name: {} for name in (*ZERO_SHOT.values(), *ROUTES)}
        for one in own:
            found[starts[one.route]][one.language] = one.runs[0].hits("zero_shot")
            found[one.route][one.language] = one.trained_hits
        stated = {name: value for name, value in setting if name in fields}
        rows += [{**stated, **row} for row in _rows(found, starts, english)]
    columns = [Column(name.replace("_", " "), partial(_setting_said, name)) for name in varying(kept)] + [*_COLUMNS]
    used = [candidate for own in kept.values() for candidate in own]
    remarks = [*setting_remark(used), *_remarks(references)]
    if left_out := sorted({one.language for one in candidates} - {one.language for one in used} - {ENGLISH}):
        remarks.append(f"languages left out, since a route has no result of them: {', '.join(left_out)}")
    runs = [run for one in used for run in one.runs]
    english_only = [result for result in references.values() if result is not None and result not in runs]
    runs += english_only
    table = Table("disparity", TITLE, group, frame_of(rows), columns, runs, remarks, references=english_only)
    return replace(table, frame=table.frame[~table.texts.duplicated().to_numpy()])


def zero_shot_disparity_table(evaluations: Sequence[Result]) -> Table | None:
    """Return a row per text and arithmetic of evaluations of the plain tower; None for fewer than two languages."""
    plain = [result for result in evaluations if "zero_shot" in result.stages]
    rows, references = list[Row](), dict[str, Result | None]()
    for said, alike in by_arithmetic(plain).items():
        found = grouped(alike, lambda one: ZERO_SHOT[one.data.query["test"]])
        scores = {name + said: {one.config.language: one.hits("zero_shot") for one in found[name]} for name in found}
        if conditions := {name: own for name, own in scores.items() if len(own) > 1}:
            precision = alike[0].config.precision
            english = references.setdefault(precision, find_english(plain, group_of(plain[0]), precision))
            rows += _rows(conditions, {}, english)
    if not rows:
        return None
    remarks = _remarks(references)[: len(references)]  # nothing was closed
    return Table("disparity", TITLE, group_of(plain[0]), frame_of(rows), _COLUMNS, plain, remarks)


def find_english(results: Iterable[Result], group: Group, precision: str) -> Result | None:
    """Return a result with English's zero-shot score on English captions, in this precision and the gallery of `group`.

    It is a training or evaluation of English in the same group, else an evaluation of a whole set with a gallery of
    that size. The test side does not matter, since English is tested on English.
    """
    english = [one for one in results if one.config.language == ENGLISH and one.data.query["test"] == "target"]
    english = [one for one in english if "zero_shot" in one.stages and one.config.precision == precision]
    for split_seed in (group.split_seed, None):
        wanted = replace(group, split_seed=split_seed)
        if same := [one for one in english if replace(group_of(one), test_query=group.test_query) == wanted]:
            return min(same, key=lambda result: result.run_id)
    return None


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
    return float(gaps.mean()) if bootstrap_interval(gaps)[0] > 0 else None


def _complete(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates of languages with all routes; a route needs two languages other than English."""
    count = Counter(candidate.route for candidate in candidates if candidate.language != ENGLISH)
    routes = {name for name, languages in count.items() if languages > 1}
    by_language = grouped((one for one in candidates if one.route in routes), lambda one: one.language)
    whole = {code for code, own in by_language.items() if {one.route for one in own} == routes}
    return [one for one in candidates if one.route in routes and one.language in whole]


def _rows(conditions: dict[str, _Hits], starts: dict[str, str], english: Result | None) -> list[Row]:
    """Return a row per condition with scores: the disparity between languages.

    `starts` names the zero-shot condition of each route, which precedes it. The standard deviation is the population's,
    since these are all languages. The gap is English's zero-shot score minus the mean of the languages other than
    English; its bootstrap interval is paired by test item. A route closes the share 1 - its gap / its zero-shot gap,
    which is NaN unless the interval of the zero-shot gap is above 0: otherwise that gap is within noise.
    """
    rows: dict[str, Row] = {}
    for name, found in ((name, found) for name, found in conditions.items() if found):
        values = np.array([own.mean() for own in found.values()])
        reference = gap = low = high = math.nan
        if english is not None:
            gaps = english.hits("zero_shot") - np.mean([own for code, own in found.items() if code != ENGLISH], axis=0)
            reference, gap = english.recall(stage="zero_shot"), float(gaps.mean())
            low, high = bootstrap_interval(gaps)
        before = rows.get(starts.get(name, ""))
        rows[name] = {
            "condition": name,
            "languages": sorted(found),
            "mean": float(values.mean()),
            "std_population": float(values.std()),
            "max_minus_min": float(np.ptp(values)),
            "english_zero_shot": reference,
            "gap_to_english": gap,
            "gap_low": low,
            "gap_high": high,
            "share_closed": 1 - gap / before["gap_to_english"] if before and before["gap_low"] > 0 else math.nan,
        }
    return list(rows.values())


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


def _setting_said(name: str, row: Row) -> str:  # without an adapter, settings make no difference
    return "-" if row["condition"] in ZERO_SHOT.values() else setting_text(name, row[name])
