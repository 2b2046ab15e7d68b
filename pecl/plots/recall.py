"""Recall per language before and after training, and how much of the gap to English that closes."""

from __future__ import annotations

from collections.abc import Sequence

from pecl.plots.estimates import (
    Estimate,
    Result,
    Setting,
    chosen_cells,
    describe,
    estimate,
    language_name,
    run_ids,
    validation,
)
from pecl.plots.settings import plot_settings
from pecl.plots.style import GREY, NotDrawn, Plot, legend, look, panels, styled

_ROW = 0.17  # inches: height of one route's row


def draw_recall(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a setting: for each language and route recall before (hollow) and after training (filled)."""
    return plot_settings(results, _recall)


def draw_gap_closed(results: Sequence[Result]) -> list[Plot]:
    """Return a plot a setting: gain / (English recall - zero-shot recall), in per cent, for each language and route.

    English is the plain tower's recall with English captions against the same gallery.
    """
    return plot_settings(results, _gap_closed)


def best_of_routes(runs: Sequence[Result]) -> dict[str, dict[str, list[Result]]]:
    """Return language -> series -> runs of the cell with the best validation, whatever its module."""
    found: dict[str, dict[str, list[Result]]] = {}
    for cell in chosen_cells(runs):
        config = cell[0]["config"]
        name = config["route"] + ("" if config["train_on"] == "pairs" else f", {config['train_on']}")
        series = found.setdefault(config["language"], {})
        if name not in series or validation(cell) > validation(series[name]):
            series[name] = cell
    return dict(sorted(found.items(), key=lambda item: language_name(item[0])))


def english_recall(setting: Setting, results: Sequence[Result]) -> Estimate | None:
    """Return the plain tower's recall with English captions in `setting`, if a run of English was made in it."""
    for result in results:
        english = result["config"]["language"] == "en" and "zero_shot" in result["ranks"]["test"]
        if english and Setting.of(result) == setting:
            return estimate([result], "zero_shot")
    return None


@styled
def _recall(setting: Setting, runs: list[Result], results: Sequence[Result]) -> Plot:
    languages = best_of_routes(runs)
    names = sorted({name for series in languages.values() for name in series})
    english = english_recall(setting, results)
    shown = [] if english is None else [english]
    bars = []  # (y, series, before, after)
    ticks, y = [], 0.0
    for series in languages.values():
        first = y
        for name, cell in sorted(series.items()):
            bars.append((y, names.index(name), estimate(cell, "zero_shot"), estimate(cell, "best")))
            y += 1
        ticks.append((first + y - 1) / 2)
        y += 0.8
    shown += [one for _, _, before, after in bars for one in (before, after)]
    title = "Recall before and after training"
    caption = f"Hollow: zero-shot; filled: trained, cell chosen by validation. {describe(setting, shown)}"
    figure, (axes,) = panels(0.75 + max(y, 2) * _ROW, caption)
    for place, index, before, after in bars:
        style = look(index) | {"linestyle": "none"}
        axes.plot([before.mean, after.mean], [place, place], color=style["color"], linewidth=0.8, alpha=0.6)
        axes.errorbar(before.mean, place, xerr=before.error, **style, markerfacecolor="white", elinewidth=0.5)
        axes.errorbar(after.mean, place, xerr=after.error, **style, elinewidth=1)
    for index, name in enumerate(names):
        axes.plot([], [], **(look(index) | {"linestyle": "none"}), label=name)
    if english is not None:
        axes.axvline(english.mean, color=GREY, linestyle=":", label="English, zero-shot")
    axes.set_yticks(ticks, [language_name(code) for code in languages])
    axes.set(xlabel="mean R@1", ylim=(y - 0.5, -0.9), title=title)
    axes.grid(axis="y", visible=False)
    legend(figure, [axes], columns=3)
    return Plot("recall", title, caption, run_ids(shown), figure)


@styled
def _gap_closed(setting: Setting, runs: list[Result], results: Sequence[Result]) -> Plot:
    english = english_recall(setting, results)
    if english is None:
        raise NotDrawn(f"no run of English with the gallery of {setting.text()}; run one with --language en")
    rows, not_behind = [], []
    for code, series in best_of_routes(runs).items():
        for name, cell in sorted(series.items()):
            gap = english.mean - estimate(cell, "zero_shot").mean
            if code == "en":
                continue
            if gap <= 0:
                not_behind.append(code)
                continue
            rows.append((code, name, estimate(cell, "gain").scaled(100 / gap)))
    if not rows:
        raise NotDrawn(f"no trained language is behind English in {setting.text()}")
    languages = list(dict.fromkeys(code for code, _, _ in rows))
    names = sorted({name for _, name, _ in rows})
    title = "Share of the gap to English that is closed"
    shown = [one for _, _, one in rows]
    left_out = f" Not behind English: {', '.join(sorted(set(not_behind)))}." if not_behind else ""
    caption = (
        f"Gain / gap, where the gap is English zero-shot ({english.mean:.3f}) minus the language's, taken as exact. "
        f"{describe(setting, shown)}{left_out}"
    )
    height = len(languages) * (len(names) * _ROW + 0.1) + 0.85
    figure, (axes,) = panels(height, caption)
    thickness = 0.8 / len(names)
    for code, name, one in rows:
        index = names.index(name)
        place = languages.index(code) + (index - (len(names) - 1) / 2) * thickness
        colour = look(index)["color"]
        label = name if code == next(c for c, n, _ in rows if n == name) else None
        axes.barh(place, one.mean, thickness * 0.92, color=colour, label=label, hatch="" if index % 2 == 0 else "////",
                  edgecolor="white", linewidth=0)  # fmt: skip
        axes.errorbar(one.mean, place, xerr=one.error, color="black", linestyle="none", elinewidth=0.8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(languages)), [language_name(code) for code in languages])
    axes.set(xlabel="gap closed, % of the gap in mean R@1", title=title)
    axes.set_ylim(len(languages) - 0.45, -0.55)
    axes.grid(axis="y", visible=False)
    legend(figure, [axes], columns=3)
    return Plot("gap-closed", title, caption, run_ids([*shown, english]), figure)
