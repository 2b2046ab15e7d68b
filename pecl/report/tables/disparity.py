"""Disparity between languages before and after training, and the share of the gap to English that training closed.

The tables raise DataError where results were not measured alike, see `one_group`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pecl.config.routes import ROUTES
from pecl.languages import ENGLISH
from pecl.report.tables.candidates import Candidate, varying
from pecl.report.tables.groups import Group, group_of, grouped, one_group
from pecl.report.tables.scores import ZERO_SHOT, runs_of, setting_remark, setting_text
from pecl.report.tables.statistics import hits, interval
from pecl.report.tables.table import Column, Row, Table, frame_of, intervals_of, numbers, words
from pecl.results.result import Result

TITLE = "Disparity between languages"
_COLUMNS = (
    words("condition"),
    words("languages", form=" ".join),
    numbers("mean"),
    numbers("std over languages", "std_population"),
    numbers("max - min", "max_minus_min"),
    numbers("gap to English", "gap_to_english", form="+.3f"),
    intervals_of("gap_low", "gap_high"),
    numbers("gap closed", "share_closed", form=".1%"),
)


# Language -> its score, and the hits (N,) of the test items, whose mean it is
_Scores = dict[str, tuple[float, np.ndarray]]


def disparity_table(candidates: Sequence[Candidate], results: Sequence[Result]) -> Table | None:
    """Return a row for zero-shot and each route: mean, std and range over languages, gap to English, share closed.

    A language enters where all routes of its setting have a result for it, so that all rows are over the same
    languages; None where no setting has two. A route with fewer than two languages other than English does not enter.
    English's score is looked up among `results`, see `find_english`; for the formulas see `_rows`.
    """
    group = one_group(runs_of(candidates))
    english = find_english(results, group_of(candidates[0].runs[0]))
    by_setting = grouped(candidates, lambda candidate: candidate.setting)
    kept = {setting: found for setting, own in by_setting.items() if len(languages_of(found := _complete(own))) > 1}
    if not kept:
        return None
    different = varying(kept)
    columns = *map(_setting_column, different), *_COLUMNS
    frame = frame_of(
        [{**dict(setting), **row} for setting, own in kept.items() for row in _rows(*_conditions(own), english)]
    )
    read_alike = Table("disparity", TITLE, group, frame, columns).texts.duplicated().to_numpy()
    used = [candidate for own in kept.values() for candidate in own]
    remarks = [setting_remark(used), *_remarks(english), *_left_out(candidates, used)]
    if few := len(by_setting) - len(kept):
        remarks.append(f"{few} setting{'s' if few > 1 else ''} left out, with only one language")
    runs = runs_of(used)
    references = (english,) if english and english not in runs else ()
    said = tuple(filter(None, remarks))
    frame = frame[~read_alike]
    return Table("disparity", TITLE, group, frame, columns, (*runs, *references), said, references=references)


def zero_shot_disparity_table(evaluations: Sequence[Result]) -> Table | None:
    """Return the same for evaluations of the plain tower; None where there are fewer than two languages."""
    plain = [result for result in evaluations if "zero_shot" in result.stages]
    if len({result.config.language for result in plain}) < 2:
        return None
    group = one_group(plain)
    english = find_english(plain, group)
    found: dict[str, _Scores] = {}
    for result in plain:
        scores = found.setdefault(ZERO_SHOT[result.data.query["test"]], {})
        scores[result.config.language] = result.recall(stage="zero_shot"), hits(result, "zero_shot")
    conditions = {name: scores for name, scores in found.items() if len(scores) > 1}
    if not conditions:
        return None
    remarks = _remarks(english)[:1]  # nothing was closed
    frame = frame_of(_rows(conditions, {}, english))
    return Table("disparity", TITLE, group, frame, _COLUMNS, tuple(plain), remarks)


def languages_of(candidates: Sequence[Candidate]) -> list[str]:
    """Return the languages of candidates, sorted."""
    return sorted({candidate.language for candidate in candidates})


def find_english(results: Sequence[Result], group: Group) -> Result | None:
    """Return a result that holds English's zero-shot score on English captions against the gallery of `group`.

    A training or evaluation of English in the same group; else an evaluation of a whole set with a gallery of that
    size; the test side does not matter, since English is tested on English.
    """
    english = [
        result
        for result in results
        if result.config.language == ENGLISH and result.data.query["test"] == "target" and "zero_shot" in result.stages
    ]
    for split_seed in (group.split_seed, None):
        wanted = replace(group, split_seed=split_seed)
        same = [result for result in english if replace(group_of(result), test_query=group.test_query) == wanted]
        if same:
            return min(same, key=lambda result: result.run_id)
    return None


def gap_to_english(candidate: Candidate, english: Result | None) -> float | None:
    """Return English's zero-shot score less the language's; None where it is within noise, or there is no English."""
    if english is None or candidate.language == ENGLISH:
        return None
    gaps = hits(english, "zero_shot") - hits(candidate.runs[0], "zero_shot")
    return float(gaps.mean()) if interval(gaps)[0] > 0 else None


def _complete(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return the candidates of the languages that have every route which two languages other than English have."""
    count = Counter(candidate.route for candidate in candidates if candidate.language != ENGLISH)
    routes = {name for name, languages in count.items() if languages > 1}
    kept = [candidate for candidate in candidates if candidate.route in routes]
    whole = {code for code in languages_of(kept) if {c.route for c in kept if c.language == code} == routes}
    return [candidate for candidate in kept if candidate.language in whole]


