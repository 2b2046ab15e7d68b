"""Generate tables from the shipped results: docs/results.md and results/measured/README.md.

python tools/results_tables.py            print them as Markdown
python tools/results_tables.py --write    write them into both pages, between their marks
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from marked import ROOT, complete, main, per_cent, table, trained

from pecl.errors import not_none
from pecl.language.languages import ENGLISH
from pecl.report.selection.candidates import Candidate, chosen_candidates
from pecl.report.selection.groups import group_of, intervals
from pecl.report.significance import holm, sign_flip_p
from pecl.report.tables.disparity import find_english
from pecl.report.tables.scores import COMPARISONS
from pecl.results.result import Result, TrainingResult
from pecl.retrieval.measures import DIRECTIONS, RECALL_AT

PAGE = ROOT / "docs" / "results.md"
TABLES = ROOT / "results" / "measured" / "README.md"
LANGUAGES = ("cs", "de", "fr")


def score(value: float) -> str:
    """Format a recall."""
    return f"{value:.3f}"


def mean_and_std(mean: float, std: float) -> str:
    """Format a mean with its standard deviation; only the mean if there is one seed."""
    return score(mean) + ("" if math.isnan(std) else f" ± {std:.3f}")


def with_interval(gains: Sequence) -> list[str]:
    """Format the mean of each array (N,) of gains per test item, with its interval."""
    return [
        f"{own.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
        for own, (low, high) in zip(gains, intervals(gains).tolist(), strict=True)
    ]


def zero_shot_table() -> str:
    """Tabulate the base encoder's recall in both directions."""
    results = sorted(complete("zero_shot"), key=lambda result: -result.recall())
    rows = []
    for result, (low, high) in zip(results, intervals([one.hits() for one in results]).tolist(), strict=True):
        both = [result.measured().directions[name].recall for name in DIRECTIONS["images"]]
        recalls = [" / ".join(score(own[k]) for k in RECALL_AT) for own in both]
        rows.append([result.config.language, *recalls, score(result.recall()), f"[{low:.3f}, {high:.3f}]"])

    head = ["", "image to text R@1 / 5 / 10", "text to image R@1 / 5 / 10", "mean R@1", "interval"]
    return table(head, rows)


def candidates() -> dict[tuple[str, str], Candidate]:
    """Return (language, route) -> the candidate selected by validation."""
    return {(one.language, one.route): one for one in chosen_candidates(trained("routes"))}


def routes_table() -> str:
    """Tabulate the routes that search with the language's captions."""
    found = candidates()
    routes = ("baseline1", "method1", "method2")
    rows = []
    for language in (*LANGUAGES, ENGLISH):
        own = [found.get((language, route)) for route in routes]
        rows.append(
            [
                language,
                score(next(one for one in own if one).zero_shot),
                *(mean_and_std(one.mean, one.std) if one else "" for one in own),
            ]
        )

    return table(["", "zero-shot", *routes], rows)


def translated_table() -> str:
    """Tabulate the routes that search with translations into English."""
    found = candidates()
    routes = ("baseline2", "method3")
    rows = []
    for language in LANGUAGES:
        own = [found[language, route] for route in routes]
        rows.append([language, score(own[0].zero_shot), *(mean_and_std(one.mean, one.std) for one in own)])
    return table(["", "zero-shot", *routes], rows)


def routes_sentences() -> str:
    """Summarise the tables of the routes in sentences."""
    found = candidates()
    pairs = [
        (found[language, aligned], found[language, baseline])
        for language in LANGUAGES
        for aligned, baseline in COMPARISONS
        if (language, aligned) in found and (language, baseline) in found
    ]
    differences = [one.trained_hits - other.trained_hits for one, other in pairs]
    above = [pair for pair, low in zip(pairs, intervals(differences)[:, 0], strict=True) if low > 0]
    corrected = holm([sign_flip_p(values) for values in differences])
    left = [p for p in corrected if p < 0.05]
    largest = max(found.values(), key=lambda one: one.mean - one.zero_shot)

    return (
        f"{_number(len(above))} of {len(pairs)} paired differences between an aligned route and its baseline "
        f"{'has' if len(above) == 1 else 'have'} an interval above zero; after Holm's correction "
        f"{_number(len(left)).lower()} of them {'differ' if len(left) > 1 else 'differs'} from zero at the level of "
        f"0.05 (smallest corrected p {min(corrected):.2g}). The largest gain of a route over zero-shot is "
        f"{with_interval([largest.gains])[0]}, by {largest.route} in {largest.language}."
    )


def _number(count: int) -> str:
    return ("None", "One", "Two")[count] if count < 3 else str(count)


def share(run: TrainingResult) -> float:
    """Return the share of the gap to English, in mean R@1, that a training closes."""
    english = not_none(find_english(trained("routes"), group_of(run), run.config.precision), "a result of English")
    before = run.recall(stage="zero_shot")
    return (run.recall(stage="best") - before) / (english.recall(stage="zero_shot") - before)


