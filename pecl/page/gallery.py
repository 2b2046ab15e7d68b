"""What was retrieved for the test captions before and after training, ready for the page.

Captions and pictures are read from the data sets, for results hold indices alone, and only where the data are those
that the run was made with.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pecl.data.captions import ParallelCaptions
from pecl.data.registry import load_dataset
from pecl.data.unreadable import leave_out_unreadable
from pecl.errors import DataError
from pecl.page.choice import choose, count_changes
from pecl.page.pictures import Pictures
from pecl.plots.estimates import best_of_routes, language_name
from pecl.report import BEST, by_group, chosen_cells
from pecl.results import manifest_path
from pecl.routes import TRANSLATIONS

Result = dict[str, Any]
CAPTIONS = 60  # shown for a language and route, unless told otherwise
MAX_PICTURES = 1500  # about 8 MB; more than these make a page slow
ISO_639 = {"jp": "ja"}  # a data set's code -> what the attribute lang asks for
_DIRECTIONS = {"images": "text_to_image", "english": "text_to_english"}


@dataclass
class Gallery:
    """Groups of cards, one a language and route; the pictures and texts they name by number; what is left out, why."""

    groups: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Source:
    """A run with what it was made from: its data, the data's indices of its test captions, and their ranks."""

    result: Result
    route: str
    data: ParallelCaptions
    test: list[int]

    @property
    def kind(self) -> str:
        return self.result["data"]["gallery"]["kind"]

    def ranks(self, which: str) -> list[int]:
        return self.result["ranks"]["test"][which][_DIRECTIONS[self.kind]]

    def item(self, caption: int) -> int:
        """Return the gallery item that a caption should find."""
        return caption if self.kind == "english" else self.data.image_index[caption]

    def items(self, place: int) -> set[int]:
        """Return all items that the card of the test caption at `place` shows."""
        found = self.result["retrieved"]["test"]
        return {self.item(self.test[place]), *found["zero_shot"][place], *found[BEST][place]}


def make_gallery(results: Sequence[Result], data_dir: str | Path | None = None, captions: int = CAPTIONS) -> Gallery:
    """Return what the best cell of each language and route retrieved, for at most `captions` test captions each.

    Fewer are shown where their pictures would be more than `MAX_PICTURES`.

    Raises:
        DataError: the data found are not those that a run was made with, or an image is damaged.
    """
    gallery = Gallery()
    sources = []
    for route, result in _chosen(results):
        source = _source(route, result, data_dir, gallery.notes)
        if source is not None:
            sources.append(source)
    gallery.notes = list(dict.fromkeys(gallery.notes))
    limit = _fitting(sources, captions)
    if sources and limit < captions:
        gallery.notes.append(
            f"{limit} captions a language and route are shown: {captions} need more than {MAX_PICTURES:,} pictures"
        )
    pictures = Pictures()
    gallery.groups = [_group(source, limit, pictures) for source in sources]
    gallery.pictures = pictures.uris
    return gallery


def _chosen(results: Sequence[Result]) -> list[tuple[str, Result]]:
    """Return (route, result) of the cell that validation chose for each group, language and route.

    The group with the most runs comes first.
    """
    trained = [result for result in results if result["status"] == "complete" and result["kind"] == "train"]
    return [
        (route, cell.chosen_run)
        for runs in sorted(by_group(trained).values(), key=len, reverse=True)
        for routes in best_of_routes(chosen_cells(runs)).values()
        for route, cell in sorted(routes.items())
    ]


def _source(route: str, result: Result, data_dir: str | Path | None, notes: list[str]) -> _Source | None:
    """Return a run with its data; where something is not at hand, None, and `notes` has one sentence more."""
    folder = Path(result["path"]).parent if "path" in result else Path(result["config"]["out"])
    path = manifest_path(folder, result["run_id"])
    if "retrieved" not in result or not path.exists():
        notes.append(
            f"Run {result['run_id']} did not record what it retrieved, or {path.name} is missing: run it again."
        )
        return None
    try:
        data = _load(result["config"], result["data"]["query"]["test"], data_dir)
    except DataError as error:
        notes.append(
            f"The data of {result['data']['dataset']} are not at hand, so their captions are left out: {error}."
        )
        return None
    if result["data"]["gallery"]["kind"] == "images" and data.images is None:
        notes.append(f"The images of {result['data']['dataset']} are not at hand, so its captions are left out")
        return None
    _check_data(result, data)
    return _Source(result, route, data, json.loads(path.read_text("utf-8"))["indices"]["test"])