def _left_out(candidates: Sequence[Candidate], used: Sequence[Candidate]) -> list[str]:
    """Return a remark on the languages, and one on the routes, of `candidates` that no candidate of `used` has."""
    codes = sorted(
        {candidate.language for candidate in candidates} - {candidate.language for candidate in used} - {ENGLISH}
    )
    routes = sorted({candidate.route for candidate in candidates} - {candidate.route for candidate in used})
    remarks = [f"languages left out, since a route has no result of them: {', '.join(codes)}"] if codes else []
    return remarks + ([f"routes left out, since they have only one language: {', '.join(routes)}"] if routes else [])


def _conditions(candidates: Sequence[Candidate]) -> tuple[dict[str, _Scores], dict[str, str]]:
    """Return the scores of zero-shot on each test text and of each route; and route -> its zero-shot."""
    starts = {candidate.route: ZERO_SHOT[candidate.query] for candidate in candidates}
    plain = [name for name in ZERO_SHOT.values() if name in starts.values()]
    found: dict[str, _Scores] = {name: {} for name in (*plain, *ROUTES) if name in (*plain, *starts)}
    for candidate in candidates:
        code, before = candidate.language, hits(candidate.runs[0], "zero_shot")
        found[starts[candidate.route]][code] = candidate.zero_shot, before
        found[candidate.route][code] = candidate.mean, candidate.trained_hits
    return found, starts


def _rows(conditions: dict[str, _Scores], starts: dict[str, str], english: Result | None) -> list[Row]:
    """Return a row per condition; `starts` names the zero-shot condition of each route.

    The share that a route closed is 1 - its gap / the gap of its zero-shot, where the interval of the latter is above
    0: else that gap is within noise.
    """
    rows = {name: _row(name, scores, english) for name, scores in conditions.items()}
    for name, row in rows.items():
        before = rows[starts.get(name, name)]
        counts = before is not row and before["gap_low"] > 0
        row["share_closed"] = 1 - row["gap_to_english"] / before["gap_to_english"] if counts else float("nan")
    return list(rows.values())


def _row(name: str, scores: _Scores, english: Result | None) -> Row:
    """Return the inequality between the scores of languages.

    The deviation is of the population, for the languages are all there are. The gap is English's zero-shot score less
    the mean of the languages other than English; its bootstrap interval is paired by test item.
    """
    values = np.array([score for score, _ in scores.values()])
    reference = gap = low = high = float("nan")
    if english is not None:
        others = [own for language, own in scores.items() if language != ENGLISH]
        reference = english.recall(stage="zero_shot")
        gap = reference - float(np.mean([score for score, _ in others]))
        gaps = hits(english, "zero_shot") - np.mean([own for _, own in others], axis=0)
        low, high = interval(gaps)
    return {
        "condition": name,
        "languages": sorted(scores),
        "mean": float(values.mean()),
        "std_population": float(values.std()),
        "max_minus_min": float(np.ptp(values)),
        "english_zero_shot": reference,
        "gap_to_english": gap,
        "gap_low": low,
        "gap_high": high,
    }


def _remarks(english: Result | None) -> tuple[str, ...]:
    if english is None:
        return ("gap to English: no result of language en on this gallery",)
    return (
        f"English zero-shot {english.recall(stage='zero_shot'):.3f}; gap: English less the mean of the other languages",
        "gap closed: of the gap of zero-shot on the same test text, where the interval of that gap is above 0",
    )


def _setting_column(name: str) -> Column:
    """Return the column of a field of the setting, `-` without an adapter, where settings make no difference."""

    def form(condition: str, value: object) -> str:
        return "-" if condition in ZERO_SHOT.values() else setting_text(name, value)

    return words(name.replace("_", " "), "condition", name, form=form)
