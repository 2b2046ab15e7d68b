"""Tables of publications: the method's own, in its layout from our runs, and published zero-shot scores next to ours.

In the former, methods go down and languages across, in per cent: few-shot, all pairs and distillation by language and
route, modules by parameters, and disparity over languages; one table for each setup of each data set and gallery.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np

from pecl.config.routes import ROUTES
from pecl.data.languages import ENGLISH
from pecl.errors import DataError
from pecl.files.typed_json import encode
from pecl.report.methods import ALL_PAIRS, DISTILLED, FEW_SHOT, KINDS, method_of
from pecl.report.tables import scores
from pecl.report.tables.candidates import Candidate, chosen_candidates, setups_of, varying
from pecl.report.tables.disparity import disparity_table
from pecl.report.tables.groups import by_group, group_of, grouped
from pecl.report.tables.table import Column, Row, Table, frame_of
from pecl.results.result import Result

_METHODS = dict(zip(ROUTES, ("Baseline 1", "Baseline 2", "Method 1", "Method 2", "Method 3"), strict=True))
_TITLES = {
    FEW_SHOT: "Few-shot retrieval",
    ALL_PAIRS: "Retrieval after training on all pairs",
    DISTILLED: "Retrieval after distillation from text",
}
_IN_SIZES = frozenset({"train_on", "train_size", "text", "shots"})  # settings that setup and number of pairs say
_SIZES = (Column("pairs", "{pairs:,.0f}"), scores.PARAMETERS)
AVERAGE = "avg"


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
        several = scores.with_several(candidates, "adapter")
        compared = [one for one in candidates if one not in several]
        yield from [_scores(compared, kind)] if compared else []
        yield from [_modules(several)] if several else []
    if table := disparity_table(chosen_candidates(trained), everything):
        yield replace(table, name="paper-disparity")


def _scores(candidates: Sequence[Candidate], kind: str) -> Table:
    different = varying(one.setting for one in candidates)
    order = sorted(candidates, key=lambda one: (list(ROUTES).index(one.route), one.pairs, str(one.setting)))
    lines = grouped(order, lambda one: (one.route, *(pair for pair in one.setting if pair[0] in different)))
    trained = [_row(line) for line in lines.values()]
    starts = grouped(candidates, lambda one: one.query)
    plain = [
        {"method": "Zero-shot", "test_text": query, "run_ids": []}
        | {one.language: one.zero_shot for one in starts[query]}
        for query in scores.ZERO_SHOT
        if query in starts
    ]
    labels, shared = _labels(trained, different)
    columns = Column("method"), *labels, scores.TEST_TEXT
    return _by_language(f"paper-{kind}", _TITLES[kind], candidates, plain + trained, columns, "test_text", shared)


def _modules(candidates: Sequence[Candidate]) -> Table:
    order = sorted(candidates, key=lambda one: one.runs[0].adapter.trainable)
    lines = grouped(order, lambda one: (one.runs[0].adapter.spec, str(scores.without(one, "adapter")[1:])))
    columns = Column("module"), Column("method"), scores.PARAMETERS, scores.SHARE
    rows = [_row(line) for line in lines.values()]
    return _by_language("paper-modules", "Modules by trained parameters", candidates, rows, columns, "method")


def _row(line: Sequence[Candidate]) -> Row:
    first, pairs = line[0], {one.pairs for one in line}
    return {
        "method": _METHODS[first.route],
        "module": first.runs[0].adapter.spec,
        "pairs": first.pairs if len(pairs) == 1 else float(np.mean(list(pairs))),
        "parameters": first.runs[0].adapter.trainable,
        "share": first.runs[0].adapter.share,
        **{name: scores.setting_text(name, value) for name, value in first.setting},
        "test_text": first.query,
        **{one.language: one.mean for one in line},
        **{f"{one.language}_std": one.std for one in line},
        "run_ids": [run_id for one in line for run_id in one.run_ids],
    }


def _labels(rows: Sequence[Row], different: Sequence[str]) -> tuple[list[Column], str]:
    """Return the columns that tell the rows of a method apart, and the sizes that all rows share in words.

    Pairs and parameters come first, then the fields of `different`.
    """
    said = {size: {size.text(row) for row in rows} for size in _SIZES}
    columns = [size for size in _SIZES if len(said[size]) > 1]
    shared = ", ".join(f"{size.name} {min(said[size])}" for size in _SIZES if size not in columns)
    return columns + [Column(name.replace("_", " ")) for name in different if name not in _IN_SIZES], shared


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
    form = "{%s:%%}" if len(codes) > 6 else "{%s:%%} ± {%s_std:%%}"
    by_code = [Column(code, form.replace("%s", code).replace("%%", "%")) for code in codes]
    frame = frame_of(rows)
    kept = [*(column.name.replace(" ", "_") for column in labels), *codes, *(f"{code}_std" for code in codes)]
    frame = frame.reindex(columns=[*kept, AVERAGE, "run_ids"])
    frame[AVERAGE] = frame[others].astype(float).mean(axis="columns", skipna=False) if others else None
    remarks = ["in per cent", "candidates chosen by validation", *filter(None, [shared])]
    if len(others) > 1:
        by_code.append(Column(AVERAGE, f"{{{AVERAGE}:%}}"))
        remarks.append(f"{AVERAGE}: mean over the languages other than English")
    best = frozenset().union(*(scores.best_places(frame, (among,), column.name, column.name) for column in by_code))
    columns, runs = (*labels, *by_code), scores.runs_of(candidates)
    return Table(name, title, group_of(runs[0]), frame, columns, runs, remarks, best=best)


NAMES = {"published": "xtd10_zero_shot"}  # value of --against -> file


def read_published(name: str = "published") -> dict[str, Any]:
    """Return a published table: data set, gallery, metric, unit, languages, rows with their sources."""
    return json.loads((files("pecl") / "report" / "published" / f"{NAMES[name]}.json").read_text("utf-8"))


def published_table(published: dict[str, Any], results: Sequence[Result]) -> Table:
    """Return the published scores, ours of the same pair of towers below each, then ours of other pairs.

    Only evaluations of the plain tower on that data set enter, with exactly that gallery, target captions as the test
    text, and scored by that metric; fields where we have no run stay empty.
    """
    used = [result for result in results if _counts(published, result)]
    ours = grouped(used, lambda one: (one.towers.text.name, one.towers.image.name if one.towers.image else "unknown"))
    codes = published["languages"]
    k, direction = int(published["metric"].removeprefix("recall@")), published["direction"]

    def row(model: str, whose: str, source: str, found: dict[str, float], runs: Sequence[Result] = ()) -> Row:
        run_ids = sorted(run.run_id for run in runs)
        return {"model": model, "whose": whose, "source": source, **dict.fromkeys(codes), **found, "run_ids": run_ids}

    def our_row(model: str, runs: Sequence[Result]) -> Row:
        recalls = {run.config.language: 100 * run.recall(stage="zero_shot", k=k, direction=direction) for run in runs}
        return row(model, "ours", "", recalls, runs)

    rows: list[Row] = []
    for entry in published["rows"]:
        rows.append(row(entry["model"], "published", entry["source"], entry["scores"]))
        rows.append(our_row(entry["model"], ours.pop((entry["text_tower"], entry["image_tower"]), [])))
    rows += [our_row(f"{text} / {image}", found) for (text, image), found in ours.items()]
    columns = Column("model"), Column("whose"), *(Column(code, f"{{{code}:.1f}}") for code in codes)
    title = f"Published zero-shot scores on {published['dataset']}, and ours"
    gallery = f"{published['gallery']['size']:,} {published['gallery']['kind']}"
    remarks = [f"metric: {published['metric_name']}, {published['unit']}", f"gallery: {gallery}"]
    if not used:
        remarks.append(f"ours: no run yet; pecl evaluate --dataset {published['dataset']} makes them")
    if kept_out := sum(result.data.dataset == published["dataset"] for result in results) - len(used):
        remarks.append(f"{kept_out} of our runs on {published['dataset']} kept out: trained, or of another gallery")
    remarks.append(f"sources: {'; '.join(dict.fromkeys(entry['source'] for entry in published['rows']))}")
    return Table("published", title, None, frame_of(rows), columns, used, remarks)


def _counts(published: dict[str, Any], result: Result) -> bool:
    return (
        result.kind == "evaluate"
        and result.data.dataset == published["dataset"]
        and encode(result.data.gallery) == published["gallery"]
        and result.data.query["test"] == "target"
        and "zero_shot" in result.stages
    )
