"""An overview of a folder of results: a row per language and method, and the runs that failed, on one screen."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pecl.errors import not_none
from pecl.report.methods import method_labels, method_of
from pecl.report.tables.candidates import Candidate, best_of_methods, by_gain
from pecl.report.tables.disparity import find_english, gap_to_english
from pecl.report.tables.groups import Group, by_group, grouped
from pecl.report.tables.layout import WIDTH, Shown, one_line, shortened, shown, text_table, wrapped
from pecl.report.tables.statistics import interval
from pecl.report.tables.table import SHORT_ID, Row, Table, difference, frame_of, mean_and_std, missing, numbers, words
from pecl.results.result import Result

LINES = 64
_FAILURES = 5  # lines on runs that are not complete
_LEGEND = (
    "R@1, mean of both directions, ± deviation over seeds; gain over zero-shot with 95 % interval over test items; gap "
    "closed: of English less zero-shot. text: distilled from it; held-out, validation, last: the weights kept "
    "(docs/reports.md)."
)
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
    numbers("score", "zero_shot", "mean", form=lambda before, after: f"{after if missing(before) else before:.3f}"),
)


def summary_tables(results: Sequence[Result]) -> list[Table]:
    """Return a table per data set and gallery of complete results: the best candidate of each language and method.

    Validation chooses it. The plain tower has a row where a language was not trained.
    """
    tables = []
    for group, own in by_group(results).items():
        trained = group.split_seed is not None
        rows, columns = (_trained(group, own, results), _TRAINED) if trained else (_evaluated(own), _EVALUATED)
        tables.append(Table("summary", "Summary", group, frame_of(rows), columns, tuple(own)))
    return sorted(tables, key=lambda table: -len(table.results))


def summary_text(tables: Sequence[Table], unfinished: Sequence[Result]) -> str:
    """Return the summary as text of at most `LINES` lines, each at most 100 letters wide, with a legend.

    Languages that gained least are left out first, and a line states the number of omitted rows.
    """
    parts = [_Part(table) for table in tables]
    below = _failures(unfinished)
    if any(part.trained for part in parts):
        below = [*wrapped(_LEGEND).splitlines(), *below]
    room, kept = LINES - len(below), len(parts)
    while kept > 1 and sum(part.lines(1) for part in parts[:kept]) + (kept < len(parts)) > room:
        kept -= 1
    more = [f"{len(parts) - kept} more data sets and galleries: pecl report"] if kept < len(parts) else []
    counts = dict.fromkeys(range(kept), 1)  # rows of each part
    growing = list(counts)
    while growing:
        for place in list(growing):
            lines = sum(part.lines(counts[other] + (other == place)) for other, part in enumerate(parts[:kept]))
            if counts[place] < len(parts[place].order) and lines + len(more) <= room:
                counts[place] += 1
            else:
                growing.remove(place)
    titles = Counter({(title, part.tower): title for part in parts[:kept] for title in [part.title]}.values())
    said = [line for place, count in counts.items() for line in parts[place].text(count, titles)]
    return "\n".join([*said, *more, *below]) + "\n"


class _Part:
    """A table of the summary as lines: some rows of trainings, or all scores of evaluations."""

    def __init__(self, table: Table) -> None:
        self.table, self.title = table, table.heading()[0]
        self.tower = not_none(table.group, "group").text_tower
        self.trained = table.columns == _TRAINED
        self.columns = [column for column in shown(table.columns, table.frame) if any(column.texts)]
        self.order = _by_rank(table.frame["language"], table.frame["gain"]) if self.trained else []
        self.scores = [] if self.trained else _scores(self.columns)

    def lines(self, count: int) -> int:
        """Return the number of its lines with `count` rows, a blank one at the end included."""
        if not self.trained:
            return 2 + len(self.scores)
        return 2 + max(len(column.heading) for column in self.columns) + count + (count < len(self.order))

    def text(self, count: int, titles: Mapping[str, int]) -> list[str]:
        """Return these lines; `titles` counts the towers per title, which is named where there are several."""
        tower = f", text tower {self.tower}" if titles[self.title] > 1 else ""
        runs = f"{len(self.table.results):,} run{'s' * (len(self.table.results) > 1)}"
        rows = self.scores
        if self.trained:
            kept = sorted(self.order[:count])
            columns = [replace(one, texts=tuple(one.texts[place] for place in kept)) for one in self.columns]
            rows = text_table(columns).splitlines()
            more = len(self.order) - count
            rows += [f"({more} more row{'s' * (more > 1)})"] if more else []
        return [shortened(f"== {self.title}{tower}, {runs} ==", WIDTH), *rows, ""]


def _by_rank(languages: Iterable[str], gains: Iterable[float]) -> list[int]:
    """Return the places of rows: the best method of each language, then the second best, and so on."""
    order = sorted(enumerate(zip(languages, gains, strict=True)), key=lambda row: -row[1][1])
    own = grouped(order, lambda row: row[1][0])
    ranks = [(rank, place) for rows in own.values() for rank, (place, _) in enumerate(rows)]
    return [place for _, place in sorted(ranks)]


def _scores(columns: Sequence[Shown]) -> list[str]:
    """Return the scores of evaluations, which need no table: each language with its score."""
    found = grouped(zip(*(column.texts for column in columns), strict=True), lambda row: row[1])
    said = (f"{name}: {', '.join(f'{code} {score}' for code, _, score in own)}" for name, own in found.items())
    return [line for one in said for line in wrapped(one).splitlines()]


def _trained(group: Group, runs: Sequence[Result], results: Sequence[Result]) -> list[Row]:
    found = best_of_methods(runs)
    labels = method_labels(candidate.method for candidate in found)
    english = find_english(results, group)
    rows = [_row(candidate, labels[candidate.method], runs, english) for candidate in found]
    order = by_gain(found)
    return sorted(rows, key=lambda row: order.index(row["language"]))


def _row(candidate: Candidate, label: str, runs: Sequence[Result], english: Result | None) -> Row:
    low, high = interval(candidate.gains)
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
