"""An overview of a folder of results: a row per language and method, and the runs that failed, on one screen."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from pecl.errors import not_none
from pecl.report.methods import method_labels, method_of
from pecl.report.tables.candidates import Candidate, best_of_methods
from pecl.report.tables.disparity import find_english, gap_to_english
from pecl.report.tables.groups import Group, by_group, grouped
from pecl.report.tables.layout import WIDTH, one_line, shortened, text_table, wrapped
from pecl.report.tables.statistics import intervals
from pecl.report.tables.table import SHORT_ID, Row, Table, difference, mean_and_std, numbers, words
from pecl.results.result import Result

LINES = 60
_FAILURES = 5  # lines on runs that are not complete
_CODE = words("code", "language")  # shorter than "language": the rows are as wide as a terminal
_TRAINED = (
    _CODE,
    words("method"),
    numbers("zero-shot", "zero_shot"),
    numbers("trained", "mean", "std", form=mean_and_std),
    *difference("gain", "gain"),
    numbers("gap closed", "share_closed", form=".0%"),
    numbers("seeds of runs", "seeds", "runs", form=lambda seeds, runs: f"{len(seeds)} of {runs}"),
)
_EVALUATED = (
    _CODE,
    words("method"),
    numbers("score", "zero_shot", "mean", form=lambda before, after: f"{after if before is None else before:.3f}"),
)


def summary_tables(results: Sequence[Result]) -> list[Table]:
    """Return a table per data set and gallery of complete results: the best candidate of each language and method.

    Validation chooses it. The plain tower has a row where a language was not trained.
    """
    tables = []
    for group, own in by_group(results).items():
        trained = group.split_seed is not None
        rows, columns = (_trained(group, own, results), _TRAINED) if trained else (_evaluated(own), _EVALUATED)
        tables.append(Table("summary", "Summary", group, rows, columns, tuple(own)))
    return sorted(tables, key=lambda table: -len(table.results))


def summary_text(tables: Sequence[Table], unfinished: Sequence[Result]) -> str:
    """Return the summary as text of at most `LINES` lines, each at most 100 letters wide.

    Languages that gained least are left out first, and a line states the number of omitted rows.
    """
    below = _failures(unfinished)
    room = LINES - len(below)
    tables, left_out = _fitting(tables, room)
    counts = [1] * len(tables)  # rows of each table
    growing = list(range(len(tables)))
    while growing:
        for place in list(growing):
            more = [count + (other == place) for other, count in enumerate(counts)]
            if counts[place] < len(tables[place].rows) and len(_lines(tables, more)) + len(left_out) <= room:
                counts = more
            else:
                growing.remove(place)
    return "\n".join([*_lines(tables, counts), *left_out, *below]) + "\n"


def _fitting(tables: Sequence[Table], room: int) -> tuple[Sequence[Table], list[str]]:
    """Return the first tables that fit `room` lines with a row each, and a line on the others."""
    kept = len(tables)
    while kept > 1 and len(_lines(tables[:kept], [1] * kept)) + (kept < len(tables)) > room:
        kept -= 1
    more = len(tables) - kept
    return tables[:kept], [f"{more} more data sets and galleries: pecl report"] if more else []


def _trained(group: Group, runs: Sequence[Result], results: Sequence[Result]) -> list[Row]:
    found = best_of_methods(runs)
    labels = method_labels(candidate.method for candidate in found)
    english = find_english(results, group)
    rows = [_row(candidate, labels[candidate.method], runs, english) for candidate in found]
    most = {row["language"]: max(one["gain"] for one in rows if one["language"] == row["language"]) for row in rows}
    return sorted(rows, key=lambda row: (-most[row["language"]], row["language"]))


def _row(candidate: Candidate, label: str, runs: Sequence[Result], english: Result | None) -> Row:
    low, high = intervals([candidate.gains])[0].tolist()
    gap = gap_to_english(candidate, english)
    return {
        "language": candidate.language,
        "method": label,
        "text": candidate.method.text,
        "adapter": candidate.runs[0].adapter.spec,
        "zero_shot": candidate.zero_shot,
        "mean": candidate.mean,
        "std": candidate.std,
        "gain": candidate.gain,
        "gain_low": low,
        "gain_high": high,
        "share_closed": candidate.gain / gap if gap else float("nan"),
        "seeds": candidate.seeds,
        "runs": sum((run.config.language, method_of(run)) == (candidate.language, candidate.method) for run in runs),
        "run_ids": candidate.run_ids,
    }


def _evaluated(results: Sequence[Result]) -> list[Row]:
    """Return a row per evaluation; those of the plain tower have a score before training and none after."""
    rows = []
    for result in sorted(results, key=lambda result: (result.config.language, result.run_id)):
        plain = result.config.weights is None
        said = {"language": result.config.language, "method": "plain tower" if plain else "adapter file"}
        score = {"zero_shot" if plain else "mean": result.recall()}
        rows.append({**said, **score, "runs": 1, "run_ids": [result.run_id]})
    return rows


def _lines(tables: Sequence[Table], counts: Sequence[int]) -> list[str]:
    """Return the lines of all tables, each with so many rows at most."""
    lines: list[str] = []
    towers = Counter(title for title, _ in {(one.heading()[0], _tower(one)) for one in tables})
    for table, count in zip(tables, counts, strict=True):
        title = table.heading()[0]
        tower = f", text tower {_tower(table)}" if towers[title] > 1 else ""
        runs = f"{len(table.results):,} run{'s' * (len(table.results) > 1)}"
        lines.append(shortened(f"== {title}{tower}, {runs} ==", WIDTH))
        lines += _training_lines(table, count) if table.columns == _TRAINED else _evaluation_lines(table)
        lines.append("")
    return lines


def _tower(table: Table) -> str:
    return not_none(table.group, "group").text_tower


def _training_lines(table: Table, count: int) -> list[str]:
    """Return `count` rows in their order: the best methods of each language, then the second best, and so on."""
    order = sorted(range(len(table.rows)), key=lambda place: -table.rows[place]["gain"])
    by_language = grouped(order, lambda place: table.rows[place]["language"])
    rank = {place: rank for own in by_language.values() for rank, place in enumerate(own)}  # within its language
    kept = sorted(sorted(rank, key=lambda place: (rank[place], place))[:count])
    more = len(table.rows) - len(kept)
    columns = [column for column in table.text_columns if any(column.texts)]
    lines = text_table([replace(one, texts=tuple(one.texts[place] for place in kept)) for one in columns]).splitlines()
    return lines + ([f"({more} more row{'s' * (more > 1)})"] if more else [])


def _evaluation_lines(table: Table) -> list[str]:
    """Return the scores of evaluations, which need no table: each language with its score."""
    scores: dict[str, list[str]] = {}
    for row in table.shown:
        scores.setdefault(row["method"], []).append(f"{row['code']} {row['score']}")
    return [line for name, own in scores.items() for line in wrapped(f"{name}: {', '.join(own)}").splitlines()]


def _failures(unfinished: Sequence[Result]) -> list[str]:
    """Return a line per run that is not complete, with its reason, `_FAILURES` lines at most."""
    if not unfinished:
        return ["All runs are complete."]
    said = [
        f"{one.status}: {one.config.language} {one.config.route} {one.run_id[:SHORT_ID]} {one_line(one.error or '')}"
        for one in unfinished
    ]
    lines = [shortened(line.strip(), WIDTH) for line in said]
    more = len(lines) - (_FAILURES - 1)
    return lines if more <= 1 else [*lines[: _FAILURES - 1], f"{more} more runs are not complete"]
