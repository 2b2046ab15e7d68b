"""Generate the tables and the figure of docs/language_results.md from results on XTD200 and GATITOS.

    python tools/languages_page.py            print them as Markdown
    python tools/languages_page.py --write    write them into docs/language_results.md and the list that it links to,
                                                and draw img/languages

`results/measured/languages` holds one training per language with the data set xtd200 (zero-shot and
best weights). For a language trained with another data set it holds two evaluations, of the base
encoder and of the shipped adapter. An evaluation replaces the training's own measurement.
`results/language_budgets.json` holds trainings of the same languages with adapters of several sizes
(`tools/languages_budgets.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from languages_budgets import BUDGETS
from languages_spellings import AS_TYPED, RESTORED, SPELLED, TESTS
from languages_tokens import TOKENS
from marked import MEASURED, ROOT, complete, main, per_cent, table
from typed_texts import AS_WRITTEN, SPELLINGS

from pecl.adapters.ready import ready_adapters, ready_results
from pecl.config import LEXICON
from pecl.files import load_json, write_bytes
from pecl.language.languages import LANGUAGES, language_name
from pecl.report.plots.style import GREY, Plot, panels, styled
from pecl.report.selection.groups import BOOTSTRAP, intervals
from pecl.results.result import OTHER_TEXT, Result

PAGE = ROOT / "docs" / "language_results.md"
LIST = ROOT / "results" / "measured" / "languages" / "README.md"
FIGURE = ROOT / "img" / "languages"
FOLDER = "languages"
WEAKEST = 12  # languages
LEAST_UNKNOWN = 0.01  # share of pieces
NAME = "before-after"
NOTHING = "No language is measured yet."
_BLUE, _LIGHT = "#0072B2", "#9ecae1"
CAPTIONS = "xtd200"
SPELLED_TESTS = {CAPTIONS: "captions (XTD200)", "sib200": "sentences (SIB-200 `dev`)"}
_COLUMNS, _INCHES = 3, 0.125  # columns of the figure; inches per language


@dataclass(frozen=True)
class Row:
    """One language.

    Attributes:
        code: its code.
        training: the JSON of the result of its adapter's training.
        before: hits of the base encoder, (N,) of 0, .5 and 1.
        after: hits with the adapter, (N,).
    """

    code: str
    training: Mapping[str, Any]
    before: np.ndarray
    after: np.ndarray

    @property
    def gain(self) -> float:
        """Gain in R@1, mean of both directions."""
        return float((self.after - self.before).mean())

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Bootstrap interval of the gain."""
        low, high = intervals([self.after - self.before])[0]
        return float(low), float(high)

    @property
    def share(self) -> float:
        """Share of the gap to 1 that the adapter closes."""
        return self.gain / (1 - float(self.before.mean()))

    @property
    def people(self) -> tuple[float, float] | None:
        """R@1 of sentences that people translated, before and after; None if they were not measured."""
        if (self.training["data"].get("other_text") or {}).get("dataset") != "sib200":
            return None
        stages = self.training["metrics"][OTHER_TEXT]
        before, after = (stages[stage]["mean_recall@1"] for stage in ("zero_shot", "best"))
        return before, after

    @property
    def size(self) -> int | None:
        """Bytes of its ready adapter; None if none is shipped."""
        path = ready_adapters().get(self.code)
        return None if path is None else path.stat().st_size

    @property
    def pretrained(self) -> bool:
        """Whether the tower's pretraining had the language."""
        return LANGUAGES[self.code].pretrained


def measured(results: Sequence[Result], dataset: str) -> list[Row]:
    """Return a row per language that was trained and is measured on a data set, by gain, largest first."""
    results = [result for result in results if result.config.dataset == dataset]
    trained = {result.config.language: result for result in results if result.kind == "train"}
    evaluated = {(result.config.language, result.stages[0]): result for result in results if result.kind == "evaluate"}

    rows = []
    ready = ready_results()
    for code in sorted({*trained, *(code for code, _ in evaluated)}):
        training_result = trained.get(code)
        before, after = (evaluated.get((code, stage), training_result).hits(stage) for stage in ("zero_shot", "best"))
        if len(before) != len(after):
            raise SystemExit(f"{code}: expected equal tests before and after, got {len(before)} and {len(after)}")
        training = training_result.to_json() if training_result else ready[code]
        rows.append(Row(code, training, before, after))

    return sorted(rows, key=lambda row: -row.gain)


