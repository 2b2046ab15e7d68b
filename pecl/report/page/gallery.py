"""What was retrieved for test captions before and after training, as the page's script takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pecl.errors import not_none
from pecl.languages import language_name
from pecl.progress import Bar
from pecl.report.colours import look_name
from pecl.report.methods import method_labels
from pecl.report.page.choice import choose, count_changes
from pecl.report.page.gallery_runs import GalleryRun, find_gallery_runs
from pecl.report.page.pictures import Pictures
from pecl.report.tables import BEST
from pecl.results.result import Result

MAX_PICTURES = 1500  # about 8 MB; more than these make a page slow
ISO_639 = {"jp": "ja"}  # a data set's code -> what the attribute lang asks for


@dataclass
class Gallery:
    """Groups of cards, one per language and method; the pictures they name by number; why runs are left out."""

    groups: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_gallery(results: Sequence[Result], captions: int, data_dir: str | Path | None = None) -> Gallery:
    """Return the items that the best candidate of each language and method retrieved, for `captions` test captions.

    Fewer are shown where their pictures would be more than `MAX_PICTURES`.

    Raises:
        DataError: the data found are not those that a run was made with, or an image is damaged.
    """
    runs, notes = find_gallery_runs(results, data_dir)
    gallery = Gallery(notes=notes)
    limit = _fitting(runs, captions)
    if runs and limit < captions:
        gallery.notes.append(
            f"{limit} captions per language and method are shown: {captions} need more than {MAX_PICTURES:,} pictures"
        )
    pictures = Pictures()
    labels = method_labels(run.method for run in runs)
    gallery.groups = [
        _group(run, labels[run.method], limit, pictures)
        for run in Bar(runs, desc="pictures", unit="group", leave=False)
    ]
    gallery.pictures = pictures.uris
    return gallery


def _fitting(runs: Sequence[GalleryRun], captions: int) -> int:
    """Return the most captions per run, up to `captions`, whose pictures are at most `MAX_PICTURES`."""
    limit = captions
    while limit > 1 and _count_pictures(runs, limit) > MAX_PICTURES:
        limit = limit * 9 // 10
    return limit


def _count_pictures(runs: Sequence[GalleryRun], limit: int) -> int:
    needed: set[tuple[str, int]] = set()
    for run in runs:
        if run.kind == "images":
            places = choose(run.ranks("zero_shot"), run.ranks(BEST), limit)
            # Languages of a data set share their pictures; their indices agree unless images are missing.
            needed |= {(run.data.dataset, item) for place in places for item in run.items(place)}
    return len(needed)


def _group(run: GalleryRun, label: str, limit: int, pictures: Pictures) -> dict[str, Any]:
    result, data = run.result, run.data
    config, before, after = result.config, run.ranks("zero_shot"), run.ranks(BEST)
    places = choose(before, after, limit)
    texts = run.kind == "english"
    items = sorted({item for place in places for item in run.items(place)})
    # English captions keep their index in the data set, for two of them may read the same.
    shown = {item: item for item in items}
    if not texts:
        shown = pictures.numbers(config.dataset, not_none(data.images, "images"), items)
    return {
        "language": config.language,
        "lang": ISO_639.get(config.language, config.language),
        "name": language_name(config.language),
        "query_lang": "en" if result.data.query["test"] == "target_to_english" else None,
        "label": f"{label}, {result.adapter.spec} ({data.dataset}, gallery "
        f"{result.data.gallery.size:,} {'English captions' if texts else 'images'})",
        "run": result.run_id,
        "look": look_name(run.method),
        "captions": len(before),
        "counts": count_changes(before, after),
        "texts": {item: not_none(data.english, "english")[item] for item in items} if texts else None,
        "cards": [_card(run, place, shown) for place in places],
    }


def _card(run: GalleryRun, place: int, shown: dict[int, int]) -> dict[str, Any]:
    caption, found = run.test[place], run.retrieved
    query = run.result.data.query["test"]
    card = {
        "caption": run.data.target[caption],
        "english": run.data.english[caption] if run.data.english else "",
        "wanted": shown[run.item(caption)],
        "before": [shown[item] for item in found["zero_shot"][place]],
        "after": [shown[item] for item in found[BEST][place]],
        "ranks": [run.ranks("zero_shot")[place], run.ranks(BEST)[place]],
    }
    if query != "target":  # the text that was searched with is another than the caption
        card["query"] = getattr(run.data, query)[caption]
    return card
