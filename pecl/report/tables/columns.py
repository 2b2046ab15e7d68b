"""Columns that several tables share, and the raw values that they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from pecl.config import IDENTITY_DEFAULTS
from pecl.config.routes import WITHOUT_ANCHOR
from pecl.report.selection.candidates import Candidate, varying
from pecl.report.selection.groups import group_of
from pecl.report.tables.table import RUN, Column, Frame, Row, difference
from pecl.results.result import Result, TrainingResult

_TEST_TEXTS = {"target": "captions", "target_to_english": "translated"}  # test column -> name of the text
_NONE_TEXTS = {"shots": "all", "train_size": "all", "joint": "alone"}  # text of None, where it is not "none"
_ALWAYS_STATED = ("adapter", "train_on", "shots")  # fields of a setting that a reader looks for, even if all are equal


def _test_text(row: Row) -> str:
    return _TEST_TEXTS[row["test_text"]]


# What was measured
LANGUAGE = Column("language")
ROUTE = Column("route")
ADAPTER = Column("adapter")
TEST_TEXT = Column("test text", _test_text)
TRAINING_PAIRS = Column("training pairs", always=True)
GALLERY = Column("gallery", "{gallery_size:,} {gallery_kind}")
RUN_ID = Column(RUN, "{run_id}", always=True)

# What it costs
PARAMETERS = Column("parameters", "{parameters:,}")
SHARE = Column("share", "{share:.3%}")

# What it reaches
MEAN_RECALL = "R@1,5,10"  # the mean of recall@1, 5 and 10 of both directions
SCORES = (
    Column("zero-shot", "{zero_shot:.3f}"),
    Column("trained", "{mean:.3f} ± {std:.3f}", always=True),
    *difference("gain"),
    Column(f"{MEAN_RECALL} before", "{mean_recall_before:.3f}"),
    Column(f"{MEAN_RECALL} after", "{mean_recall:.3f}"),
)


def setting_columns(names: Iterable[str]) -> list[Column]:
    """Return the columns of fields of the config, which rows hold under their names."""
    return [Column(_words(name), _setting_template(name), absent=setting_text(name, None)) for name in names]


def _setting_template(name: str) -> str:
    is_number = name in ("train_size", "photographs") or type(IDENTITY_DEFAULTS.get(name)) in (int, float)
    return f"{{{name}:}}" if is_number else f"{{{name}}}"


def setting_text(name: str, value: Any) -> str:
    """Return the value of a config's field as text."""
    if value is None:
        return _NONE_TEXTS.get(name, "none")
    return str(value)


def stated_fields(candidates: Sequence[Candidate]) -> set[str]:
    """Return the fields of the setting that raw rows of candidates have: those that vary, and `_ALWAYS_STATED`."""
    return {*varying(candidate.setting for candidate in candidates), *_ALWAYS_STATED}


def setting_remark(candidates: Sequence[Candidate]) -> list[str]:
    """Return a remark on the fields of `_ALWAYS_STATED` in which all candidates are equal, or no remark.

    A distillation is trained on separate text, so its shots are left out.
    """
    left_out = {*varying(candidate.setting for candidate in candidates), "train_on"}
    if all(candidate.method.text is not None for candidate in candidates):
        left_out.add("shots")

    parts = []
    for name, value in candidates[0].setting:
        if name in _ALWAYS_STATED and name not in left_out:
            parts.append(f"{_words(name)} {setting_text(name, value)}")
    return [", ".join(parts)] if parts else []


def _words(name: str) -> str:
    return name.replace("_", " ")


def origin_values(result: Result) -> Row:
    """Return the raw values that every row of scores has: metric, number of test captions, and its group."""
    group = group_of(result)
    return {"metric": group.metric, "test_captions": result.test_captions, **asdict(group)}


def alignment_values(result: TrainingResult) -> Row:
    """Return name and weight of a run's alignment, None if its route has no anchor."""
    config = result.config
    if config.route in WITHOUT_ANCHOR:
        return {"alignment": None, "alignment_weight": None}
    return {"alignment": config.alignment, "alignment_weight": config.alignment_weight}


def best_fields(frame: Frame, among: Sequence[str], score: str, column: str) -> frozenset[tuple[int, str]]:
    """Return (index, `column`) of the rows whose `score` is the highest of those with equal values of `among`.

    A row without another to compare with is never the best.
    """
    scores = frame[score].astype(float)
    groups = scores.groupby([frame[name] for name in among], dropna=False)
    best = (scores == groups.transform("max")) & (groups.transform("size") > 1)
    return frozenset((row, column) for row in frame.index[best])