def shown(dataset: str = "xtd200") -> list[Row]:
    """Return the rows of the shipped results; [] if there are none."""
    return measured(complete(FOLDER), dataset) if (MEASURED / FOLDER).is_dir() else []


def summary() -> str:
    """Count gains and losses, and report the deviation over languages before and after."""
    rows = shown()
    if not rows:
        return NOTHING

    sizes = sorted({len(row.before) for row in rows})
    above, below = (sum(sign * row.interval[side] > 0 for row in rows) for sign, side in ((1, 0), (-1, 1)))
    lines = [
        f"- {len(rows)} languages, {' or '.join(f'{size:,}' for size in sizes)} captions each. The interval of the "
        f"gain lies above zero in {above} and below zero in {below}.",
        f"- Mean R@1 over languages (standard deviation in parentheses): {_before_and_after(rows)}.",
    ]

    for words, is_in in (
        ("In the encoder's pre-training data (CC-100)", True),
        ("Not in its pre-training data", False),
    ):
        group = [row for row in rows if row.pretrained == is_in]
        if group:
            shares = [row.share for row in group]
            lines.append(
                f"- {words}: {len(group)} languages, {_before_and_after(group)}; share of the gap "
                f"{per_cent(np.mean(shares))} on average, {per_cent(min(shares))} at least."
            )

    return "\n".join(lines) + f"\n\n![R@1 of each language before and after](../img/languages/{NAME}.png)"


def people() -> str:
    """Report the effect of adapters on text that people translated, and its correlation with that on captions."""
    rows = [row for row in shown() if row.people]
    if not rows:
        return NOTHING

    # sums of equal recalls differ by 1e-16
    recalls = np.array([row.people for row in rows]).round(9)
    gains = recalls[:, 1] - recalls[:, 0], np.array([row.gain for row in rows])
    lines = [
        f"- {len(rows)} languages: R@1 of 99 human-translated sentences of SIB-200 (split `dev`), mean of "
        f"both directions: {recalls[:, 0].mean():.3f} before, {recalls[:, 1].mean():.3f} after; "
        f"{int((gains[0] < 0).sum())} below the base encoder, by {max(0, -gains[0].min()):.3f} at most."
    ]

    if len(rows) > 2:
        by_machine = np.array([row.after.mean() for row in rows])
        lines.append(
            f"- Correlation over these languages of R@1 of the sentences and of XTD200's captions, with the adapter: "
            f"{np.corrcoef(recalls[:, 1], by_machine)[0, 1]:.2f}; of the gains: {np.corrcoef(*gains)[0, 1]:.2f}."
        )

    return "\n".join(lines + _without_captions())


def _without_captions() -> list[str]:
    """Report the adapters of languages without captions on held-out words of GATITOS."""
    rows = shown("gatitos")
    ready = [row for row in rows if row.size]
    if not ready:
        return []

    return [
        f"- {len(rows)} further languages have no captions here and learned from words of GATITOS: {len(ready)} have a "
        f"ready adapter; in the others an adapter did not help. R@1 of held-out words that find the English ones, mean "
        f"of the {len(ready)} (standard deviation in parentheses): {_before_and_after(ready)}."
    ]


def _before_and_after(rows: Sequence[Row]) -> str:
    before, after = (np.array([getattr(row, name).mean() for row in rows]) for name in ("before", "after"))
    return f"{before.mean():.3f} ({before.std():.3f}) before, {after.mean():.3f} ({after.std():.3f}) after"


def unknown() -> str:
    """List the languages in whose captions the tokenizer does not know some pieces."""
    shares_of = {code: row["unknown"] for code, row in load_json(TOKENS).items() if row["unknown"] >= LEAST_UNKNOWN}
    shares = [
        f"{language_name(code)} {per_cent(shares_of[code])}"
        for code in sorted(shares_of, key=lambda code: -shares_of[code])
    ]
    return f"Unknown pieces in the captions of `xtd200`: {', '.join(shares)}; below 1 % elsewhere."


def all_languages() -> str:
    """Tabulate all languages by gain."""
    rows = shown()
    if not rows:
        return NOTHING
    head = "language,script,tokens,zero-shot,adapted,gain [95 %],share of the gap,people,kB,text,parameters,trained"
    tokens = load_json(TOKENS)
    return table(head.split(","), [_texts(row, tokens[row.code]["tokens"]) for row in rows])


