"""Tables over adapters and over numbers of shots."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd

from pecl.report.tables.candidates import Candidate, chosen_candidates, varying
from pecl.report.tables.groups import one_group
from pecl.report.tables.rows import (
    Row,
    best_places,
    candidate_rows,
    remarks_on,
    runs_of,
    score_columns,
    setting_columns,
    setting_text,
)
from pecl.report.tables.table import Table, frame
from pecl.results.result import Result


def adapters_table(candidates: Sequence[Candidate]) -> Table:
    """Return what each adapter costs and gains: parameters, share of the tower, time, memory, and scores.

    Peak memory is that of the process, so it says something where each run had a process of its own.

    Raises:
        DataError: the candidates were not measured alike, see `one_group`.
    """
    runs = runs_of(candidates)
    group = one_group(runs)
    order = sorted(
        candidates, key=lambda candidate: (candidate.language, candidate.route, candidate.runs[0].adapter.trainable)
    )
    rows = [{**row, **_cost(candidate)} for candidate, row in zip(order, candidate_rows(order), strict=True)]
    different = [name for name in varying(candidate.setting for candidate in order) if name != "adapter"]
    shown = frame([_shown_adapter(candidate, row, different) for candidate, row in zip(order, rows, strict=True)])
    best = best_places(rows, ("language", "route", *different), "mean", "trained")
    return Table("adapters", "Adapters", group, pd.DataFrame(rows), shown, runs, remarks_on(order), best=best)


def adapter_table(results: Sequence[Result]) -> pd.DataFrame:
    """Return `adapters_table` of the candidates that validation chooses among `results`, as text."""
    return adapters_table(chosen_candidates(results)).shown


def shots_table(candidates: Sequence[Candidate]) -> Table:
    """Return scores by number of shots.

    The few-shot split takes the shots from the test part, so galleries differ in size. Each row states its own, with
    its own zero-shot score and a gain paired within it: gains compare between rows, recalls do not.

    Raises:
        DataError: the candidates differ in more than the size of their gallery, see `one_group`.
    """
    runs = runs_of(candidates)
    group = one_group(runs, but=frozenset({"gallery_size"}))
    order = sorted(candidates, key=lambda candidate: (str(_without(candidate, "shots")), candidate.pairs))
    rows = candidate_rows(order)
    different = [name for name in varying(candidate.setting for candidate in order) if name != "shots"]
    shown = frame([_shown_shots(candidate, row, different) for candidate, row in zip(order, rows, strict=True)])
    remarks = remarks_on(order)
    if group.gallery_size is None:
        remarks += ("galleries differ between rows: compare gains, not recalls",)
    return Table("shots", "Gain by number of shots", group, pd.DataFrame(rows), shown, runs, remarks)


def with_several(candidates: Sequence[Candidate], name: str) -> list[Candidate]:
    """Return the candidates that others differ from in the field `name` of their setting and in no other."""
    found = Counter(_without(candidate, name) for candidate in candidates)
    return [candidate for candidate in candidates if found[_without(candidate, name)] > 1]


def _without(candidate: Candidate, left_out: str) -> tuple:
    return candidate.language, candidate.route, *(pair for pair in candidate.setting if pair[0] != left_out)


def _cost(candidate: Candidate) -> Row:
    first = candidate.runs[0]
    return {
        "parameters": first.adapter.trainable,
        "share": first.adapter.share,
        "steps": first.steps,
        "seconds_per_step": first.seconds.per_step,
        "peak_memory_mb": first.peak_memory_mb,
    }


def _shown_adapter(candidate: Candidate, row: Row, different: Sequence[str]) -> Row:
    return {
        "language": row["language"],
        "route": row["route"],
        "adapter": row["adapter"],
        **setting_columns(candidate, different),
        "parameters": f"{row['parameters']:,}",
        **score_columns(row),
        "share": f"{row['share']:.3%}",
        "steps": str(row["steps"]),
        "s/step": f"{row['seconds_per_step']:.2f}",
        "peak MiB": f"{row['peak_memory_mb']:.0f}",
    }


def _shown_shots(candidate: Candidate, row: Row, different: Sequence[str]) -> Row:
    return {
        "language": row["language"],
        "route": row["route"],
        **setting_columns(candidate, different),
        "shots": setting_text("shots", row["shots"]),
        "gallery": f"{row['gallery_size']:,} {row['gallery_kind']}",
        **score_columns(row),
    }
