"""Generate docs/screening.md's tables from the committed results of `tools/screening.py`, and draw img/screening.

python tools/screening_tables.py            print them as Markdown
python tools/screening_tables.py --write    write them into the page, between their marks, and draw the figure
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import screening
from marked import MEASURED, ROOT, complete, main, per_cent, table
from screening_figure import Point, draw

from pecl.errors import not_none
from pecl.files import load_json, write_bytes
from pecl.language.languages import language_name
from pecl.report.selection.groups import group_of, intervals
from pecl.report.significance import holm, sign_flip_p
from pecl.report.tables.disparity import find_english
from pecl.results.result import OTHER_TEXT, Result, collect_runs

PAGE = ROOT / "docs" / "screening.md"
FIGURES = ROOT / "img" / "screening"
FOLDER = MEASURED / "methods" / "757-05-top-2"
MORE_PAIRS = MEASURED / "methods" / "5000-05-top-2"
MORE_PARAMETERS = MEASURED / "methods" / "757-16-top-2"
BASE = "lora"  # the method that all others are compared with


@dataclass(frozen=True)
class Row:
    """A method, its result in each language with seed 1, and what was measured for it in the first language."""

    method: screening.Method
    results: dict[str, Result]
    seeds: dict[str, list[Result]]  # the same runs with all their seeds
    measures: dict[str, Any]

    @property
    def first(self) -> Result:
        """The result in the first language."""
        return self.results[screening.FIRST]

    @property
    def is_complete(self) -> bool:
        """Whether its training in the first language ended."""
        return self.first.status == "complete"

    @property
    def mean_share(self) -> float:
        """The share of the gap that was closed, mean of all languages."""
        return float(np.mean([share(result) for result in self.results.values()]))

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return self.first.adapter.trainable


@cache
def rows(folder: Path = FOLDER) -> list[Row]:
    """Return a row per method with results in the first language: the largest mean share first, failed ones last."""
    path = folder / "measures.json"
    measures = load_json(path) if path.is_file() else {}  # of the folder of the main table only
    results = {result.run_id: result for result in collect_runs([folder])}
    found: dict[screening.Method, dict[str, Result]] = {}
    for stage in screening.stages(*screening.table_of(folder)):
        for result in screening.runs_of(stage, results).values():  # only the chosen one is there
            found.setdefault(stage.method, {})[stage.language] = result

    by_setting = screening.by_setting(results.values())
    all_rows = []
    for method, by_language in found.items():
        if screening.FIRST in by_language:
            seeds = {code: by_setting.get(screening.setting_of(run), []) for code, run in by_language.items()}
            all_rows.append(Row(method, by_language, seeds, measures.get(method.name, {})))
    return sorted(all_rows, key=lambda row: (not row.is_complete, -row.mean_share if row.is_complete else 0.0))


def gap(result: Result) -> float:
    """Return the distance to English before training, in R@1."""
    if result.data.gallery.kind == "english":  # an English caption finds itself
        return 1 - result.recall(stage="zero_shot")
    english = find_english(complete("."), group_of(result), result.config.precision)
    return not_none(english, "a result of English").recall(stage="zero_shot") - result.recall(stage="zero_shot")


def share(result: Result) -> float:
    """Return the share of the gap to English that the training closed."""
    return float(result.gains.mean()) / gap(result)


def share_interval(result: Result) -> tuple[float, float]:
    """Return the interval of the share over test items; the gap is taken as exact."""
    low, high = intervals([result.gains])[0]
    return low / gap(result), high / gap(result)


def languages() -> list[str]:
    """Return the languages with results, in the order of training."""
    return [language for language in screening.LANGUAGES if any(language in row.results for row in rows())]


def progress() -> str:
    """State how much of the plan has results."""
    rates = load_json(FOLDER / "rates.json")[screening.FIRST]
    planned = [method for method in screening.METHODS if method.specs[0]]
    searched = sum(len(scores) == len(screening.shared_fields()["lr"]) for scores in rates.values())
    waiting = [f"`{method.name}`" for method in planned if method.name not in {row.method.name for row in rows()}]
    text = (
        f"{len(rows())} of {len(planned)} methods have results in {language_name(screening.FIRST)}, {searched} of them "
        f"with all learning rates. Languages so far: {', '.join(map(language_name, languages()))}."
    )
    return text + (f" Not run yet: {', '.join(waiting)}." if waiting else "")


def share_table() -> str:
    """Tabulate the share of the gap: the mean of all languages, a comparison with `BASE`, and each language."""
    clear = clear_differences(rows())
    head = ["method", "parameters", "lr", f"mean of {len(languages())}", f"better / worse than `{BASE}`"]
    head += [f"{code}, % [95 %]" for code in languages()]

    body = []
    for row in rows():
        if not row.is_complete:
            body.append([_name(row), *["failed"] * (len(head) - 1)])
            continue
        fields = [_name(row), f"{row.parameters:,}", f"{row.first.config.lr:g}", per_cent(row.mean_share, 1)]
        signs = [sign for (name, _), sign in clear.items() if name == row.method.name]
        fields.append("" if row.method.name == BASE else f"{signs.count(1)} / {signs.count(-1)}")
        body.append([*fields, *(_share(row.results[code]) if code in row.results else "" for code in languages())])
    return table(head, body)


def clear_differences(compared: Sequence[Row]) -> dict[tuple[str, str], int]:
    """Return 1 or -1 by (method, language): whether it is better or worse than `BASE` there beyond noise.

    Noise is a sign-flip p of at least .05 after Holm's correction over all methods and languages.
    """
    complete_rows = [row for row in compared if row.is_complete]
    base = next(row for row in complete_rows if row.method.name == BASE)
    differences = {}
    for row in complete_rows:
        for code in row.results.keys() & base.results.keys():
            if row is not base:
                differences[row.method.name, code] = row.results[code].hits("best") - base.results[code].hits("best")

    p_values = holm([sign_flip_p(values) for values in differences.values()])
    return {
        key: 1 if values.mean() > 0 else -1
        for (key, values), p in zip(differences.items(), p_values, strict=True)
        if p < 0.05
    }


def recall_table() -> str:
    """Tabulate R@1 by language."""
    body = []
    for row in filter(lambda row: row.is_complete, rows()):
        recalls = [f"{row.results[code].recall():.3f}" if code in row.results else "" for code in languages()]
        english = row.measures.get("english")
        sentences = row.first.recall(OTHER_TEXT, "best")
        body.append([_name(row), *recalls, f"{sentences:.3f}", "" if english is None else f"{english:.3f}"])
    return table(["method", *languages(), "sentences", "English"], body)


def _name(row: Row, budget: str = screening.BUDGETS[0]) -> str:
    """Return the name of a method and its spec."""
    engine = "" if row.method.engine == "pecl" else "PEFT's "
    return f"{engine}`{row.method.specs[screening.BUDGETS.index(budget)]}`"


def _share(result: Result) -> str:
    low, high = share_interval(result)
    return f"{100 * share(result):.0f} [{100 * low:.0f}, {100 * high:.0f}]"


def seed_table() -> str:
    """Tabulate the shares of the gap with several seeds: mean, and standard deviation over seeds."""
    seeds = {language: _most_seeds(language) for language in languages()}
    several = [language for language, number in seeds.items() if number > 1]
    head = ["method"]
    for language in several:
        head += [f"{language}: mean of {seeds[language]} seeds", "standard deviation"]

    body = []
    for row in filter(lambda row: row.is_complete, rows()):
        cells = []
        for language in several:
            shares = [share(result) for result in row.seeds.get(language, [])]
            is_measured = len(shares) == seeds[language]
            cells += [per_cent(np.mean(shares), 1), per_cent(np.std(shares, ddof=1), 1)] if is_measured else ["", ""]
        body.append([_name(row), *cells])
    return table(head, body)


def _most_seeds(language: str) -> int:
    """Return the largest number of seeds that a method has in a language."""
    return max(len(row.seeds.get(language, [])) for row in rows())


def plain_table() -> str:
    """Tabulate the base encoder."""
    measures = load_json(FOLDER / "measures.json")
    body = []
    for language in languages():
        result = next((row.results[language] for row in rows() if language in row.results and row.is_complete), None)
        if result is not None:
            sentences = result.recall(OTHER_TEXT, "zero_shot")
            gallery = f"{result.data.gallery.size} {result.data.gallery.kind}"
            plain = result.recall(stage="zero_shot")
            name = language_name(language)
            body.append([name, gallery, f"{plain:.3f}", f"{plain + gap(result):.3f}", f"{sentences:.3f}"])
    english = f"R@1 of the 250 English captions with the base encoder: {measures['plain']['english']:.3f}."
    head = ["language", "gallery", "R@1 of the base encoder", "R@1 of English", "sentences"]
    return f"{table(head, body)}\n\n{english}"


def cost_table() -> str:
    """Tabulate sizes and costs."""
    body = []
    for row in sorted((row for row in rows() if row.is_complete), key=lambda row: row.method.name):
        measured = row.measures
        cells = [_name(row), f"{row.parameters:,}"]
        if "step_seconds" in measured:
            merged = measured["merged"]
            cells += [f"{measured['bytes']:,}", f"{measured['step_seconds']:.2f}", f"{measured['step_mib']:.0f}"]
            cells += [f"{measured['attached']:.0f}", "cannot merge" if merged is None else f"{merged:.0f}"]
        else:
            cells += [""] * 5
        body.append([*cells, f"{row.first.seconds.train:.0f}"])
    head = "method,parameters,bytes,CPU s per step,MiB of a step,queries/s attached,queries/s merged,training s (wall)"
    return table(head.split(","), body)


def rate_table() -> str:
    """Tabulate the score on held-out text, and R@1, with each learning rate in the first language."""
    records = load_json(FOLDER / "rates.json")[screening.FIRST]
    rates = sorted({rate for scores in records.values() for rate in scores}, key=float)
    body = []
    for row in sorted(rows(), key=lambda row: row.method.name):
        scores = records.get(row.method.name, {})
        body.append([_name(row), *(_rate(scores, rate) for rate in rates)])
    return table(["method", *rates], body)


def _rate(scores: dict[str, Any], rate: str) -> str:
    if rate not in scores:
        return ""
    score = scores[rate]
    return "failed" if score is None else f"{score['held_out']:.3f} / {score['recall']:.3f}"


def comparison_table(folder: Path, other: str) -> str:
    """Tabulate the methods of another folder in the first language, next to their shares in the main table.

    `other` says what differs there.
    """
    main_shares = {row.method: share(row.first) for row in rows() if row.is_complete}
    compared = [row for row in rows(folder) if row.is_complete]
    clear = clear_differences(compared)
    signs = {0: "", 1: "better", -1: "worse"}

    body = []
    for row in compared:
        result = row.first
        body.append(
            [
                _name(row, screening.table_of(folder)[1]),
                f"{row.parameters:,}",
                f"{result.config.lr:g}",
                f"{result.recall():.3f}",
                _share(result),
                signs[clear.get((row.method.name, screening.FIRST), 0)],
                per_cent(main_shares[row.method]),
                f"{result.recall(OTHER_TEXT, 'best'):.3f}",
            ]
        )
    head = [
        "method",
        "parameters",
        "lr",
        "R@1",
        "share of the gap, % [95 %]",
        f"than `{BASE}`",
        f"share with {other}",
        "sentences",
    ]
    return table(head, body)


def write_figure(folder: Path) -> None:
    """Draw the shares of all methods in each language, their means, and the frontier of means over parameters."""
    complete_rows = [row for row in rows() if row.is_complete]
    points = [
        Point(row.method.name, row.parameters, row.mean_share, [share(result) for result in row.results.values()])
        for row in complete_rows
    ]
    results = [result for row in complete_rows for result in row.results.values()]
    plot = draw(points, languages(), results)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / f"{plot.name}.png", plot.render("png"))


PARTS = {
    "progress": progress,
    "plain": plain_table,
    "shares": share_table,
    "recall": recall_table,
    "seeds": seed_table,
    "costs": cost_table,
    "rates": rate_table,
    "budget": partial(comparison_table, MORE_PARAMETERS, "0.05 %"),
    "pairs": partial(comparison_table, MORE_PAIRS, "757 pairs"),
}

if __name__ == "__main__":
    if main(__doc__ or "", PAGE, PARTS):
        write_figure(FIGURES)