def only_words() -> str:
    """Tabulate the languages with words only, by gain."""
    rows = shown("gatitos")
    if not rows:
        return NOTHING
    head = "language,script,zero-shot,adapted,gain [95 %],share of the gap,kB,text,parameters"
    texts = [[*_names(row), *_recalls(row), _size(row), _pairs(row.training), _parameters(row)] for row in rows]
    return table(head.split(","), texts)


def _texts(row: Row, tokens: float) -> list[str]:
    people = "" if row.people is None else "{:.2f} to {:.2f}".format(*row.people)
    trained = _trained(row.training["config"], _text(row.training))
    measures = [f"{tokens:.0f}", *_recalls(row), people, _size(row)]
    return [*_names(row), *measures, _pairs(row.training), _parameters(row), trained]


def _names(row: Row) -> list[str]:
    return [language_name(row.code) + ("" if row.pretrained else " †"), LANGUAGES[row.code].script]


def _recalls(row: Row) -> list[str]:
    low, high = row.interval
    gain = f"{row.gain:+.3f} [{low:+.3f}, {high:+.3f}]"
    return [f"{row.before.mean():.3f}", f"**{row.after.mean():.3f}**", gain, per_cent(row.share)]


def _size(row: Row) -> str:
    return "" if row.size is None else f"{row.size / 1000:.0f}"


def _parameters(row: Row) -> str:
    return f"{row.training['adapter']['trainable']:,}"


def _pairs(training: Mapping[str, Any]) -> str:
    text = _text(training)
    mixed = [f"{text['mixed']['captions']:,} mixed"] if "mixed" in text else []
    named = [f"{source['pairs']:,} {source['source']}" for source in text.get("sources", ())]
    return ", ".join([*named, *mixed]) or f"{training['data']['split']['train']:,}"


def _trained(config: Mapping[str, Any], text: Mapping[str, Any] = {}) -> str:
    solver = config.get("solver", "gradient")
    if "gradient" not in solver:
        return solver
    weight = text.get("sources", [{"weight": 1}])[0]["weight"]
    start = "lexicon, " if config.get("start") == LEXICON else ""
    return f"{start}{solver}, {config['epochs'] * weight:g} passes"


