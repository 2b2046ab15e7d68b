"""An overview of a folder of results: a row per language and method, and the runs that failed, on one screen."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pecl.data.languages import ENGLISH
from pecl.errors import not_none, one_line
from pecl.report.tables.candidates import best_of_methods, by_gain
from pecl.report.tables.disparity import english_of, find_english, gap_to_english, reference_remark
from pecl.report.tables.groups import by_arithmetic, by_group, group_of, grouped
from pecl.report.tables.methods import method_labels, method_of
from pecl.report.tables.scores import candidates_frame
from pecl.report.tables.table import (
    SHORT_ID,
    Column,
    Frame,
    Table,
    difference,
    frame_of,
    shortened,
    text_table,
    wrapped,
)
from pecl.results.result import Result

LINES = 64
_FAILURES = 5  # maximum lines about incomplete runs
_LEGEND = (
    "R@1: mean of both directions, ± standard deviation over seeds. Gain: over zero-shot, with 95 % interval over test "
    "items. Gap closed: share of the gap from zero-shot to English. text: distilled from text. held-out, validation, "
    "last: how the weights were chosen (docs/reports.md)."
)
_TRAINED = (
    Column("code", "{language}"),  # shorter than "language": the rows are as wide as a terminal
    Column("method"),
    Column("zero-shot", "{zero_shot:.3f}"),
    Column("trained", "{mean:.3f} ± {std:.3f}"),
    *difference("gain"),
    Column("gap closed", "{share_closed:.0%}"),
    Column("seeds of runs", "{seeds:#} of {runs}"),
)
_EVALUATED = (
    Column("code", "{language}"),
    Column("method"),
    Column("weights", lambda row: Path(row["weights"] or "").stem),
    Column("score", lambda row: f"{row['mean' if row.get('zero_shot') is None else 'zero_shot']:.3f}"),
)


def summary_tables(results: Sequence[Result]) -> list[Table]:
    """Return a table per data set and gallery of complete results: the best candidate of each language and method.

    Validation chooses the best candidate. A language without training has a row for the plain tower.
    """
    tables = []
    for group, own in by_group(results).items():
        whole = group.split_seed is None  # evaluations
        frame, columns = (_evaluated(own), _EVALUATED) if whole else (_trained(own, results), _TRAINED)
        remarks = [] if whole else _references(own, results)
        tables.append(Table("summary", "Summary", group, frame, columns, own, remarks))
    return sorted(tables, key=lambda table: -len(table.results))


def summary_text(tables: Sequence[Table], unfinished: Sequence[Result]) -> str:
    """Return the summary as text of at most `LINES` lines, each at most 100 letters wide, with a legend.

    Languages that gained least are left out first, and a line states the number of omitted rows.
    """
    failures = [
        f"{one.status}: {one.config.language} {one.config.route} {one.run_id[:SHORT_ID]} {one.error or ''}"
        for one in unfinished
    ]
    below = [shortened(one_line(text)) for text in failures] or ["All runs are complete."]
    if len(below) > _FAILURES:
        below[_FAILURES - 1 :] = [f"{len(below) - _FAILURES + 1} more runs are not complete"]
    if any(table.columns == _TRAINED for table in tables):
        below = [*wrapped(_LEGEND).splitlines(), *below]
    towers = [(table.heading[0], not_none(table.group, "group").text_tower) for table in tables]
    shown = [
        (table, table.texts, f", text tower {tower}" if len({own for own in towers if own[0] == title}) > 1 else "")
        for table, (title, tower) in zip(tables, towers, strict=True)
    ]
    most, kept = LINES, len(tables)  # maximum rows per table, and number of tables
    while True:
        said = [line for one in shown[:kept] for line in _lines(*one, most)]
        said += [f"{len(tables) - kept} more data sets and galleries: pecl report"] if kept < len(tables) else []
        if len(said) + len(below) <= LINES or kept == most == 1:
            return "\n".join([*said, *below]) + "\n"
        most, kept = (most - max(1, most // 8), kept) if most > 1 else (most, kept - 1)


def _lines(table: Table, texts: Frame, tower: str, most: int) -> list[str]:
    """Return a table as lines: scores of evaluations, or `most` rows of trainings; the last line is blank."""
    runs = f"{len(table.results):,} run{'s' * (len(table.results) > 1)}"
    title = shortened(f"== {table.heading[0]}{tower}, {runs} ==")
    if table.columns == _EVALUATED:  # no table: each language with its score
        lines = list[str]()
        for name, own in texts.groupby("method", sort=False):
            adapter = (" (" + own["weights"] + ")").where(own["code"].duplicated(keep=False), "")
            lines += wrapped(f"{name}: {', '.join(own['code'] + ' ' + own['score'] + adapter)}").splitlines()
        if len(lines) > LINES // 2:
            lines[LINES // 2 - 1 :] = [f"({len(lines) - LINES // 2 + 1} more lines: pecl report)"]
        return [title, *lines, ""]
    notes = wrapped("; ".join(table.remarks)).splitlines()
    # the best method of each language, then the second best, and so on
    ranks = table.frame["gain"].astype(float).groupby(table.frame["language"]).rank(ascending=False, method="first")
    best = sorted(ranks.sort_values(kind="stable").index[:most])
    texts = texts.loc[best, (texts != "").any()]
    rows = text_table(texts, [column.name for column in table.columns if column.number]).splitlines()
    more = len(table.frame) - len(texts)
    return [title, *rows, *notes, *([f"({more} more row{'s' * (more > 1)})"] if more else []), ""]


def _evaluated(results: Sequence[Result]) -> Frame:
    """Return a row per language, test text, adapter and arithmetic; routes with one test text are measured alike."""
    rows, order = [], sorted(results, key=lambda one: (one.config.language, one.config.weights or "", one.run_id))
    for said, alike in by_arithmetic(order).items():
        found = grouped(alike, _measured_alike)
        for (language, query, weights, _), own in found.items():
            name, key = ("adapter file", "mean") if weights else ("plain tower", "zero_shot")
            name += " (translated)" if query == "target_to_english" else ""
            name += " (tested on pairs that trained it, too)" if _tests_training_pairs(own[0]) else ""
            name += said
            row = {"language": language, "method": name, "weights": weights, key: own[0].recall(), "runs": len(own)}
            rows.append({**row, "run_ids": [one.run_id for one in own]})
    return frame_of(rows)


def _measured_alike(result: Result) -> tuple[str, str, str | None, bool]:
    query = result.data.query["test"]
    return result.config.language, query, result.config.weights, _tests_training_pairs(result)


def _tests_training_pairs(result: Result) -> bool:
    return bool((result.data.training_pairs or {}).get("tested"))


def _references(runs: Sequence[Result], results: Sequence[Result]) -> list[str]:
    """Return a sentence per precision of trainings in other languages: the English reference of their gap closed."""
    group = group_of(runs[0])
    precisions = sorted({run.config.precision for run in runs if run.config.language != ENGLISH})
    return [reference_remark(precision, find_english(results, group, precision)) for precision in precisions]


def _trained(runs: Sequence[Result], results: Sequence[Result]) -> Frame:
    best = by_gain(best_of_methods(runs))
    labels, _ = method_labels(one.method for one in best)
    count = Counter((run.config.language, method_of(run)) for run in runs)
    gaps = [gap_to_english(candidate, english_of(candidate, results)) for candidate in best]
    frame = candidates_frame(best).assign(
        method=[labels[one.method] for one in best],
        text=[one.method.text for one in best],
        share_closed=[one.gain / gap if gap else None for one, gap in zip(best, gaps, strict=True)],
        runs=[count[one.language, one.method] for one in best],
    )
    kept = ["language", "method", "text", "adapter", "zero_shot", "mean", "std", "gain", "gain_low", "gain_high"]
    return frame.reindex(columns=[*kept, "share_closed", "seeds", "runs", "run_ids"])
