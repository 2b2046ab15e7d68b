"""Tables of chosen candidates of one group: routes, aligned routes against baselines, adapters, numbers of shots.

All of them are columns of one frame of raw values, a row per candidate, from `candidates_frame`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pecl.config import IDENTITY_DEFAULTS, ExperimentConfig
from pecl.config.routes import ROUTES, WITHOUT_ANCHOR
from pecl.report.tables.candidates import Candidate, varying
from pecl.report.tables.groups import group_of
from pecl.report.tables.statistics import intervals
from pecl.report.tables.table import GALLERY, MEAN_RECALL, Column, Row, Table, difference, frame_of
from pecl.results.result import Result

if TYPE_CHECKING:
    import pandas as pd

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
    Column("zero-shot", "{zero_shot:.3f}"),
    Column("trained", "{mean:.3f} ± {std:.3f}", always=True),
    *difference("gain"),
    Column(f"{MEAN_RECALL} before", "{mean_recall_before:.3f}"),
    Column(f"{MEAN_RECALL} after", "{mean_recall:.3f}"),
)
TEST_TEXT = Column("test text", lambda row: TEXTS[row["test_text"]])
LANGUAGE, ROUTE, ADAPTER = map(Column, ("language", "route", "adapter"))
PARAMETERS, SHARE = Column("parameters", "{parameters:,}"), Column("share", "{share:.3%}")

_NONE = {"shots": "all", "train_size": "all", "joint": "alone"}  # text of None, where it is not "none"
_SCORED = ("zero_shot", "mean", "std", "gain", "mean_recall_before", "mean_recall")  # of a candidate
_ALWAYS = ("adapter", "train_on", "shots")  # fields of a setting that a reader looks for, equal or not


def routes_table(candidates: Sequence[Candidate]) -> Table:
    """Return a row for each language and route: zero-shot, mean and standard deviation over seeds, and the gain.

    The gain is paired: bootstrap over test items of (trained - zero-shot), averaged over seeds within an item.
    """
    different = varying(one.setting for one in candidates)
    columns = LANGUAGE, *setting_columns(different), ROUTE, TEST_TEXT, *SCORES
    title = "Best candidate of each language and route, chosen by validation"
    return _table("routes", title, candidates, columns, ("language", "test_text", *different))


def aligned_table(candidates: Sequence[Candidate]) -> Table | None:
    """Return each aligned route against the baseline with the same query; None where no language has both.

    The difference is paired: bootstrap over test items of (aligned - baseline), each averaged over its seeds.
    """
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
    ends = intervals(aligned.trained_hits - baseline.trained_hits for aligned, baseline in pairs)
    columns = (
        LANGUAGE,
        *setting_columns(varying(one.setting for one in used)),
        Column("aligned"),
        Column("score", "{aligned_mean:.3f} ± {aligned_std:.3f}"),
        Column("baseline"),
        Column("baseline score", "{baseline_mean:.3f} ± {baseline_std:.3f}"),
        *difference("difference"),
    )
    frame = frame_of([_difference(*pair) for pair in pairs])
    frame["difference_low"], frame["difference_high"] = ends.T
    return _table("aligned", "Aligned routes against baselines", used, columns, frame=frame)


def adapters_table(candidates: Sequence[Candidate]) -> Table:
    """Return the cost and gain of each adapter: parameters, share of the tower, time, memory, and scores.

    Peak memory is that of the process, so it describes a run only where each run had a process of its own.
    """
    order = sorted(candidates, key=lambda one: (one.language, one.route, one.runs[0].adapter.trainable))
    different = varying((one.setting for one in order), "adapter")
    columns = (
        *(LANGUAGE, ROUTE, ADAPTER, *setting_columns(different), PARAMETERS, *SCORES, SHARE),
        Column("steps", "{steps:d}"),
        Column("s/step", "{seconds_per_step:.2f}"),
        Column("peak MiB", "{peak_memory_mb:.0f}"),
    )
    return _table("adapters", "Adapters", order, columns, ("language", "route", *different))


def shots_table(candidates: Sequence[Candidate]) -> Table:
    """Return scores by number of shots.

    The few-shot split takes the shots from the test part, so galleries differ in size. Each row states its own, with
    its own zero-shot score and a gain paired within it: gains compare between rows, recalls do not.
    """
    order = sorted(candidates, key=lambda one: (str(without(one, "shots")), one.pairs))
    different = varying((one.setting for one in order), "shots")
    columns = LANGUAGE, ROUTE, *setting_columns([*different, "shots"]), GALLERY, *SCORES
    return _table("shots", "Gain by number of shots", order, columns)


def _table(
    name: str,
    title: str,
    candidates: Sequence[Candidate],
    columns: Sequence[Column],
    among: Sequence[str] = (),
    frame: pd.DataFrame | None = None,
) -> Table:
    """Return a row per candidate; the best trained scores of rows with equal values of `among` are marked."""
    runs, remarks = runs_of(candidates), setting_remark(candidates)
    frame = candidates_frame(candidates) if frame is None else frame
    best = best_places(frame, among, "mean", "trained") if among else frozenset()
    group = group_of(runs[0])
    if any(group_of(run) != group for run in runs):
        group = replace(group, gallery_size=None)
        remarks.append("galleries differ between rows: compare gains, not recalls")
    return Table(name, title, group, frame, columns, runs, remarks, best=best)


def with_several(candidates: Sequence[Candidate], name: str) -> list[Candidate]:
    """Return the candidates that others differ from in the field `name` of their setting and in no other."""
    found = Counter(without(candidate, name) for candidate in candidates)
    return [candidate for candidate in candidates if found[without(candidate, name)] > 1]


def without(candidate: Candidate, left_out: str) -> tuple:
    """Return language, route and setting of a candidate, except for the field `left_out`."""
    return candidate.language, candidate.route, *(pair for pair in candidate.setting if pair[0] != left_out)


def runs_of(candidates: Iterable[Candidate]) -> list[Result]:
    """Return the runs of all candidates."""
    return [run for candidate in candidates for run in candidate.runs]


def candidates_frame(candidates: Sequence[Candidate]) -> pd.DataFrame:
    """Return the raw values of each candidate: scores before and after, gain and its interval, and its origin."""
    kept = {*varying(one.setting for one in candidates), *_ALWAYS}
    found = intervals(candidate.gains for candidate in candidates).tolist()
    return frame_of([_row(one, low, high, kept) for one, (low, high) in zip(candidates, found, strict=True)])


def alignment_of(config: ExperimentConfig) -> Row:
    """Return name and weight of a run's alignment, None where its route has nothing to align to."""
    names = ("alignment", "alignment_weight")
    return {name: None if config.route in WITHOUT_ANCHOR else getattr(config, name) for name in names}


