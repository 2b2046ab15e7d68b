"""Published zero-shot scores, and ours of the same towers below them."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from pecl.errors import command
from pecl.files.typed_json import encode
from pecl.report.selection.groups import by_arithmetic, grouped
from pecl.report.tables.table import Column, Row, Table, frame_of
from pecl.results.result import Result


def read_published() -> dict[str, Any]:
    """Return the published table: data set, gallery, metric, unit, languages, rows with their sources."""
    return json.loads((files("pecl") / "report" / "published" / "xtd10_zero_shot.json").read_text("utf-8"))


def published_table(results: Sequence[Result]) -> Table:
    """Return the published scores, each followed by ours of the same towers; scores of our other towers come last.

    Only evaluations of the base encoder on the same data set and gallery are used, with target captions as the test
    text and the published metric; fields without a run stay empty.
    """
    published = read_published()
    used = [result for result in results if _is_comparable(result, published)]
    by_towers = grouped(used, _towers_of)

    rows: list[Row] = []
    for entry in published["rows"]:
        rows.append(_published_row(entry))
        rows += _our_rows(entry["model"], by_towers.pop((entry["text_tower"], entry["image_tower"]), []), published)
    for (text, image), other_results in by_towers.items():
        rows += _our_rows(f"{text} / {image}", other_results, published)

    codes = published["languages"]
    columns = (Column("model"), Column("whose"), *(Column(code, f"{{{code}:.1f}}") for code in codes))
    title = f"Published zero-shot scores on {published['dataset']}, and ours"
    frame = frame_of(rows).reindex(columns=["model", "whose", "source", *codes, "run_ids"])
    return Table("published", title, None, frame, columns, used, _remarks(published, results, used))


def _is_comparable(result: Result, published: dict[str, Any]) -> bool:
    """Return whether a result is a zero-shot evaluation on the published data, gallery and test text."""
    is_plain = result.kind == "evaluate" and "zero_shot" in result.stages
    same_data = result.data.dataset == published["dataset"] and encode(result.data.gallery) == published["gallery"]
    return is_plain and same_data and result.data.query["test"] == "target"


def _towers_of(result: Result) -> tuple[str, str]:
    image = result.towers.image
    return result.towers.text.name, image.name if image else "unknown"


def _published_row(entry: dict[str, Any]) -> Row:
    row = {"model": entry["model"], "whose": "published", "source": entry["source"], "run_ids": []}
    return row | entry["scores"]


def _our_rows(model: str, results: Sequence[Result], published: dict[str, Any]) -> list[Row]:
    """Return a row of our scores, in per cent, per device and precision; an empty row without results."""
    k = int(published["metric"].removeprefix("recall@"))

    rows = []
    for arithmetic, results_of_row in by_arithmetic(results).items():
        row: Row = {
            "model": model + arithmetic,
            "whose": "ours",
            "source": "",
            "run_ids": sorted(result.run_id for result in results_of_row),
        }
        for result in results_of_row:
            recall = result.recall(stage="zero_shot", k=k, direction=published["direction"])
            row[result.config.language] = 100 * recall
        rows.append(row)
    return rows


def _remarks(published: dict[str, Any], results: Sequence[Result], used: Sequence[Result]) -> list[str]:
    dataset = published["dataset"]
    gallery = f"{published['gallery']['size']:,} {published['gallery']['kind']}"
    remarks = [f"metric: {published['metric_name']}, {published['unit']}", f"gallery: {gallery}"]
    if not used:
        remarks.append(f"ours: no run yet; {command('evaluate', dataset=dataset)} makes them")

    unused = sum(result.data.dataset == dataset for result in results) - len(used)
    if unused:
        remarks.append(f"{unused} of our runs on {dataset} kept out: trained, or of another gallery")

    sources = dict.fromkeys(entry["source"] for entry in published["rows"])
    return [*remarks, f"sources: {'; '.join(sources)}"]