def _load(config: dict[str, Any], query: str, data_dir: str | Path | None) -> ParallelCaptions:
    """Load the data set as the run did."""
    skip_unreadable = config.get("skip_unreadable", False)
    data = load_dataset(
        config["dataset"],
        config["language"],
        data_dir=data_dir or config["data_dir"],
        need=[query] if query in TRANSLATIONS else [],
        split=config["split"],
        allow_missing_images=config["allow_missing_images"] or skip_unreadable,
        allow_copied_translations=config["allow_copied_translations"],
        text_only=config["gallery"] == "english" and not config["image_weight"],
    )
    return leave_out_unreadable(data) if skip_unreadable else data


def _check_data(result: Result, data: ParallelCaptions) -> None:
    """Raise DataError unless `data` are those that the result was made from."""
    found = data.hashes()
    for name, expected in result["data"]["sha256"].items():
        if expected and found[name] and expected != found[name]:
            raise DataError(
                f"{name} captions of {data.dataset}/{data.language} have SHA-256 {found[name][:16]}..., but run "
                f"{result['run_id']} was made with {expected[:16]}...: point --data-dir at the data it was made with, "
                "or leave the gallery out with --gallery-captions 0"
            )


def _fitting(sources: Sequence[_Source], captions: int) -> int:
    """Return the most captions a source, up to `captions`, whose pictures are at most `MAX_PICTURES`."""
    limit = captions
    while limit > 1 and _count_pictures(sources, limit) > MAX_PICTURES:
        limit = limit * 9 // 10
    return limit


def _count_pictures(sources: Sequence[_Source], limit: int) -> int:
    needed: set[tuple[str, int]] = set()
    for source in sources:
        if source.kind == "images":
            places = choose(source.ranks("zero_shot"), source.ranks(BEST), limit)
            # Languages of a data set share their pictures; their indices agree unless images are missing.
            needed |= {(source.data.dataset, item) for place in places for item in source.items(place)}
    return len(needed)


def _group(source: _Source, limit: int, pictures: Pictures) -> dict[str, Any]:
    result, data = source.result, source.data
    config, before, after = result["config"], source.ranks("zero_shot"), source.ranks(BEST)
    places = choose(before, after, limit)
    texts = source.kind == "english"
    numbers = {
        item: data.english[item] if texts else pictures.number(config["dataset"], data.images, item)
        for item in sorted({item for place in places for item in source.items(place)})
    }
    return {
        "language": config["language"],
        "lang": ISO_639.get(config["language"], config["language"]),
        "name": language_name(config["language"]),
        "query_lang": "en" if result["data"]["query"]["test"] == "target_to_english" else None,
        "label": f"{source.route}, {result['adapter']['spec']} ({data.dataset}, gallery "
        f"{result['data']['gallery']['size']:,} {'English captions' if texts else 'images'})",
        "run": result["run_id"],
        "captions": len(before),
        "counts": count_changes(before, after),
        "cards": [_card(source, place, numbers) for place in places],
    }


def _card(source: _Source, place: int, numbers: dict[int, Any]) -> dict[str, Any]:
    caption, found = source.test[place], source.result["retrieved"]["test"]
    query = source.result["data"]["query"]["test"]
    card = {
        "caption": source.data.target[caption],
        "english": source.data.english[caption],
        "wanted": numbers[source.item(caption)],
        "before": [numbers[item] for item in found["zero_shot"][place]],
        "after": [numbers[item] for item in found[BEST][place]],
        "ranks": [source.ranks("zero_shot")[place], source.ranks(BEST)[place]],
    }
    if query != "target":  # the text that was searched with is another than the caption
        card["query"] = getattr(source.data, query)[caption]
    return card
