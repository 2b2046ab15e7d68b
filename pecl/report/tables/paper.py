"""Tables of our runs in the layout of the method's publication, and published zero-shot scores next to ours.

The former have methods as rows and languages as columns, in per cent: few-shot, all pairs and distillation by language
and route, modules by parameters, and disparity over languages; one table per setup, data set and gallery.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np

from pecl.config.routes import ROUTES
from pecl.data.languages import ENGLISH
from pecl.errors import DataError
from pecl.files.typed_json import encode
from pecl.report.tables.candidates import Candidate, chosen_candidates, setups_of, varying, with_several, without
from pecl.report.tables.disparity import disparity_table
from pecl.report.tables.groups import by_arithmetic, by_group, group_of, grouped
from pecl.report.tables.methods import KINDS
from pecl.report.tables.scores import PARAMETERS, SHARE, TEST_TEXT, ZERO_SHOT, best_places, setting_text
from pecl.report.tables.table import Column, Row, Table, frame_of
from pecl.results.result import Result

_METHODS = dict(zip(ROUTES, ("Baseline 1", "Baseline 2", "Method 1", "Method 2", "Method 3"), strict=True))
_TITLES = ("Few-shot retrieval", "Retrieval after training on all pairs", "Retrieval after distillation from text")
_IN_SIZES = frozenset({"train_on", "train_size", "text", "shots"})  # settings in the setup or the number of pairs
_SIZES = (Column("pairs", "{pairs:,.0f}"), PARAMETERS)
AVERAGE = "avg"


def paper_tables(results: Sequence[Result]) -> list[Table]:
    """Return the publication's tables of complete results.

    Raises:
        DataError: nothing was trained.
    """
    trained = [result for result in results if result.kind == "train"]
    if not trained:
        raise DataError("--paper: expected results of trainings, got none; run pecl train or pecl grid first")
    tables = []
    for setup, own in ((setup, own) for group in by_group(trained).values() for setup, own in setups_of(group).items()):
        found = chosen_candidates(own)
        for kind, title in zip(KINDS, _TITLES, strict=True):
            candidates = [one for one in found if one.method.kind == kind]
            several = with_several(candidates, "adapter")
            compared = [one for one in candidates if one not in several]
            made = [_scores(f"paper-{kind}", title, compared)] if compared else []
            made += [_modules(several)] if several else []
            tables += [replace(table, setup=setup) for table in made]
        if table := disparity_table(found, results):
            tables.append(replace(table, name="paper-disparity", setup=setup))
    return tables


def _scores(name: str, title: str, candidates: Sequence[Candidate]) -> Table:
    different = varying(one.setting for one in candidates)
    order = sorted(candidates, key=lambda one: (list(ROUTES).index(one.route), one.pairs, str(one.setting)))
    lines = grouped(order, lambda one: (one.route, *(pair for pair in one.setting if pair[0] in different)))
    trained = [_row(line) for line in lines.values()]
    starts = grouped(candidates, lambda one: one.query)
    plain = [
        {"method": "Zero-shot", "test_text": query, "run_ids": []}
        | {one.language: one.zero_shot for one in starts[query]}
        for query in ZERO_SHOT
        if query in starts
    ]
    # Columns that distinguish rows of a method: pairs, parameters, then fields; sizes that all rows share go to a note
    sizes = {size: {size.text(row) for row in trained} for size in _SIZES}
    labels = [size for size in _SIZES if len(sizes[size]) > 1]
    shared = ", ".join(f"{size.name} {min(sizes[size])}" for size in _SIZES if size not in labels)
    labels += [Column(name.replace("_", " ")) for name in different if name not in _IN_SIZES]
    columns = Column("method"), *labels, TEST_TEXT
    return _by_language(Table(name, title, None, frame_of(plain + trained), columns), candidates, "test_text", shared)


def _modules(candidates: Sequence[Candidate]) -> Table:
    order = sorted(candidates, key=lambda one: one.adapter.trainable)
    lines = grouped(order, lambda one: (one.adapter.spec, str(without(one, "adapter")[1:])))
    frame, columns = frame_of(list(map(_row, lines.values()))), (Column("module"), Column("method"), PARAMETERS, SHARE)
    table = Table("paper-modules", "Modules by trained parameters", None, frame, columns)
    return _by_language(table, candidates, "method")


def _row(line: Sequence[Candidate]) -> Row:
    first, pairs = line[0], {one.pairs for one in line}
    return {
        "method": _METHODS[first.route],
        "module": first.adapter.spec,
        "pairs": first.pairs if len(pairs) == 1 else float(np.mean(list(pairs))),
        "parameters": first.adapter.trainable,
        "share": first.adapter.share,
        **{name: setting_text(name, value) for name, value in first.setting},
        "test_text": first.query,
        **{one.language: one.mean for one in line},
        **{f"{one.language}_std": one.std for one in line},
        "run_ids": [run_id for one in line for run_id in one.run_ids],
    }


def _by_language(table: Table, candidates: Sequence[Candidate], among: str, shared: str = "") -> Table:
    """Add a column per language, in per cent; the best of the rows with equal values of `among` is bold."""
    codes = sorted({candidate.language for candidate in candidates}, key=lambda code: (code != ENGLISH, code))
    others = [code for code in codes if code != ENGLISH]
    form = "{code:%}" if len(codes) > 6 else "{code:%} ± {code_std:%}"
    by_code = [Column(code, form.replace("code", code)) for code in codes]
    kept = [*(column.name.replace(" ", "_") for column in table.columns), *codes, *(f"{code}_std" for code in codes)]
    frame = table.frame.reindex(columns=[*kept, AVERAGE, "run_ids"])
    frame[AVERAGE] = frame[others].astype(float).mean(axis="columns", skipna=False) if others else None
    remarks = ["in per cent", "candidates chosen by validation", *filter(None, [shared])]
    if len(others) > 1:
        by_code.append(Column(AVERAGE, f"{{{AVERAGE}:%}}"))
        remarks.append(f"{AVERAGE}: mean over the languages other than English")
    best = frozenset().union(*(best_places(frame, (among,), column.name, column.name) for column in by_code))
    columns, runs = (*table.columns, *by_code), [run for one in candidates for run in one.runs]
    return Table(table.name, table.title, group_of(runs[0]), frame, columns, runs, remarks, best=best)


def read_published() -> dict[str, Any]:
    """Return the published table: data set, gallery, metric, unit, languages, rows with their sources."""
    return json.loads((files("pecl") / "report" / "published" / "xtd10_zero_shot.json").read_text("utf-8"))


def published_table(results: Sequence[Result]) -> Table:
    """Return the published scores, each followed by ours of the same towers; scores of our other towers come last.

    Only evaluations of the plain tower on the same data set and gallery are used, with target captions as the test text
    and the published metric; fields without a run stay empty.
    """
    published = read_published()
    used = [
        one
        for one in results
        if one.kind == "evaluate"
        and one.data.dataset == published["dataset"]
        and encode(one.data.gallery) == published["gallery"]
        and one.data.query["test"] == "target"
        and "zero_shot" in one.stages
    ]
    ours = grouped(used, lambda one: (one.towers.text.name, one.towers.image.name if one.towers.image else "unknown"))
    codes = published["languages"]
    k, direction = int(published["metric"].removeprefix("recall@")), published["direction"]

    def our_rows(model: str, runs: Sequence[Result]) -> list[Row]:
        return [
            {"model": model + said, "whose": "ours", "source": "", "run_ids": sorted(one.run_id for one in own)}
            | {one.config.language: 100 * one.recall(stage="zero_shot", k=k, direction=direction) for one in own}
            for said, own in by_arithmetic(runs).items()
        ]

    rows: list[Row] = []
    for entry in published["rows"]:
        own = {"model": entry["model"], "whose": "published", "source": entry["source"], "run_ids": []}
        rows.append(own | entry["scores"])
        rows += our_rows(entry["model"], ours.pop((entry["text_tower"], entry["image_tower"]), []))
    rows += [row for (text, image), found in ours.items() for row in our_rows(f"{text} / {image}", found)]
    frame = frame_of(rows).reindex(columns=["model", "whose", "source", *codes, "run_ids"])
    columns = Column("model"), Column("whose"), *(Column(code, f"{{{code}:.1f}}") for code in codes)
    title = f"Published zero-shot scores on {published['dataset']}, and ours"
    gallery = f"{published['gallery']['size']:,} {published['gallery']['kind']}"
    remarks = [f"metric: {published['metric_name']}, {published['unit']}", f"gallery: {gallery}"]
    if not used:
        remarks.append(f"ours: no run yet; pecl evaluate --dataset {published['dataset']} makes them")
    if kept_out := sum(result.data.dataset == published["dataset"] for result in results) - len(used):
        remarks.append(f"{kept_out} of our runs on {published['dataset']} kept out: trained, or of another gallery")
    remarks.append(f"sources: {'; '.join(dict.fromkeys(entry['source'] for entry in published['rows']))}")
    return Table("published", title, None, frame, columns, used, remarks)
