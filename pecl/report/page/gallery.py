"""What was retrieved for test captions before and after training, as the page's script takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pecl.languages import language_name
from pecl.report.page.choice import choose, count_changes
from pecl.report.page.pictures import Pictures
from pecl.report.page.sources import Source, find_sources
from pecl.report.tables import BEST
from pecl.results.result import Result

MAX_PICTURES = 1500  # about 8 MB; more than these make a page slow
ISO_639 = {"jp": "ja"}  # a data set's code -> what the attribute lang asks for


@dataclass
class Gallery:
    """Groups of cards, one a language and route; the pictures they name by number; what is left out, and why."""

    groups: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def make_gallery(results: Sequence[Result], captions: int, data_dir: str | Path | None = None) -> Gallery:
    """Return what the best candidate of each language and route retrieved, for at most `captions` test captions each.

    Fewer are shown where their pictures would be more than `MAX_PICTURES`.

    Raises:
        DataError: the data found are not those that a run was made with, or an image is damaged.
    """
    sources, notes = find_sources(results, data_dir)
    gallery = Gallery(notes=notes)
    limit = _fitting(sources, captions)
    if sources and limit < captions:
        gallery.notes.append(
            f"{limit} captions a language and route are shown: {captions} need more than {MAX_PICTURES:,} pictures"
        )
    pictures = Pictures()
    gallery.groups = [
        _group(source, limit, pictures) for source in tqdm(sources, desc="pictures", unit="group", leave=False)
    ]
    gallery.pictures = pictures.uris
    return gallery


def _fitting(sources: Sequence[Source], captions: int) -> int:
    """Return the most captions a source, up to `captions`, whose pictures are at most `MAX_PICTURES`."""
    limit = captions
    while limit > 1 and _count_pictures(sources, limit) > MAX_PICTURES:
        limit = limit * 9 // 10
    return limit


def _count_pictures(sources: Sequence[Source], limit: int) -> int:
    needed: set[tuple[str, int]] = set()
    for source in sources:
        if source.kind == "images":
            places = choose(source.ranks("zero_shot"), source.ranks(BEST), limit)
            # Languages of a data set share their pictures; their indices agree unless images are missing.
            needed |= {(source.data.dataset, item) for place in places for item in source.items(place)}
    return len(needed)


def _group(source: Source, limit: int, pictures: Pictures) -> dict[str, Any]:
    result, data = source.result, source.data
    config, before, after = result.config, source.ranks("zero_shot"), source.ranks(BEST)
    places = choose(before, after, limit)
    texts = source.kind == "english"
    items = sorted({item for place in places for item in source.items(place)})
    # English captions keep their index in the data set, for two of them may read the same.
    shown = {item: item for item in items} if texts else pictures.numbers(config.dataset, data.images, items)
    return {
        "language": config.language,
        "lang": ISO_639.get(config.language, config.language),
        "name": language_name(config.language),
        "query_lang": "en" if result.data.query["test"] == "target_to_english" else None,
        "label": f"{source.route}, {result.adapter.spec} ({data.dataset}, gallery "
        f"{result.data.gallery.size:,} {'English captions' if texts else 'images'})",
        "run": result.run_id,
        "captions": len(before),
        "counts": count_changes(before, after),
        "texts": {item: data.english[item] for item in items} if texts else None,
        "cards": [_card(source, place, shown) for place in places],
    }


def _card(source: Source, place: int, shown: dict[int, int]) -> dict[str, Any]:
    caption, found = source.test[place], source.retrieved
    query = source.result.data.query["test"]
    card = {
        "caption": source.data.target[caption],
        "english": source.data.english[caption],
        "wanted": shown[source.item(caption)],
        "before": [shown[item] for item in found["zero_shot"][place]],
        "after": [shown[item] for item in found[BEST][place]],
        "ranks": [source.ranks("zero_shot")[place], source.ranks(BEST)[place]],
    }
    if query != "target":  # the text that was searched with is another than the caption
        card["query"] = getattr(source.data, query)[caption]
    return card