def text_route_table() -> str:
    """Tabulate a route on translated text alone, by language, amount of text and learning rate."""
    runs = [*trained("distill"), *trained("full_data")]
    runs.sort(key=lambda run: (run.config.language, run.data.split["train"], run.config.lr))
    rows = [
        [
            run.config.language,
            f"{run.data.split['train']:,}",
            f"{run.config.lr:g}",
            score(run.recall("val", "best")),
            score(run.recall(stage="zero_shot")),
            f"**{score(run.recall(stage='best'))}**",
            gained,
            per_cent(share(run)),
            *(score(run.measured(stage=stage).mean_recall) for stage in ("zero_shot", "best")),
        ]
        for run, gained in zip(runs, with_interval([run.gains for run in runs]), strict=True)
    ]
    head = ",pairs,lr,validation,zero-shot,trained,gain [95 %],share of the gap,mean R before,after"
    return table(head.split(","), rows)


def text_to_text_table() -> str:
    """Tabulate R@1 of captions against English captions on XTD10, with and without the linear layer."""
    kept = {name: complete(f) for name, f in (("mini", "xtd10"), ("mini-pooled", "xtd10_pooled"))}
    found = {
        name: {run.config.language: float(run.hits().mean()) for run in own if _plain(run)}
        for name, own in kept.items()
    }
    order = sorted(found["mini"], key=lambda language: -found["mini"][language])
    rows = [[name, *(score(own[language]) for language in order)] for name, own in found.items()]
    return table(["text tower", *order], rows)


def _plain(run: Result) -> bool:
    return run.kind == "evaluate" and run.config.language != ENGLISH


def pairs_table() -> str:
    """Tabulate trainings on pairs of texts, tested against English captions."""
    runs = [one.chosen_run for one in chosen_candidates(trained("xtd10"))] + trained("official")
    runs.sort(key=lambda run: (run.data.dataset, run.data.split["train"]), reverse=True)
    rows = [
        [
            run.data.dataset,
            run.config.language,
            f"{run.data.split['train']:,}",
            score(run.recall(stage="zero_shot")),
            f"**{score(run.recall(stage='best'))}**",
            gained,
        ]
        for run, gained in zip(runs, with_interval([run.gains for run in runs]), strict=True)
    ]
    return table(["data set", "language", "pairs", "zero-shot", "trained", "gain [95 %]"], rows)


def adapters_table() -> str:
    """Tabulate cost and gain per adapter, in order of parameters."""
    by_spec: dict[str, dict[str, Result]] = {}
    for run in sorted(trained("adapters"), key=lambda run: run.adapter.trainable):
        by_spec.setdefault(run.adapter.spec, {})[run.config.language] = run

    rows = []
    for spec, own in by_spec.items():
        de = own["de"]
        cost = [f"{de.adapter.trainable:,}", f"{de.adapter.share:.3%}".replace("%", " %")]
        measured = [f"{de.seconds.per_step:.2f}", f"{de.peak_memory_mb:.0f}"]
        scores = [
            text
            for code in ("cs", "de")
            for text in (score(own[code].recall(stage="best")), with_interval([own[code].gains])[0])
        ]
        rows.append([f"`{spec}`", *cost, *measured, *scores])

    starts = {code: score(next(iter(by_spec.values()))[code].recall(stage="zero_shot")) for code in ("cs", "de")}
    named = [text for code, start in starts.items() for text in (f"{code}, from {start}", "gain")]
    return table(["adapter", "parameters", "share", "s/step", "peak MiB", *named], rows)


def topmost_table() -> str:
    """Tabulate the few-shot route with LoRA in all layers with dropout, and in the topmost layers without."""
    by_layers: dict[tuple[str | None, bool], list[Result]] = {}
    for run in trained("layers"):
        by_layers.setdefault((run.config.adapter_layers, run.config.dropout), []).append(run)

    found = {layers: chosen_candidates(runs)[0] for layers, runs in by_layers.items()}
    first = found[None, True]

    rows = []
    for (layers, dropout), one in sorted(found.items(), key=lambda item: -item[1].runs[0].adapter.trainable):
        less = ""
        if one is not first:
            less = with_interval([one.trained_hits - first.trained_hits])[0]
        named = [layers or "all", "yes" if dropout else "no", f"{one.runs[0].adapter.trainable:,}", str(len(one.seeds))]
        rows.append(
            [*named, score(one.zero_shot), mean_and_std(one.mean, one.std), with_interval([one.gains])[0], less]
        )

    head = "LoRA in,dropout,parameters,seeds,zero-shot,trained,gain,minus the first row"
    return table(head.split(","), rows)


PARTS = {
    "zero-shot": zero_shot_table,
    "routes": routes_table,
    "translated": translated_table,
    "summary of the routes": routes_sentences,
    "text to text": text_to_text_table,
    "pairs of texts": pairs_table,
}
MORE = {"text alone": text_route_table, "adapters": adapters_table, "topmost layers": topmost_table}


if __name__ == "__main__":
    main(__doc__ or "", PAGE, PARTS)
    main(__doc__ or "", TABLES, MORE)
