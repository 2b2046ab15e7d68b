"""Tables of publications: the method's own, in its layout from our runs, and published zero-shot scores next to ours.

In the former, methods go down and languages across, in per cent.

Few-shot, all pairs and distillation by language and route, modules by parameters, and disparity over languages: one
table for each setup of each data set and gallery.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from importlib.resources import files
from typing import Any

import numpy as np

from pecl.config.routes import ROUTES
from pecl.errors import DataError
from pecl.files.typed_json import encode
from pecl.languages import ENGLISH
from pecl.report.methods import ALL_PAIRS, DISTILLED, FEW_SHOT, KINDS, method_of
from pecl.report.tables.candidates import Candidate, chosen_candidates, setups_of
from pecl.report.tables.disparity import disparity_table
from pecl.report.tables.groups import by_group, grouped, one_group
from pecl.report.tables.scores import (
    TEST_TEXT,
    ZERO_SHOT,
    best_places,
    runs_of,
    setting_text,
    varying_fields,
    with_several,
    without,
)
from pecl.report.tables.table import Column, Row, Table, frame_of, numbers, words
from pecl.results.result import Result

_METHODS = {
    "baseline1": "Baseline 1",
    "baseline2": "Baseline 2",
    "method1": "Method 1",
    "method2": "Method 2",
    "method3": "Method 3",
}
_TITLES = {
    FEW_SHOT: "Few-shot retrieval",
    ALL_PAIRS: "Retrieval after training on all pairs",
    DISTILLED: "Retrieval after distillation from text",
}
_IN_SIZES = frozenset({"train_on", "train_size", "text", "shots"})  # settings that setup and number of pairs say
AVERAGE = "avg"
_AVERAGED = f"{AVERAGE}: mean over the languages other than English"


def paper_tables(results: Sequence[Result]) -> list[Table]:
    """Return the publication's tables of complete results.

    Raises:
        DataError: nothing was trained.
    """
    trained = [result for result in results if result.kind == "train"]
    if not trained:
        raise DataError("--paper: expected results of trainings, got none; run pecl train or pecl grid first")
    return [
        replace(table, setup=setup)
        for group in by_group(trained).values()
        for setup, own in setups_of(group).items()
        for table in _setup_tables(own, results)
    ]


def _setup_tables(trained: Sequence[Result], everything: Sequence[Result]) -> Iterator[Table]:
    for kind in KINDS:
        candidates = chosen_candidates([result for result in trained if method_of(result).kind == kind])
        several = with_several(candidates, "adapter")
        compared = [one for one in candidates if one not in several]
        yield from [_scores(compared, kind)] if compared else []
        yield from [_modules(several)] if several else []
    if table := disparity_table(chosen_candidates(trained), everything):
        yield replace(table, name="paper-disparity")


def _scores(candidates: Sequence[Candidate], kind: str) -> Table:
    """Return methods by languages: the plain tower on each test text, then each route."""
    different = varying_fields(candidates)
    order = sorted(candidates, key=lambda one: (list(ROUTES).index(one.route), one.pairs, str(one.setting)))
    lines = grouped(order, lambda one: (one.route, *(pair for pair in one.setting if pair[0] in different)))
    trained = [_row(line) for line in lines.values()]
    plain = [
        {"method": "Zero-shot", "test_text": query, "run_ids": []}
        | {one.language: one.zero_shot for one in candidates if one.query == query}
        for query in ZERO_SHOT
        if any(one.query == query for one in candidates)
    ]
    labels, shared = _labels(trained, different)
    columns = words("method"), *labels, TEST_TEXT
    return _by_language(f"paper-{kind}", _TITLES[kind], candidates, plain + trained, columns, "test_text", shared)


def _modules(candidates: Sequence[Candidate]) -> Table:
    """Return modules by languages, the one with fewest parameters first."""
    order = sorted(candidates, key=lambda one: one.runs[0].adapter.trainable)
    lines = grouped(order, lambda one: (one.runs[0].adapter.spec, str(without(one, "adapter")[1:])))
    columns = words("module"), words("method"), numbers("parameters", form=","), numbers("share", form=".3%")
    rows = [_row(line) for line in lines.values()]
    return _by_language("paper-modules", "Modules by trained parameters", candidates, rows, columns, "method")


def _row(line: Sequence[Candidate]) -> Row:
    """Return the row of candidates that differ only in their language."""
    first, pairs = line[0], {one.pairs for one in line}
    return {
        "method": _METHODS[first.route],
        "module": first.runs[0].adapter.spec,
        "pairs": first.pairs if len(pairs) == 1 else float(np.mean(list(pairs))),
        "parameters": first.runs[0].adapter.trainable,
        "share": first.runs[0].adapter.share,
        **{name: setting_text(name, value) for name, value in first.setting},
        "test_text": first.query,
        **{one.language: one.mean for one in line},
        **{f"{one.language}_std": one.std for one in line},
        "run_ids": [run_id for one in line for run_id in one.run_ids],
    }


def _labels(rows: Sequence[Row], different: Sequence[str]) -> tuple[list[Column], str]:
    """Return the columns that tell the rows of a method apart, and the sizes that all rows share in words.

    Pairs and parameters come first, then the first fields of `different` that are needed.
    """
    frame = frame_of(rows)
    columns = [size for size in _SIZES if len(set(size.texts(frame))) > 1]
    shared = ", ".join(f"{size.name} {size.texts(frame)[0]}" for size in _SIZES if size not in columns)
    for name in (name for name in different if name not in _IN_SIZES):
        labels = zip(frame["method"], *(column.texts(frame) for column in columns), strict=True)
        if len(set(labels)) < len(rows):
            columns.append(words(name.replace("_", " "), name))
    return columns, shared


def _by_language(
    name: str,
    title: str,
    candidates: Sequence[Candidate],
    rows: Sequence[Row],
    labels: Sequence[Column],
    among: str,
    shared: str = "",
) -> Table:
    """Return rows with a column per language, in per cent, the best of those with equal values of `among` bold."""
    codes = sorted({candidate.language for candidate in candidates}, key=lambda code: (code != ENGLISH, code))
    others = [code for code in codes if code != ENGLISH]
    form = partial(_per_cent, brief=len(codes) > 6)
    scores = [numbers(code, code, f"{code}_std", form=form) for code in codes]
    scores += [numbers(AVERAGE, form=form)] if len(others) > 1 else []
    keys = [key for column in (*labels, *scores) for key in column.keys]
    rows = [
        {**{key: row.get(key) for key in keys}, AVERAGE: _mean(row, others), "run_ids": row["run_ids"]} for row in rows
    ]
    best = [best_places(rows, (among,), column.name, column.name) for column in scores]
    averaged = _AVERAGED if len(others) > 1 else ""
    remarks = tuple(filter(None, ["in per cent", "candidates chosen by validation", shared, averaged]))
    runs, marked = runs_of(candidates), frozenset().union(*best)
    frame, columns = frame_of(rows), (*labels, *scores)
    return Table(name, title, one_group(runs), frame, columns, runs, remarks, bootstrap=False, best=marked)


def _mean(row: Row, codes: Sequence[str]) -> float | None:
    """Return the mean score of the languages `codes`; None where one is missing, or there are none."""
    return float(np.mean([row[code] for code in codes])) if codes and all(code in row for code in codes) else None


def _pairs(count: float) -> str:
    """Return a number of pairs, or their mean over languages, as text."""
    return f"{count:,}" if isinstance(count, int) else f"about {round(count, -2):,.0f}"


def _per_cent(score: float, std: float | None = None, *, brief: bool) -> str:
    value = f"{round(1000 * score, 6):.0f}"  # tenths of a per cent; rounded first, so that 0.9435 does not become 94.3
    shown = f"{int(value) / 10:.1f}"
    return shown if brief or std is None or math.isnan(std) else f"{shown} ± {100 * std:.1f}"


_SIZES = (numbers("pairs", form=_pairs), numbers("parameters", form=","))


NAMES = {"published": "xtd10_zero_shot"}  # value of --against -> file


def read_published(name: str = "published") -> dict[str, Any]:
    """Return a published table: data set, gallery, metric, unit, languages, rows with their sources."""
    return json.loads((files("pecl") / "report" / "published" / f"{NAMES[name]}.json").read_text("utf-8"))


def published_table(published: dict[str, Any], results: Sequence[Result]) -> Table:
    """Return the published scores, ours of the same pair of towers below each, then ours of other pairs.

    Only evaluations of the plain tower on that data set enter, with exactly that gallery, target captions as the test
    text, and scored by that metric; fields where we have no run stay empty.
    """
    used = tuple(result for result in results if _counts(published, result))
    ours: dict[tuple[str, str], dict[str, Result]] = {}  # (text tower, image tower) -> language -> evaluation
    for result in used:
        text, image = result.towers.text, result.towers.image
        ours.setdefault((text.name, image.name if image else "unknown"), {})[result.config.language] = result
    codes = published["languages"]
    k, direction = int(published["metric"].removeprefix("recall@")), published["direction"]

    def our_row(model: str, found: dict[str, Result]) -> Row:
        scores = {code: 100 * run.recall(stage="zero_shot", k=k, direction=direction) for code, run in found.items()}
        run_ids = sorted(run.run_id for run in found.values())
        return {"model": model, "whose": "ours", "source": "", **dict.fromkeys(codes), **scores, "run_ids": run_ids}

    rows: list[Row] = []
    for entry in published["rows"]:
        said = {"model": entry["model"], "whose": "published", "source": entry["source"]}
        rows.append({**said, **dict.fromkeys(codes), **entry["scores"], "run_ids": []})
        rows.append(our_row(entry["model"], ours.pop((entry["text_tower"], entry["image_tower"]), {})))
    rows += [our_row(f"{text} / {image}", found) for (text, image), found in ours.items()]
    columns = words("model"), words("whose"), *(numbers(code, form=".1f") for code in codes)
    title = f"Published zero-shot scores on {published['dataset']}, and ours"
    remarks = _remarks(published, results, used)
    return Table("published", title, None, frame_of(rows), columns, used, remarks, bootstrap=False)


def _remarks(published: dict[str, Any], results: Sequence[Result], used: Sequence[Result]) -> tuple[str, ...]:
    kept_out = sum(result.data.dataset == published["dataset"] for result in results) - len(used)
    gallery = f"{published['gallery']['size']:,} {published['gallery']['kind']}"
    remarks = [f"metric: {published['metric_name']}, {published['unit']}", f"gallery: {gallery}"]
    if not used:
        remarks.append(f"ours: no run yet; pecl evaluate --dataset {published['dataset']} makes them")
    if kept_out:
        remarks.append(f"{kept_out} of our runs on {published['dataset']} kept out: trained, or of another gallery")
    sources = dict.fromkeys(row["source"] for row in published["rows"])
    return (*remarks, f"sources: {'; '.join(sources)}")


def _counts(published: dict[str, Any], result: Result) -> bool:
    return (
        result.kind == "evaluate"
        and result.data.dataset == published["dataset"]
        and encode(result.data.gallery) == published["gallery"]
        and result.data.query["test"] == "target"
        and "zero_shot" in result.stages
    )
