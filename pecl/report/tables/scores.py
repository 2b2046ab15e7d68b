"""Tables of chosen candidates: routes, aligned routes against baselines, adapters, numbers of shots.

All of them are columns of one frame of raw values, a row per candidate, from `candidate_rows`. They raise DataError
where candidates were not measured alike, see `one_group`.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict
from typing import Any

from pecl.config import IDENTITY_DEFAULTS, ExperimentConfig
from pecl.config.routes import ROUTES, WITHOUT_ANCHOR
from pecl.report.tables.candidates import Candidate, varying
from pecl.report.tables.groups import group_of, grouped, one_group
from pecl.report.tables.statistics import intervals
from pecl.report.tables.table import (
    MEAN_RECALL,
    Column,
    Row,
    Table,
    difference,
    frame_of,
    gallery_column,
    mean_and_std,
    missing,
    numbers,
    words,
)
from pecl.results.result import Result

ZERO_SHOT = {"target": "zero-shot", "target_to_english": "zero-shot (translated)"}  # test column -> name
TEXTS = {"target": "captions", "target_to_english": "translated"}  # test column -> name of the text

# (aligned route, baseline): the same query, without an anchor
COMPARISONS = tuple(
    (aligned, baseline)
    for aligned, (query, anchor) in ROUTES.items()
    for baseline, (other, none) in ROUTES.items()
    if anchor is not None and none is None and other == query
)

SCORES = (
    numbers("zero-shot", "zero_shot"),
    numbers("trained", "mean", "std", form=mean_and_std, always=True),
    *difference("gain", "gain"),
    numbers(f"{MEAN_RECALL} before", "mean_recall_before"),
    numbers(f"{MEAN_RECALL} after", "mean_recall"),
)
TEST_TEXT = words("test text", form=TEXTS.__getitem__)
LANGUAGE, ROUTE = words("language"), words("route")

_NONE = {"shots": "all", "train_size": "all", "joint": "alone"}  # text of None, where it is not "none"
_SCORED = ("zero_shot", "mean", "std", "gain", "mean_recall_before", "mean_recall")  # of a candidate
_ALWAYS = ("adapter", "train_on", "shots")  # fields of a setting that a reader looks for, equal or not
_IN_HEADINGS = frozenset({"train_on"})  # those of `_ALWAYS` that the setup's name states


def routes_table(candidates: Sequence[Candidate]) -> Table:
    """Return a row for each language and route: zero-shot, mean and standard deviation over seeds, and the gain.

    The gain is paired: bootstrap over test items of (trained - zero-shot), averaged over seeds within an item.
    """
    different = varying_fields(candidates)
    columns = LANGUAGE, *setting_columns(different), ROUTE, TEST_TEXT, *SCORES
    title = "Best candidate of each language and route, chosen by validation"
    return _table("routes", title, candidates, columns, ("language", "test_text", *different))


def aligned_table(candidates: Sequence[Candidate]) -> Table | None:
    """Return each aligned route against the baseline with the same query; None where no language has both.

    The difference is paired: bootstrap over test items of (aligned - baseline), each averaged over its seeds.
    """
    group = one_group(runs_of(candidates))
    by_key = {(one.language, one.setting, one.route): one for one in candidates}
    pairs = [
        (one, by_key[one.language, one.setting, baseline])
        for one in candidates
        for aligned, baseline in COMPARISONS
        if one.route == aligned and (one.language, one.setting, baseline) in by_key
    ]
    if not pairs:
        return None
    used = [candidate for pair in pairs for candidate in pair]
    found = intervals(aligned.trained_hits - baseline.trained_hits for aligned, baseline in pairs).tolist()
    rows = [_difference(*pair, low, high) for pair, (low, high) in zip(pairs, found, strict=True)]
    columns = (
        LANGUAGE,
        *setting_columns(varying_fields(used)),
        words("aligned"),
        numbers("score", "aligned_mean", "aligned_std", form=mean_and_std),
        words("baseline"),
        numbers("baseline score", "baseline_mean", "baseline_std", form=mean_and_std),
        *difference("difference", "difference"),
    )
    title = "Aligned routes against baselines"
    return Table("aligned", title, group, frame_of(rows), columns, runs_of(used), remarks_on(used))


def adapters_table(candidates: Sequence[Candidate]) -> Table:
    """Return the cost and gain of each adapter: parameters, share of the tower, time, memory, and scores.

    Peak memory is that of the process, so it describes a run only where each run had a process of its own.
    """
    order = sorted(candidates, key=lambda one: (one.language, one.route, one.runs[0].adapter.trainable))
    different = varying_fields(order, "adapter")
    columns = (
        LANGUAGE,
        ROUTE,
        words("adapter"),
        *setting_columns(different),
        numbers("parameters", form=","),
        *SCORES,
        numbers("share", form=".3%"),
        numbers("steps", form="d"),
        numbers("s/step", "seconds_per_step", form=".2f"),
        numbers("peak MiB", "peak_memory_mb", form=".0f"),
    )
    return _table("adapters", "Adapters", order, columns, ("language", "route", *different))


def shots_table(candidates: Sequence[Candidate]) -> Table:
    """Return scores by number of shots.

    The few-shot split takes the shots from the test part, so galleries differ in size. Each row states its own, with
    its own zero-shot score and a gain paired within it: gains compare between rows, recalls do not.
    """
    order = sorted(candidates, key=lambda one: (str(without(one, "shots")), one.pairs))
    different = varying_fields(order, "shots")
    columns = LANGUAGE, ROUTE, *setting_columns([*different, "shots"]), gallery_column(), *SCORES
    return _table("shots", "Gain by number of shots", order, columns)


def _table(
    name: str, title: str, candidates: Sequence[Candidate], columns: Sequence[Column], among: Sequence[str] = ()
) -> Table:
    """Return a row per candidate; the best trained scores of rows with equal values of `among` are marked."""
    runs, rows = runs_of(candidates), candidate_rows(candidates)
    group = one_group(runs, but=frozenset({"gallery_size"}) if name == "shots" else frozenset())
    remarks, best = remarks_on(candidates), best_places(rows, among, "mean", "trained") if among else frozenset()
    if group.gallery_size is None:
        remarks += ("galleries differ between rows: compare gains, not recalls",)
    return Table(name, title, group, frame_of(rows), columns, runs, remarks, best=best)


def with_several(candidates: Sequence[Candidate], name: str) -> list[Candidate]:
    """Return the candidates that others differ from in the field `name` of their setting and in no other."""
    found = Counter(without(candidate, name) for candidate in candidates)
    return [candidate for candidate in candidates if found[without(candidate, name)] > 1]


def runs_of(candidates: Sequence[Candidate]) -> tuple[Result, ...]:
    """Return the runs of all candidates."""
    return tuple(run for candidate in candidates for run in candidate.runs)


def varying_fields(candidates: Sequence[Candidate], without: str = "") -> list[str]:
    """Return the names of the fields in which settings of candidates differ, except for `without`."""
    return [name for name in varying(candidate.setting for candidate in candidates) if name != without]


def candidate_rows(candidates: Sequence[Candidate]) -> list[Row]:
    """Return the raw values of each candidate: scores before and after, gain and its interval, and its origin."""
    different = varying_fields(candidates)
    found = intervals(candidate.gains for candidate in candidates).tolist()
    return [_row(candidate, *ends, different) for candidate, ends in zip(candidates, found, strict=True)]


def alignment_of(config: ExperimentConfig) -> Row:
    """Return name and weight of a run's alignment, None where its route has nothing to align to."""
    aligned = config.route not in WITHOUT_ANCHOR
    return {name: getattr(config, name) if aligned else None for name in ("alignment", "alignment_weight")}


