"""An overview of a folder of results: a row per language and method, and the runs that failed, on one screen."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from pecl.errors import not_none, one_line
from pecl.language.languages import ENGLISH
from pecl.report.selection.candidates import best_of_methods, by_gain
from pecl.report.selection.groups import Group, by_arithmetic, by_group, grouped
from pecl.report.selection.methods import method_labels, method_of
from pecl.report.tables.disparity import english_of, find_english, gap_to_english, plain_english, reference_remark
from pecl.report.tables.layout import shortened, text_table, wrapped
from pecl.report.tables.scores import candidates_frame
from pecl.report.tables.table import SHORT_ID, Column, Frame, Row, Table, difference, frame_of
from pecl.results.result import Result, TrainingResult, UnfinishedRun, trainings

LINES = 64
_FAILURE_LINES = 5  # maximum lines about incomplete runs
_SCORE_LINES = LINES // 2  # maximum lines of the scores of evaluations
_LEGEND = (
    "R@1: mean of both directions, ± standard deviation over seeds. Gain: over zero-shot, with 95 % interval over test "
    "items. Gap closed: share of the gap from zero-shot to English. text: distilled from text. held-out, validation, "
    "last: how the weights were chosen (docs/reports.md)."
)


def _weights_text(row: Row) -> str:
    return Path(row["weights"] or "").stem


def _score_text(row: Row) -> str:
    score = row["mean"] if row.get("zero_shot") is None else row["zero_shot"]
    return f"{score:.3f}"


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
    Column("weights", _weights_text),
    Column("score", _score_text),
)


def summary_tables(results: Sequence[Result]) -> list[Table]:
    """Return a table per data set and gallery of complete results: the best candidate of each language and method.

    Validation chooses the best candidate. A language without training has a row for the base encoder.
    """
    english_results = plain_english(results)

    tables = []
    for group, group_results in by_group(results).items():
        if group.split_seed is None:
            tables.append(_table_of_evaluations(group, group_results))
        else:
            tables.append(_table_of_trainings(group, trainings(group_results), english_results))
    return sorted(tables, key=lambda table: -len(table.results))


def _table_of_trainings(group: Group, runs: Sequence[TrainingResult], english_results: Sequence[Result]) -> Table:
    best = by_gain(best_of_methods(runs))
    labels, _ = method_labels(candidate.method for candidate in best)
    run_count = Counter((run.config.language, method_of(run)) for run in runs)
    gaps = [gap_to_english(candidate, english_of(candidate, english_results)) for candidate in best]

    frame = candidates_frame(best).assign(
        method=[labels[candidate.method] for candidate in best],
        text=[candidate.method.text for candidate in best],
        share_closed=[candidate.gain / gap if gap else None for candidate, gap in zip(best, gaps, strict=True)],
        runs=[run_count[candidate.language, candidate.method] for candidate in best],
    )
    scores = ["zero_shot", "mean", "std", "gain", "gain_low", "gain_high", "share_closed"]
    frame = frame.reindex(columns=["language", "method", "text", "adapter", *scores, "seeds", "runs", "run_ids"])
    return Table("summary", "Summary", group, frame, _TRAINED, runs, _references(group, runs, english_results))


def _references(group: Group, runs: Sequence[Result], english_results: Sequence[Result]) -> list[str]:
    """Return a sentence per precision of trainings in other languages: the English reference of their gap closed."""
    precisions = sorted({run.config.precision for run in runs if run.config.language != ENGLISH})
    return [reference_remark(precision, find_english(english_results, group, precision)) for precision in precisions]


def _table_of_evaluations(group: Group, results: Sequence[Result]) -> Table:
    """Return a row per language, test text, adapter and arithmetic; routes with one test text are measured alike."""
    ordered = sorted(results, key=lambda result: (result.config.language, result.config.weights or "", result.run_id))
    rows = []
    for arithmetic, same_arithmetic in by_arithmetic(ordered).items():
        rows += [_evaluated_row(alike, arithmetic) for alike in grouped(same_arithmetic, _measured_alike).values()]
    return Table("summary", "Summary", group, frame_of(rows), _EVALUATED, results)


def _measured_alike(result: Result) -> tuple[str, str, str | None, bool]:
    query = result.data.query["test"]
    return result.config.language, query, result.config.weights, _tests_training_pairs(result)


def _tests_training_pairs(result: Result) -> bool:
    counts = result.data.training_pairs or {}
    return bool(counts.get("tested"))


def _evaluated_row(results: Sequence[Result], arithmetic: str) -> Row:
    """Return the row of evaluations that were measured alike."""
    first = results[0]
    weights = first.config.weights
    method = "adapter file" if weights else "base encoder"
    if first.data.query["test"] == "target_to_english":
        method += " (translated)"
    if _tests_training_pairs(first):
        method += " (tested on pairs that trained it, too)"

    return {
        "language": first.config.language,
        "method": method + arithmetic,
        "weights": weights,
        "mean" if weights else "zero_shot": first.recall(),
        "runs": len(results),
        "run_ids": [result.run_id for result in results],
    }


def summary_text(tables: Sequence[Table], unfinished: Sequence[UnfinishedRun]) -> str:
    """Return the summary as text of at most `LINES` lines, each at most 100 letters wide, with a legend.

    Languages that gained least are left out first, and a line states the number of omitted rows.
    """
    end = _failure_lines(unfinished)
    if any(table.columns == _TRAINED for table in tables):
        end = [*wrapped(_LEGEND).splitlines(), *end]

    parts = _parts(tables, LINES - len(end))
    lines = [line for part in parts for line in part]
    if len(parts) < len(tables):
        lines.append(f"{len(tables) - len(parts)} more data sets and galleries: pecl report")
    return "\n".join([*lines, *end]) + "\n"


def _parts(tables: Sequence[Table], line_count: int) -> list[list[str]]:
    """Return the lines of each table, together at most `line_count`: first all tables get fewer rows, then some go."""
    titles = _titles(tables)
    texts = [table.texts for table in tables]
    parts = [
        [title, *_part_lines(table, rows, LINES), ""] for table, title, rows in zip(tables, titles, texts, strict=True)
    ]

    row_count = LINES
    while sum(map(len, parts)) > line_count and row_count > 1:
        row_count -= max(1, row_count // 8)
        for i, table in enumerate(tables):
            if len(table.frame) > row_count:
                parts[i] = [titles[i], *_part_lines(table, texts[i], row_count), ""]

    if sum(map(len, parts)) > line_count:
        while len(parts) > 1 and sum(map(len, parts)) >= line_count:  # a line states how many tables are omitted
            parts.pop()
    return parts


def _failure_lines(unfinished: Sequence[UnfinishedRun]) -> list[str]:
    if not unfinished:
        return ["All runs are complete."]

    lines = []
    for run in unfinished:
        name = f"{run.config.language} {run.config.route} {run.run_id[:SHORT_ID]}"
        lines.append(shortened(one_line(f"{run.status}: {name} {run.error or ''}")))
    if len(lines) > _FAILURE_LINES:
        count = len(lines) - _FAILURE_LINES + 1
        lines[_FAILURE_LINES - 1 :] = [f"{count} more runs are not complete"]
    return lines


def _titles(tables: Sequence[Table]) -> list[str]:
    """Return the title of each table; those of one data set and gallery but several towers name the tower."""
    towers_of = defaultdict(set)
    for table in tables:
        towers_of[table.heading[0]].add(_text_tower(table))

    titles = []
    for table in tables:
        title = table.heading[0]
        tower = f", text tower {_text_tower(table)}" if len(towers_of[title]) > 1 else ""
        word = "run" if len(table.results) == 1 else "runs"
        titles.append(shortened(f"== {title}{tower}, {len(table.results):,} {word} =="))
    return titles


def _text_tower(table: Table) -> str:
    return not_none(table.group, "group").text_tower


def _part_lines(table: Table, texts: Frame, row_count: int) -> list[str]:
    """Return the scores of evaluations, or `row_count` rows of trainings with remarks."""
    if table.columns == _EVALUATED:
        return _score_lines(texts)

    # the best method of each language, then the second best, and so on
    gains = table.frame["gain"].astype(float)
    ranks = gains.groupby(table.frame["language"]).rank(ascending=False, method="first")
    shown = sorted(ranks.sort_values(kind="stable").index[:row_count])
    texts = texts.loc[shown, (texts != "").any()]

    rows = text_table(texts, [column.name for column in table.columns if column.number]).splitlines()
    notes = wrapped("; ".join(table.remarks)).splitlines()
    omitted = len(table.frame) - len(texts)
    if omitted:
        notes.append("(1 more row)" if omitted == 1 else f"({omitted} more rows)")
    return [*rows, *notes]


def _score_lines(texts: Frame) -> list[str]:
    """Return the lines of evaluations, without a table: each method, and its languages with their scores."""
    lines: list[str] = []
    for method, rows in texts.groupby("method", sort=False):
        several_adapters = rows["code"].duplicated(keep=False)
        adapter = (" (" + rows["weights"] + ")").where(several_adapters, "")
        scores = rows["code"] + " " + rows["score"] + adapter
        lines += wrapped(f"{method}: {', '.join(scores)}").splitlines()

    if len(lines) > _SCORE_LINES:
        count = len(lines) - _SCORE_LINES + 1
        lines[_SCORE_LINES - 1 :] = [f"({count} more lines: pecl report)"]
    return lines
