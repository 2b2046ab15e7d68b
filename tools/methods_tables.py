"""Generate docs/methods.md's tables from the committed results of `tools/methods.py`, and draw img/methods.

python tools/methods_tables.py            print them as Markdown
python tools/methods_tables.py --write    write them into the page, between their marks, and draw the figure
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import methods
import numpy as np
from marked import ROOT, complete, main, per_cent, table
from methods import LANGUAGES, PLAN, SEEDS, Method

from pecl.errors import not_none
from pecl.files import load_json, write_bytes
from pecl.report.plots.style import GREY, Plot, panels, styled
from pecl.report.selection.groups import group_of
from pecl.report.significance import Sides, holm, interval_over_languages, seeds_and_items
from pecl.report.tables.disparity import find_english
from pecl.results.result import TrainingResult, collect, trainings
from pecl.retrieval.measures import bootstrap_intervals

PAGE = ROOT / "docs" / "methods.md"
FIGURES = ROOT / "img" / "methods"
AT_SEVERAL_PLACES = ("LoRA", "head", "LayerNorms")  # rows of the main comparison that belong to the table of placements
COLOURS = {"cs": "#0072B2", "de": "#D55E00", "fr": "#009E73"}  # of Okabe & Ito's
_ROW = 0.22  # inches per method


@dataclass(frozen=True)
class Row:
    """A method at a placement, with three seeds in each language: language -> results."""

    method: Method
    results: dict[str, list[TrainingResult]]

    @property
    def label(self) -> str:
        """Method and spec."""
        return f"{self.method.name}, `{self.method.spec}`"

    @property
    def parameters(self) -> int:
        """Number of trained parameters."""
        return self.results[LANGUAGES[0]][0].adapter.trainable

    def hits(self, language: str) -> np.ndarray:
        """Return (seeds, N): hits of each photograph, mean over directions."""
        return np.stack([run.hits("best") for run in self.results[language]])

    @property
    def mean_recall(self) -> float:
        """R@1, the mean over languages and seeds."""
        return float(np.mean([self.recall(code) for code in LANGUAGES]))

    def recall(self, language: str) -> float:
        """Return R@1, the mean over seeds."""
        return float(np.mean([run.recall() for run in self.results[language]]))

    def rate(self, language: str) -> float:
        """Return the chosen learning rate."""
        return self.results[language][0].config.lr

    @property
    def returned_initial(self) -> int:
        """How many of the runs returned their initial weights."""
        runs = [run for of_language in self.results.values() for run in of_language]
        curves = [run.curve.val_mean_recall_at_1 for run in runs]
        return sum(points[0][1] > points[-1][1] for points in curves)


@cache
def rows(part: str) -> list[Row]:
    """Return the rows of a part of which all languages and seeds are complete, in the order of the plan."""
    folder = methods.COMPARISON / part
    results = {run.run_id: run for run in trainings(collect([folder]))} if folder.is_dir() else {}
    rates = rates_of(part)
    found = []
    for method in PLAN:
        by_language = rates.get(methods.key_of(method)) if method.part == part else None
        if by_language is None:
            continue
        runs = {}
        for code in LANGUAGES:
            chosen = methods.chosen_rate({float(rate): score for rate, score in by_language[code].items()})
            ids = [methods.config_of(method, code, chosen, seed).run_id() for seed in SEEDS]
            runs[code] = [results[run_id] for run_id in ids if run_id in results]
        if all(len(of_language) == len(SEEDS) for of_language in runs.values()):
            found.append(Row(method, runs))
    return found


@cache
def rates_of(part: str) -> dict[str, dict[str, dict[str, float]]]:
    """Return the held-out recalls: method -> language -> learning rate -> recall."""
    path = methods.COMPARISON / part / "rates.json"
    return load_json(path) if path.is_file() else {}


def placement_rows() -> list[Row]:
    """Return the rows of the table of placements, from below to above all layers."""
    order = ["embedding", "all", "top-4", "top-2", "head"]
    of_main = [row for row in rows("main") if row.method.name in AT_SEVERAL_PLACES]
    both = [*rows("placement"), *of_main]
    return sorted(both, key=lambda row: (row.method.name == "LayerNorms", order.index(row.method.placement)))


def progress() -> str:
    """State what is measured and what is not."""
    parts = {part: [method for method in PLAN if method.part == part] for part in methods.PARTS}
    lines = []
    for part, planned in parts.items():
        measured = [row.method for row in rows(part)]
        missing = [f"{methods.key_of(method)}" for method in planned if method not in measured]
        text = f"{part}: {len(measured)} of {len(planned)} rows"
        lines.append(f"- {text}" + (f"; not yet: {'; '.join(missing)}" if missing else ""))
    return "\n".join(lines)


def plain_recall(language: str) -> float:
    """Return R@1 of the base encoder."""
    return rows("main")[0].results[language][0].recall(stage="zero_shot")


def english_recall() -> float:
    """Return R@1 of English with the base encoder on the same photographs."""
    run = rows("main")[0].results[LANGUAGES[0]][0]
    english = find_english(complete("."), group_of(run), run.config.precision)
    return not_none(english, "a result of English").recall(stage="zero_shot")


def comparison_table(compared: Sequence[Row], base: Row, with_placement: bool = False) -> str:
    """Tabulate R@1 by language, the differences from `base`, and English."""
    tests = {
        (row.method, code): seeds_and_items(row.hits(code), base.hits(code)).p
        for row in compared
        for code in LANGUAGES
        if row is not base
    }
    p_of = dict(zip(tests, holm(list(tests.values())), strict=True))

    body = []
    for row in compared if with_placement else sorted(compared, key=lambda row: -row.mean_recall):
        fields = [row.label, *([row.method.placement] if with_placement else []), f"{row.parameters:,}"]
        fields += [f"{row.recall(code):.3f}" for code in LANGUAGES]
        fields.append(f"{row.mean_recall:.3f}")
        if row is base:
            fields += ["", ""]
        else:
            low, high = interval_over_languages([Sides(row.hits(code), base.hits(code)) for code in LANGUAGES])
            fields.append(f"{row.mean_recall - base.mean_recall:+.3f} [{low:+.3f}, {high:+.3f}]")
            fields.append(" ".join(p_text(p_of[row.method, code]) for code in LANGUAGES))
        body.append([*fields, english_loss(row)])
    head = ["method", *(["placement"] if with_placement else []), "parameters", *LANGUAGES, "mean"]
    return table([*head, f"less {_base_name(base)} [95 %]", f"p ({', '.join(LANGUAGES)})", "English"], body)


def _base_name(base: Row) -> str:
    return f"{base.method.name}, {base.method.placement}"


def p_text(p: float) -> str:
    """Return a p-value with three decimals."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def english_loss(row: Row) -> str:
    """Return the change of R@1 of English captions through the adapters of a row, mean of all, with its interval."""
    measured = load_json(methods.COMPARISON / row.method.part / "english.json")
    plain = read_digits(measured[f"plain {row.method.precision}"])
    runs = [run for of_language in row.results.values() for run in of_language]
    change = np.mean([read_digits(measured[run.run_id]) - plain for run in runs], axis=0)  # (N,)
    low, high = bootstrap_intervals(change[None])[0]
    return f"{change.mean():+.3f} [{low:+.3f}, {high:+.3f}]"