def setting_columns(names: Collection[str]) -> list[Column]:
    """Return the columns of fields of the config, which rows hold under their names."""
    columns = []
    for name in names:
        number = name in ("train_size", "photographs") or type(IDENTITY_DEFAULTS.get(name)) in (int, float)
        columns.append(Column(name.replace("_", " "), (name,), str, number, absent=setting_text(name, None)))
    return columns


def setting_text(name: str, value: Any) -> str:
    """Return the value of a config's field as text."""
    return _NONE.get(name, "none") if value is None else str(value)


def remarks_on(candidates: Sequence[Candidate]) -> tuple[str, ...]:
    """Return the remarks that tables of chosen candidates share."""
    aside = sum(candidate.aside for candidate in candidates)
    without = f"{aside} candidates could not be compared: they have no run with the seed of the others"
    return tuple(filter(None, [setting_remark(candidates), without if aside else ""]))


def setting_remark(candidates: Sequence[Candidate]) -> str:
    """Return the values that all candidates share in fields that a reader looks for and that no heading states.

    A distillation is trained on text of its own, so that shots say nothing about it.
    """
    left_out = {*varying_fields(candidates), *_IN_HEADINGS}
    if all(candidate.config.text is not None for candidate in candidates):
        left_out.add("shots")
    shared = [(name, value) for name, value in candidates[0].setting if name in _ALWAYS and name not in left_out]
    return ", ".join(f"{name.replace('_', ' ')} {setting_text(name, value)}" for name, value in shared)