def _text(training: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the provenance of the training text."""
    return (training["data"].get("translations") or {}).get("provenance", {})


def weakest() -> str:
    """Tabulate the languages with the least recall after training, with facts on their text."""
    rows = sorted(shown(), key=lambda row: row.after.mean())[:WEAKEST]
    if not rows:
        return NOTHING

    tokens = load_json(TOKENS)
    texts = [
        [
            language_name(row.code),
            LANGUAGES[row.code].script,
            f"{row.before.mean():.3f}",
            f"{row.after.mean():.3f}",
            "yes" if row.pretrained else "no",
            f"{tokens[row.code]['tokens']:.0f}",
            per_cent(tokens[row.code]["unknown"]),
        ]
        for row in rows
    ]
    return table(["language", "script", "zero-shot", "adapted", "in pre-training", "tokens", "unknown tokens"], texts)


def spellings() -> str:
    """Tabulate the means of R@1 over languages by spelling of the queries."""
    rows = [_mean_spellings(test, load_json(SPELLED)) for test in TESTS]
    return table(["test", *SPELLINGS], rows)


def spellings_of_each() -> str:
    """Tabulate R@1 of the captions of each language by spelling."""
    rows = []
    for code, measures in sorted(load_json(SPELLED).items(), key=lambda item: language_name(item[0])):
        restored, as_typed = (measures[reading].get(CAPTIONS, {}) for reading in (RESTORED, AS_TYPED))
        if not restored:  # the test has no texts in this language
            continue
        cells = [_with_typed(restored[name], as_typed[name]) if name in restored else "" for name in SPELLINGS]
        rows.append([language_name(code), *cells])

    return table(["language", *SPELLINGS], rows)


def _mean_spellings(test: str, measured: Mapping[str, Any]) -> list[str]:
    """Return means over the languages that each spelling changes; `of` precedes that of their texts as written."""
    cells = [SPELLED_TESTS[test]]
    for name in SPELLINGS:
        codes = [code for code in measured if name in measured[code][RESTORED].get(test, {})]
        restored, as_typed = ([measured[code][way][test][name] for code in codes] for way in (RESTORED, AS_TYPED))
        cell = f"{len(codes)} languages: {_with_typed(float(np.mean(restored)), float(np.mean(as_typed)))}"
        if name != AS_WRITTEN:
            cell += f" of {np.mean([measured[code][RESTORED][test][AS_WRITTEN] for code in codes]):.3f}"
        cells.append(cell)
    return cells


def _with_typed(restored: float, as_typed: float) -> str:
    return f"{restored:.3f}" if f"{restored:.3f}" == f"{as_typed:.3f}" else f"{restored:.3f} ({as_typed:.3f})"


def budgets() -> str:
    """Tabulate trainings of the same languages with adapters of several sizes, fewest parameters first."""
    rows, codes = [], []
    for budget in load_json(BUDGETS):
        codes = list(budget["languages"])
        measures = [list(by_seed.values()) for by_seed in budget["languages"].values()]
        before, after, seconds = (  # (languages, seeds)
            np.array([[seed[name] for seed in seeds] for seeds in measures]) for name in ("before", "after", "seconds")
        )
        seeds = after.mean(axis=0)
        spread = f" [{seeds.min():.3f}, {seeds.max():.3f}]" if len(seeds) > 1 else ""
        steps = _trained(budget)
        if "gradient" in steps:
            steps += f" in batches of {budget['batch_size']} at {budget['lr']:g}"

        settings = f"`{budget['adapter']}`", f"{budget['parameters']:,}", f"{100 * budget['share']:.3f} %", steps
        numbers = f"{after.mean():.3f}{spread}", f"{(after - before).mean():+.3f}", f"{after.mean(axis=1).std():.3f}"
        rows.append([*settings, str(len(seeds)), f"{seconds.mean() / 60:.1f}", *numbers])

    head = "adapter,parameters,of the tower,training,seeds,minutes,R@1,gain,deviation"
    names = ", ".join(language_name(code) for code in codes)
    return f"{len(codes)} languages: {names}.\n\n{table(head.split(','), rows)}"


@styled
def draw(rows: Sequence[Row]) -> Plot:
    """Draw recall before and after of each language, in ascending order of recall before."""
    rows = sorted(rows, key=lambda row: (row.before.mean(), row.code))
    length = -(-len(rows) // _COLUMNS)
    caption = (
        "Mean R@1 of both directions, text against text, on XTD200: light points are the base encoder, dark points the "
        f"language's adapter. † not in the tower's pretraining. Gains: {BOOTSTRAP}; a grey line includes zero."
    )
    figure, axes = panels(length * _INCHES + 0.4, caption, columns=_COLUMNS, width=7.2)
    for column, ax in enumerate(axes):
        shown_rows = rows[column * length : (column + 1) * length]
        _column(ax, shown_rows, length)

    return Plot(NAME, "All languages before and after", caption, _runs(rows), figure)


def _column(ax: object, rows: Sequence[Row], length: int) -> None:
    for y, row in enumerate(rows):
        low, high = row.interval
        before = row.before.mean()
        after = row.after.mean()
        ax.plot([before, after], [y, y], color=GREY if low <= 0 <= high else _BLUE, linewidth=0.9)
        ax.plot(before, y, "o", color=_LIGHT, markersize=3)
        ax.plot(after, y, "o", color=_BLUE, markersize=3)

    names = [f"{LANGUAGES[row.code].name}{'' if row.pretrained else ' †'}" for row in rows]
    ax.set(xlim=(0, 1), ylim=(length - 0.5, -0.5))
    ax.set_yticks(range(len(rows)), names, size=5.5)
    ax.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
    ax.tick_params(axis="y", length=0, pad=1)


def _runs(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(sorted(row.training["run_id"] for row in rows))


PARTS = {
    "summary": summary,
    "people": people,
    "spellings": spellings,
    "weakest": weakest,
    "unknown": unknown,
    "budgets": budgets,
}
OF_LANGUAGES = {"all languages": all_languages, "only words": only_words, "spellings": spellings_of_each}


if __name__ == "__main__":
    main(__doc__ or "", LIST, OF_LANGUAGES)
    if main(__doc__ or "", PAGE, PARTS) and (found := shown()):
        FIGURE.mkdir(parents=True, exist_ok=True)
        plot = draw(found)
        write_bytes(FIGURE / f"{plot.name}.png", plot.render("png"))