def read_digits(text: str) -> np.ndarray:
    """Return (N,): the share of directions with rank 1, from a digit per photograph."""
    return np.array([int(digit) for digit in text]) / 2


def main_table() -> str:
    """Tabulate the main comparison."""
    compared = rows("main")
    if not compared:
        return "No row is complete yet."
    plain = ", ".join(f"{code} {plain_recall(code):.3f}" for code in LANGUAGES)
    note = f"Base encoder: {plain}; English {english_recall():.3f}."
    returned = sum(row.returned_initial for row in compared)
    runs = len(compared) * len(LANGUAGES) * len(SEEDS)
    note += f" {returned} of the {runs} runs returned their initial weights."
    return f"{comparison_table(compared, _base('main'))}\n\n{note}"


def _base(part: str) -> Row:
    return next(row for row in rows(part) if row.method.name == methods.BASE)


def placement_table() -> str:
    """Tabulate placements of a change of low rank and of LayerNorms."""
    if not rows("placement"):
        return "No row is complete yet."
    return comparison_table(placement_rows(), _base("main"), with_placement=True)


def engine_table() -> str:
    """Tabulate PEFT's methods and pecl's LoRA in fp32."""
    if not any(row.method.name == methods.BASE for row in rows("engines")):
        return "No row is complete yet."
    return comparison_table(rows("engines"), _base("engines"))