def best_places(rows: Sequence[Row], among: Sequence[str], score: str, column: str) -> frozenset[tuple[int, str]]:
    """Return (place, `column`) of the rows whose `score` is the highest of those with equal values of `among`.

    A row that compares with no other is not the best of anything.
    """
    groups = grouped(range(len(rows)), lambda place: str([rows[place].get(name) for name in among]))
    best = set()
    for own in groups.values():
        scores = {place: rows[place][score] for place in own if not missing(rows[place][score])}
        if len(own) > 1:
            best |= {(place, column) for place, value in scores.items() if value == max(scores.values())}
    return frozenset(best)


def _row(candidate: Candidate, low: float, high: float, different: Sequence[str]) -> Row:
    group, first = group_of(candidate.chosen_run), candidate.runs[0]
    setting = {name: value for name, value in candidate.setting if name in _ALWAYS or name in different}
    return {
        "language": candidate.language,
        "route": candidate.route,
        **setting,
        "test_text": candidate.query,
        **{name: getattr(candidate, name) for name in _SCORED},
        "gain_low": low,
        "gain_high": high,
        "val": candidate.validation,
        "parameters": first.adapter.trainable,
        "share": first.adapter.share,
        "steps": first.steps,
        "seconds_per_step": first.seconds.per_step,
        "peak_memory_mb": first.peak_memory_mb,
        "lr": candidate.config.lr,
        **alignment_of(candidate.config),
        "candidates_compared": candidate.compared,
        "candidates_without_the_seed": candidate.aside,
        "metric": group.metric,
        "test_captions": candidate.captions,
        **asdict(group),
        "seeds": candidate.seeds,
        "run_ids": candidate.run_ids,
    }


def _difference(aligned: Candidate, baseline: Candidate, low: float, high: float) -> Row:
    sides = {"aligned": aligned, "baseline": baseline}
    return {
        "language": aligned.language,
        **dict(aligned.setting),
        **{name: one.route for name, one in sides.items()},
        **{f"{name}_{key}": getattr(one, key) for name, one in sides.items() for key in ("mean", "std", "seeds")},
        "difference": aligned.mean - baseline.mean,
        "difference_low": low,
        "difference_high": high,
        "run_ids": aligned.run_ids + baseline.run_ids,
    }


def without(candidate: Candidate, left_out: str) -> tuple:
    """Return language, route and setting of a candidate, except for the field `left_out`."""
    return candidate.language, candidate.route, *(pair for pair in candidate.setting if pair[0] != left_out)
