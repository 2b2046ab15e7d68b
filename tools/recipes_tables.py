"""Generate docs/recipes.md's tables from the committed results of `tools/recipes.py`, and draw img/recipes.

python tools/recipes_tables.py            print them as Markdown
python tools/recipes_tables.py --write    write them into the page, between their marks, and draw the figures
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import methods
import numpy as np
import recipes
from marked import ROOT, main, table
from methods_tables import p_text, read_digits
from recipes import CAPTIONS, LANGUAGES, PLAN

from pecl.config.recipes import IMAGES, RECIPES
from pecl.data.captions import COLUMNS
from pecl.files import load_json, write_bytes
from pecl.report.plots.style import GREY, Plot, panels, styled
from pecl.report.significance import Sides, holm, interval_over_languages, seeds_and_items
from pecl.retrieval.measures import bootstrap_intervals

PAGE = ROOT / "docs" / "recipes.md"
FIGURES = ROOT / "img" / "recipes"
BASE = "distil"
TRANSLATED, PLAIN = "translated queries", "base encoder"  # rows without a training
_NONE = "No row is complete yet."
# Kind of a recipe by what it learns from -> colour of Okabe & Ito's, and marker
KINDS = {
    "pairs of texts": ("#0072B2", "o"),
    "photographs": ("#D55E00", "^"),
    "pairs and photographs": ("#CC79A7", "D"),
    "texts without pairs": ("#009E73", "s"),
    "a translator for each query": ("#E69F00", "v"),
    "nothing": (GREY, "X"),
}


@dataclass(frozen=True)
class Row:
    """A recipe, or queries of the base encoder: language -> (seeds, N) hits per photograph, mean over directions."""

    name: str
    pairs: int
    photographs: int
    translates: bool
    hits: dict[str, np.ndarray]
    english: np.ndarray  # (runs, M) hits of English captions
    run_ids: tuple[str, ...] = ()

    def recall(self, language: str) -> float:
        """Return R@1, the mean over seeds."""
        return float(self.hits[language].mean())

    @property
    def mean_recall(self) -> float:
        """R@1, the mean over languages and seeds."""
        return float(np.mean([self.recall(code) for code in LANGUAGES]))

    @property
    def kind(self) -> str:
        """The key of `KINDS`."""
        if self.translates:
            return "a translator for each query"
        if self.name == PLAIN:
            return "nothing"
        if self.photographs:
            return "pairs and photographs" if self.pairs else "photographs"
        return "pairs of texts" if self.pairs else "texts without pairs"

    def less(self, other: Row) -> tuple[float, float, float]:
        """Return the mean difference of R@1 over languages, and its interval."""
        sides = [Sides(self.hits[code], other.hits[code]) for code in LANGUAGES]
        return self.mean_recall - other.mean_recall, *interval_over_languages(sides)


@cache
def results_of(captions: int) -> dict[str, Any]:
    """Return the published results with a number of captions."""
    path = recipes.PUBLISHED / f"{captions}.json"
    return load_json(path) if path.is_file() else {"plain": {}, "recipes": {}}


@cache
def seconds() -> dict[str, Any]:
    """Return the measured times."""
    path = recipes.PUBLISHED / "seconds.json"
    return load_json(path) if path.is_file() else {"training": {}}


def needs_pairs(recipe: str) -> bool:
    """Return whether a recipe reads two columns of the same captions."""
    return len({*RECIPES[recipe].student, *RECIPES[recipe].teacher}.intersection(COLUMNS)) > 1


@cache
def rows(captions: int) -> list[Row]:
    """Return the complete rows with a number of captions, the best first."""
    results = results_of(captions)
    found = []
    for recipe, result in results["recipes"].items():
        runs = result["runs"]
        hits = {
            code: np.stack([read_digits(run["hits"]) for run in runs if run["language"] == code]) for code in LANGUAGES
        }
        needs = captions if needs_pairs(recipe) else 0, captions if IMAGES in RECIPES[recipe].teacher else 0
        english = np.stack([read_digits(run["english"]) for run in runs])
        run_ids = tuple(run["run_id"] for run in runs)
        found.append(Row(recipe, *needs, recipes.translates_queries(recipe), hits, english, run_ids))

    plain = results["plain"]
    for name, queries in ((PLAIN, "as written"), (TRANSLATED, "translated")):
        if queries in plain:
            hits = {code: read_digits(plain[queries][code])[None] for code in LANGUAGES}
            found.append(Row(name, 0, 0, name == TRANSLATED, hits, read_digits(plain["english"])[None]))
    return sorted(found, key=lambda row: -row.mean_recall)


def plain() -> Row:
    """Return the row of the base encoder."""
    return row_of(CAPTIONS[0], PLAIN)


def row_of(captions: int, name: str) -> Row:
    """Return a row by its name."""
    return next(row for row in rows(captions) if row.name == name)


def progress() -> str:
    """State what is measured and what is not."""
    lines = []
    for captions in CAPTIONS:
        missing = [recipe for recipe in PLAN if recipe not in results_of(captions)["recipes"]]
        text = f"{captions} captions: {len(PLAN) - len(missing)} of {len(PLAN)} recipes"
        lines.append(f"- {text}" + (f"; not yet: {', '.join(missing)}" if missing else ""))
    return "\n".join(lines)


def comparison(captions: int) -> str:
    """Tabulate R@1 by language, the difference from `BASE`, its tests, English, and the costs."""
    compared = rows(captions)
    if BASE not in results_of(captions)["recipes"]:
        return _NONE
    base = row_of(captions, BASE)
    cells = [(row.name, code) for row in compared if row.name in PLAN and row is not base for code in LANGUAGES]
    tests = [seeds_and_items(row_of(captions, name).hits[code], base.hits[code]).p for name, code in cells]
    p_of = dict(zip(cells, holm(tests), strict=True))

    body = []
    for row in compared:
        fields = [row.name if row.name not in PLAN else f"`{row.name}`", f"{row.pairs}", f"{row.photographs}"]
        fields += [f"{row.recall(code):.3f}" for code in LANGUAGES]
        fields.append(f"{row.mean_recall:.3f}")
        if row is base:
            fields += ["", ""]
        else:
            mean, low, high = row.less(base)
            fields.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]")
            fields.append(" ".join(p_text(p_of[row.name, code]) for code in LANGUAGES) if row.name in PLAN else "")
        body.append([*fields, english_loss(row, captions)])
    head = ["recipe", "pairs", "photographs", *LANGUAGES, "mean", f"less {BASE} [95 %]", f"p ({', '.join(LANGUAGES)})"]
    return table([*head, "English"], body)


def english_loss(row: Row, captions: int) -> str:
    """Return the change of R@1 of English captions through the adapters of a row, with its interval."""
    if not row.run_ids:
        return ""
    change = row.english.mean(axis=0) - read_digits(results_of(captions)["plain"]["english"])  # (M,)
    low, high = bootstrap_intervals(change[None])[0]
    return f"{change.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def returned_initial(captions: int) -> str:
    """State how many runs returned their initial weights."""
    lines = []
    for recipe, result in results_of(captions)["recipes"].items():
        count = sum(run["held_out"][0] > run["held_out"][-1] for run in result["runs"])
        if count:
            lines.append(f"`{recipe}` {count} of {len(result['runs'])}")
    return f"Runs that returned their initial weights: {', '.join(lines) or 'none'}."


def main_table() -> str:
    """Tabulate the main comparison."""
    english = results_of(CAPTIONS[0])["plain"].get("english")
    note = "" if english is None else f" English with the base encoder: {read_digits(english).mean():.3f}."
    return f"{comparison(CAPTIONS[0])}\n\n{returned_initial(CAPTIONS[0])}{note}"


def few_table() -> str:
    """Tabulate the comparison with few captions."""
    return f"{comparison(CAPTIONS[1])}\n\n{returned_initial(CAPTIONS[1])}"


def cost_table() -> str:
    """Tabulate seconds of a run and milliseconds of a query."""
    measured = seconds()
    if "query" not in measured:
        return "Not measured yet."
    query = measured["query"]
    body = []
    for row in rows(CAPTIONS[0]):
        needed = measured["training"].get(row.name)
        milliseconds = query["embedding"] + (query["translation"] if row.translates else 0)
        body.append([row.name, "" if needed is None else f"{needed['wall']:.0f}", f"{milliseconds:.0f}"])
    return table(["recipe", "seconds of a run", "ms per query"], body)


def rate_table() -> str:
    """Tabulate the held-out recall with each learning rate; the chosen one is bold."""
    records = [
        (recipe, captions, result["rates"])
        for captions in CAPTIONS
        for recipe, result in results_of(captions)["recipes"].items()
        if recipe not in recipes.WITHOUT_GRADIENT
    ]
    rates = sorted({float(rate) for *_, of_row in records for of_language in of_row.values() for rate in of_language})
    body = []
    for recipe, captions, of_row in records:
        for code in LANGUAGES:
            scores = {float(rate): score for rate, score in of_row[code].items()}
            chosen = methods.chosen_rate(scores)
            cells = [
                "" if rate not in scores else f"**{scores[rate]:.3f}**" if rate == chosen else f"{scores[rate]:.3f}"
                for rate in rates
            ]
            body.append([recipe, str(captions), code, *cells])
    return table(["recipe", "captions", "language", *(f"{rate:g}" for rate in rates)], body)


@styled
def draw_pairs() -> Plot:
    """Draw R@1 of each recipe over the pairs that it needs."""
    caption = (
        "Gain in mean R@1 of both directions over the base encoder on 900 photographs, mean of Czech, German and "
        "French and of three seeds, over the pairs of texts that a recipe needs. Lines join a recipe's numbers of "
        "pairs. Bars are 95 % intervals by a bootstrap over languages, seeds and photographs."
    )
    figure, (axis,) = panels(4.2, caption, columns=1, width=5.5)
    sizes = [0, *sorted(CAPTIONS)]
    shown = [(captions, row) for captions in sorted(CAPTIONS) for row in rows(captions)]
    shown = [(captions, row) for captions, row in shown if row.pairs or captions == CAPTIONS[0]]
    shown = [(captions, row) for captions, row in shown if row.name != PLAIN]
    _labelled(axis, [(float(sizes.index(row.pairs)), row) for _, row in shown])
    for name in {row.name for _, row in shown if row.pairs}:
        points = [(sizes.index(row.pairs), row.less(plain())[0]) for _, row in shown if row.name == name]
        axis.plot(*zip(*points, strict=True), color=KINDS[_kind(shown, name)][0], linewidth=0.6, alpha=0.6)
    axis.set(xlabel="pairs of texts", ylabel="gain in mean R@1", xlim=(-0.2, len(sizes) - 0.35))
    axis.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    return _plot("pairs", "Recall over pairs", caption, figure, axis, [row for _, row in shown])


def _kind(shown: Sequence[tuple[int, Row]], name: str) -> str:
    return next(row.kind for _, row in shown if row.name == name)


def _labelled(axis: Any, points: Sequence[tuple[float, Row]]) -> None:
    """Draw points with their intervals and names; names of one x are moved apart, and its points sideways."""
    lowest_gap = 0.0045  # of R@1, between names
    spread = 0.035  # of the positions on the x axis
    for place in dict.fromkeys(x for x, _ in points):
        above = np.inf
        column = sorted((row for x, row in points if x == place), key=lambda row: -row.mean_recall)
        for number, row in enumerate(column):
            colour, marker = KINDS[row.kind]
            x = place + spread * (number % 3 - 1)
            gain, *interval = row.less(plain())
            axis.plot([x, x], interval, color=colour, linewidth=0.8, alpha=0.5)
            axis.plot(x, gain, marker, color=colour, markersize=4)
            above = min(gain, above - lowest_gap)
            axis.text(place + 2.5 * spread, above, row.name, fontsize=6.5, color=colour, va="center")


def _plot(name: str, title: str, caption: str, figure: Any, axis: Any, shown: Sequence[Row]) -> Plot:
    for kind, (colour, marker) in KINDS.items():
        if any(row.kind == kind for row in shown):
            axis.plot([], [], marker, color=colour, markersize=4, label=kind)
    axis.legend(loc="lower right", fontsize=6.5)
    return Plot(name, title, caption, tuple(sorted({run for row in shown for run in row.run_ids})), figure)


def write_figure(folder: Path) -> None:
    """Draw the figure as SVG."""
    folder.mkdir(parents=True, exist_ok=True)
    plot = draw_pairs()
    write_bytes(folder / f"{plot.name}.svg", plot.render("svg"))


PARTS = {
    "progress": progress,
    "main": main_table,
    "few": few_table,
    "cost": cost_table,
    "rates": rate_table,
}

if __name__ == "__main__":
    if main(__doc__ or "", PAGE, PARTS):
        write_figure(FIGURES)
