"""Published zero-shot scores, each with its source, and ours beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from pecl.files.typed_json import encode
from pecl.report.tables.table import Row, Table, numbers, words
from pecl.results.result import Result

NAMES = {"published": "xtd10_zero_shot"}  # value of --against -> file


def read_published(name: str = "published") -> dict[str, Any]:
    """Return a published table: data set, gallery, metric, unit, languages, rows with their sources."""
    return json.loads((files("pecl") / "report" / "published" / f"{NAMES[name]}.json").read_text("utf-8"))


def published_table(published: dict[str, Any], results: Sequence[Result]) -> Table:
    """Return the published scores, ours of the same pair of towers below each, then ours of other pairs.

    Only evaluations of the plain tower on that data set enter, with exactly that gallery, target captions as the test
    text, and scored by that metric; fields where we have no run stay empty.
    """
    ours = _ours(published, results)
    rows: list[Row] = []
    for entry in published["rows"]:
        rows.append(_row(entry["model"], entry["scores"], [], entry["source"]))
        scores = ours.pop((entry["text_tower"], entry["image_tower"]), {})
        rows.append(_our_row(entry["model"], scores))
    rows += [_our_row(f"{text} / {image}", scores) for (text, image), scores in ours.items()]
    codes = published["languages"]
    rows = [{**dict.fromkeys(("model", "whose", "source", *codes)), **row} for row in rows]
    columns = words("model"), words("whose"), *(numbers(code, form=".1f") for code in codes)
    used = tuple(result for result in results if _counts(published, result))
    return Table(
        "published",
        f"Published zero-shot scores on {published['dataset']}, and ours",
        None,
        rows,
        columns,
        used,
        _remarks(published, results, used),
        bootstrap=False,
    )


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


def _ours(published: dict[str, Any], results: Sequence[Result]) -> dict[tuple[str, str], dict[str, Any]]:
    """Return (text tower, image tower) -> language -> (score, run id)."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for result in results:
        if _counts(published, result):
            text, image = result.towers.text, result.towers.image
            pair = (text.name, image.name if image else "unknown")
            k = int(published["metric"].removeprefix("recall@"))
            score = result.recall(stage="zero_shot", k=k, direction=published["direction"])
            found.setdefault(pair, {})[result.config.language] = (100 * score, result.run_id)
    return found


def _counts(published: dict[str, Any], result: Result) -> bool:
    return (
        result.kind == "evaluate"
        and result.data.dataset == published["dataset"]
        and encode(result.data.gallery) == published["gallery"]
        and result.data.query["test"] == "target"
        and "zero_shot" in result.stages
    )


def _our_row(model: str, scores: dict[str, Any]) -> Row:
    values = {code: score for code, (score, _) in scores.items()}
    return _row(model, values, sorted(run_id for _, run_id in scores.values()), "")


def _row(model: str, scores: dict[str, float], run_ids: list[str], source: str) -> Row:
    whose = "published" if source else "ours"
    return {"model": model, "whose": whose, "source": source, **scores, "run_ids": run_ids}
