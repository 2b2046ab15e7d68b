"""Disparity between languages before and after training, and the share of the gap to English that training closed.

The tables raise DataError where results were not measured alike, see `one_group`.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pecl.config.routes import ROUTES
from pecl.languages import ENGLISH
from pecl.report.tables.candidates import Candidate, varying
from pecl.report.tables.groups import Group, group_of, grouped, one_group
from pecl.report.tables.scores import ZERO_SHOT, runs_of, setting_remark, setting_text
from pecl.report.tables.statistics import disparity, hits, intervals, share_closed
from pecl.report.tables.table import Column, Row, Table, intervals_of, numbers, words
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


@dataclass(frozen=True)
class _Condition:
    """One row: scores by language, and the zero-shot condition that training started from."""

    name: str
    before: str
    scores: dict[str, float] = field(default_factory=dict)
    hits: dict[str, np.ndarray] = field(default_factory=dict)  # hits of each test item, (N,)

    def enter(self, language: str, score: float, hits: np.ndarray) -> None:
        """Add a language with its score, which is the mean of `hits`."""
        self.scores[language], self.hits[language] = score, hits

    def gap_interval(self, english: np.ndarray | None) -> tuple[float, float]:
        """Return the bootstrap interval of English's score less the mean of the others', paired by test item.

        Not numbers where there is no English or no other language.
        """
        others = [own for language, own in self.hits.items() if language != ENGLISH]
        if english is None or not others:
            return float("nan"), float("nan")
        low, high = intervals([english - np.mean(others, axis=0)])[0].tolist()
        return low, high


def disparity_table(candidates: Sequence[Candidate], results: Sequence[Result]) -> Table | None:
    """Return a row for zero-shot and each route: mean, std and range over languages, gap to English, share closed.

    A language enters where all routes of its setting have a result for it, so that all rows are over the same
    languages; None where no setting has two. A route with fewer than two languages other than English does not enter.
    English's score is looked up among `results`, see `find_english`; for the formulas see `Disparity`, `share_closed`.
    """
    group = one_group(runs_of(candidates))
    english = find_english(results, group_of(candidates[0].runs[0]))
    by_setting = grouped(candidates, lambda candidate: candidate.setting)
    kept = {setting: found for setting, own in by_setting.items() if len(languages_of(found := _complete(own))) > 1}
    if not kept:
        return None
    different = varying(kept)
    rows = [{**dict(setting), **row} for setting, own in kept.items() for row in _rows(_conditions(own), english)]
    used = [candidate for own in kept.values() for candidate in own]
    remarks = [setting_remark(used), *_remarks(english), *_left_out(candidates, used)]
    if few := len(by_setting) - len(kept):
        remarks.append(f"{few} setting{'s' if few > 1 else ''} left out, with only one language")
    runs = runs_of(used)
    references = (english,) if english and english not in runs else ()
    columns = *map(_setting_column, different), *_COLUMNS
    return Table(
        "disparity",
        TITLE,
        group,
        rows,
        columns,
        (*runs, *references),
        tuple(filter(None, remarks)),
        references=references,
        distinct=True,
    )


def zero_shot_disparity_table(evaluations: Sequence[Result]) -> Table | None:
    """Return the same for evaluations of the plain tower; None where there are fewer than two languages."""
    plain = [result for result in evaluations if "zero_shot" in result.stages]
    if len({result.config.language for result in plain}) < 2:
        return None
    group = one_group(plain)
    english = find_english(plain, group)
    found: dict[str, _Condition] = {}
    for result in plain:
        name = ZERO_SHOT[result.data.query["test"]]
        condition = found.setdefault(name, _Condition(name, name))
        condition.enter(result.config.language, result.recall(stage="zero_shot"), hits(result, "zero_shot"))
    conditions = [condition for condition in found.values() if len(condition.scores) > 1]
    if not conditions:
        return None
    remarks = _remarks(english)[:1]  # nothing was closed
    return Table("disparity", TITLE, group, _rows(conditions, english), _COLUMNS, tuple(plain), remarks)


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


def _conditions(candidates: Sequence[Candidate]) -> list[_Condition]:
    """Return zero-shot on each test text, and each route after training."""
    found = [_Condition(name, name) for query, name in ZERO_SHOT.items() if any(c.query == query for c in candidates)]
    routes = {candidate.route: ZERO_SHOT[candidate.query] for candidate in candidates}
    found += [_Condition(name, routes[name]) for name in ROUTES if name in routes]
    by_name = {condition.name: condition for condition in found}
    for candidate in candidates:
        code, before = candidate.language, hits(candidate.runs[0], "zero_shot")
        by_name[ZERO_SHOT[candidate.query]].enter(code, candidate.zero_shot, before)
        by_name[candidate.route].enter(code, candidate.mean, candidate.trained_hits)
    return found


def _rows(conditions: Sequence[_Condition], english: Result | None) -> list[Row]:
    reference = english.recall(stage="zero_shot") if english else None
    measured = {condition.name: disparity(condition.scores, reference) for condition in conditions}
    english_hits = hits(english, "zero_shot") if english else None
    gaps = {condition.name: condition.gap_interval(english_hits) for condition in conditions}
    return [
        {
            "condition": condition.name,
            "languages": sorted(condition.scores),
            "mean": (own := measured[condition.name]).mean,
            "std_population": own.std,
            "max_minus_min": own.max_minus_min,
            "english_zero_shot": float("nan") if reference is None else reference,
            "gap_to_english": own.gap,
            "gap_low": gaps[condition.name][0],
            "gap_high": gaps[condition.name][1],
            "share_closed": share_closed(measured[condition.before], own)
            if condition.name != condition.before and gaps[condition.before][0] > 0
            else float("nan"),
        }
        for condition in conditions
    ]


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