def seed_table() -> str:
    """Tabulate the standard deviation of R@1 over seeds, and the share of the gap."""
    body = []
    for row in [*rows("main"), *rows("placement"), *rows("engines")]:
        deviations = [np.std([run.recall() for run in row.results[code]], ddof=1) for code in LANGUAGES]
        gaps = [english_recall() - plain_recall(code) for code in LANGUAGES]
        shares = [(row.recall(code) - plain_recall(code)) / gap for code, gap in zip(LANGUAGES, gaps, strict=True)]
        body.append([_row_name(row), *(f"{value:.4f}" for value in deviations), *map(per_cent, shares)])
    return table(["row", *(f"SD {code}" for code in LANGUAGES), *(f"share {code}" for code in LANGUAGES)], body)


def _row_name(row: Row) -> str:
    return f"{row.method.name}, {row.method.placement}" + (", fp32" if row.method.precision == "fp32" else "")


def rate_table(parts: Sequence[str] = methods.PARTS) -> str:
    """Tabulate the held-out recall with each learning rate; the chosen one is bold."""
    records = [(row, rates_of(part)[methods.key_of(row.method)]) for part in parts for row in rows(part)]
    rates = sorted({float(rate) for _, of_row in records for of_language in of_row.values() for rate in of_language})
    body = []
    for row, of_row in records:
        for code in LANGUAGES:
            scores = {float(rate): score for rate, score in of_row[code].items()}
            chosen = methods.chosen_rate(scores)
            cells = [
                "" if rate not in scores else f"**{scores[rate]:.3f}**" if rate == chosen else f"{scores[rate]:.3f}"
                for rate in rates
            ]
            body.append([_row_name(row), code, *cells])
    return table(["row", "language", *(f"{rate:g}" for rate in rates)], body)


@styled
def draw(shown: Sequence[Row]) -> Plot:
    """Draw R@1 of each row in each language, less that of the base encoder, and the mean with its interval."""
    caption = (
        "Gain in mean R@1 of both directions over the base encoder on 900 photographs: the mean of three languages "
        "with its 95 % interval by a bootstrap over languages, seeds and photographs, and each language as a dot."
    )
    figure, (axis,) = panels(_ROW * len(shown) + 0.7, caption, columns=1, width=5.5)
    plain = {code: shown[0].results[code][0].hits("zero_shot")[None] for code in LANGUAGES}  # (1, N)
    for place, row in enumerate(reversed(shown)):
        gains = [row.recall(code) - plain_recall(code) for code in LANGUAGES]
        low, high = interval_over_languages([Sides(row.hits(code), plain[code]) for code in LANGUAGES])
        axis.plot([low, high], [place, place], color=GREY, linewidth=1.2)
        for code, gain in zip(LANGUAGES, gains, strict=True):
            axis.plot(gain, place, ".", color=COLOURS[code], markersize=4, label=code if place == 0 else None)
        axis.plot(np.mean(gains), place, "k|", markersize=8)
    names = [f"{row.method.name}, {row.method.placement}" for row in reversed(shown)]
    axis.set_yticks(range(len(shown)), names, fontsize=7)
    axis.axvline(0, color=GREY, linewidth=0.8)
    axis.set(xlabel="gain in R@1 over the base encoder", ylim=(-0.7, len(shown) - 0.3))
    axis.legend(loc="lower right")
    runs = sorted(run.run_id for row in shown for of_language in row.results.values() for run in of_language)
    return Plot("methods", "Methods", caption, tuple(runs), figure)


def write_figure(folder: Path) -> None:
    """Draw all rows in bf16 that are complete, the best first."""
    shown = sorted([*rows("main"), *rows("placement")], key=lambda row: -row.mean_recall)
    plot = draw(shown)
    folder.mkdir(parents=True, exist_ok=True)
    write_bytes(folder / f"{plot.name}.png", plot.render("png"))


PARTS = {
    "progress": progress,
    "main": main_table,
    "placement": placement_table,
    "engines": engine_table,
    "seeds": seed_table,
    "rates": rate_table,
}

if __name__ == "__main__":
    if main(__doc__ or "", PAGE, PARTS):
        write_figure(FIGURES)