def setting_columns(names: Iterable[str]) -> list[Column]:
    """Return the columns of fields of the config, which rows hold under their names."""
    columns = []
    for name in names:
        number = name in ("train_size", "photographs") or type(IDENTITY_DEFAULTS.get(name)) in (int, float)
        form = f"{{{name}:}}" if number else f"{{{name}}}"
        columns.append(Column(name.replace("_", " "), form, absent=setting_text(name, None)))
    return columns


def setting_text(name: str, value: Any) -> str:
    """Return the value of a config's field as text."""
    return _NONE.get(name, "none") if value is None else str(value)


def setting_remark(candidates: Sequence[Candidate]) -> list[str]:
    """Return a remark on the values that candidates share in fields that a reader looks for and no heading states.

    A distillation is trained on text of its own, so that shots say nothing about it.
    """
    left_out = {*varying(one.setting for one in candidates), "train_on"}
    if all(candidate.config.text is not None for candidate in candidates):
        left_out.add("shots")
    shared = [(name, value) for name, value in candidates[0].setting if name in _ALWAYS and name not in left_out]
    said = ", ".join(f"{name.replace('_', ' ')} {setting_text(name, value)}" for name, value in shared)
    return [said] if said else []


def best_places(frame: pd.DataFrame, among: Sequence[str], score: str, column: str) -> frozenset[tuple[int, str]]:
    """Return (place, `column`) of the rows whose `score` is the highest of those with equal values of `among`.

    A row that compares with no other is not the best of anything.
    """
    groups = frame.astype({score: float}).groupby(list(among), dropna=False)[score]
    best = (frame[score] == groups.transform("max")) & (groups.transform("size") > 1)
    return frozenset((place, column) for place in frame.index[best])


def _row(candidate: Candidate, low: float, high: float, kept: Collection[str]) -> Row:
    group, first = group_of(candidate.chosen_run), candidate.runs[0]
    return {
        "language": candidate.language,
        "route": candidate.route,
        **{name: value for name, value in candidate.setting if name in kept},
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


def _difference(aligned: Candidate, baseline: Candidate) -> Row:
    sides = {"aligned": aligned, "baseline": baseline}
    return {
        "language": aligned.language,
        **dict(aligned.setting),
        **{name: one.route for name, one in sides.items()},
        **{f"{name}_{key}": getattr(one, key) for name, one in sides.items() for key in ("mean", "std", "seeds")},
        "difference": aligned.mean - baseline.mean,
        "run_ids": aligned.run_ids + baseline.run_ids,
    }
