"""Choose test captions, and describe the items that they retrieved before and after training for the page's script.

The page shows the captions that changed most, gains and losses alike, and a sample of the others. Captions and pictures
are read from the data sets, since results hold only indices, and only where the data are those of the run.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from pecl.config import Role, fields_of, make_config
from pecl.data.captions import ParallelCaptions
from pecl.errors import DataError, not_none
from pecl.experiment.inputs import load_captions
from pecl.files.images import ImageSource
from pecl.files.pictures import jpeg_uri, small_jpeg
from pecl.files.progress import Bar
from pecl.languages import language_name
from pecl.report.methods import Method, look_name, method_labels
from pecl.report.tables import BEST, best_of_methods, by_group
from pecl.report.tables.table import SHORT_ID
from pecl.results.result import Result
from pecl.results.side_files import Nearest, read_manifest, read_retrieved
from pecl.retrieval.measures import DIRECTIONS

FOUND_AT = (1, 5, 10)  # a caption is found if its item is among the first k
_CHANGED_SHARE = 0.75  # share of the captions shown
_SIZE = 120  # pixels: the longer side of a picture; about 4 KiB per photograph
MAX_PICTURES = 1500  # about 8 MB; more than these make a page slow
ISO_639 = {"jp": "ja"}  # a data set's code -> value of the attribute lang


def change(before: int, after: int, k: int) -> str:
    """Return `gained` if an item's rank (from 1) came among the first `k`, `lost` if it left them, else `unchanged`."""
    if (before <= k) == (after <= k):
        return "unchanged"
    return "gained" if after <= k else "lost"


def count_changes(before: Sequence[int], after: Sequence[int]) -> dict[int, dict[str, int]]:
    """Count for each k of `FOUND_AT` the test captions that gained, lost, and are unchanged."""
    kinds = ("gained", "lost", "unchanged")
    changes = {k: [change(b, a, k) for b, a in zip(before, after, strict=True)] for k in FOUND_AT}
    return {k: {kind: found.count(kind) for kind in kinds} for k, found in changes.items()}


def choose(before: Sequence[int], after: Sequence[int], limit: int) -> list[int]:
    """Return the places of at most `limit` captions, in order.

    Three quarters are the largest changes, gains and losses in turn while both last: first those that change R@1, then
    R@5, R@10, then by the ratio of their ranks. The rest is evenly distributed over the captions that are left.
    """
    size = len(before)
    if limit >= size:
        return list(range(size))
    improved, worsened = (
        sorted(
            (i for i in range(size) if (after[i] - before[i]) * sign > 0),
            key=lambda i: (-_weight(before[i], after[i]), i),
        )
        for sign in (-1, 1)
    )
    wanted = round(limit * _CHANGED_SHARE)
    losses = min(len(worsened), max(wanted // 2, wanted - len(improved)))
    chosen = set(worsened[:losses]) | set(improved[: wanted - losses])
    others = [i for i in range(size) if i not in chosen]
    missing = limit - len(chosen)
    chosen |= {others[(2 * place + 1) * len(others) // (2 * missing)] for place in range(missing)}
    return sorted(chosen)


def _weight(before: int, after: int) -> float:
    """Weigh a caption's change: each k of `FOUND_AT` that it crosses counts more than any ratio of ranks."""
    crossed = sum(2.0 ** -FOUND_AT.index(k) for k in FOUND_AT if change(before, after, k) != "unchanged")
    return 100 * crossed + abs(math.log(before / after))


@dataclass
class Gallery:
    """Groups of cards, one per language and method; the pictures they name by number; reasons for runs left out.

    Pictures are small, as data: URIs.
    """

    groups: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)  # (data set, image) -> number

    def add_pictures(self, dataset: str, images: ImageSource, indices: Iterable[int]) -> dict[int, int]:
        """Add each of `images` at `indices` once, and return index -> number; the images belong to `dataset`.

        Raises:
            DataError: an image is missing or damaged.
        """
        ids = images.ids  # drawn scenes make theirs at each asking
        found = {}
        for index in indices:
            number = self._numbers.setdefault((dataset, ids[index]), len(self.pictures))
            if number == len(self.pictures):
                self.pictures.append(jpeg_uri(small_jpeg(images.load(index), _SIZE)))
            found[index] = number
        return found


@dataclass(frozen=True)
class _Run:
    """A run with its data, the indices of its test captions in the data, and the items that they retrieved."""

    result: Result
    method: Method
    data: ParallelCaptions
    test: list[int]
    retrieved: Nearest

    @property
    def kind(self) -> str:
        """Kind of the gallery: images, or english."""
        return self.result.data.gallery.kind

    def ranks(self, stage: str) -> Sequence[int]:
        """Return the ranks of the right items of the test captions, `zero_shot` or `best`."""
        return self.result.ranks(DIRECTIONS[self.kind][1], stage=stage)

    def item(self, caption: int) -> int:
        """Return the gallery item that a caption should find."""
        return caption if self.kind == "english" else not_none(self.data.image_index, "image_index")[caption]

    def items(self, place: int) -> set[int]:
        """Return all items that the card of the test caption at `place` shows."""
        found = self.retrieved
        return {self.item(self.test[place]), *found["zero_shot"][place], *found[BEST][place]}


def make_gallery(results: Sequence[Result], captions: int, data_dir: str | Path | None = None) -> Gallery:
    """Return the items that the best candidate of each language and method retrieved, for `captions` test captions.

    Fewer are shown where their pictures would be more than `MAX_PICTURES`.

    Raises:
        DataError: the data found are not those that a run was made with, or an image is damaged.
    """
    runs, notes = _gallery_runs(results, data_dir)
    gallery = Gallery(notes=notes)
    limit = captions
    while limit > 1 and _count_pictures(runs, limit) > MAX_PICTURES:
        limit = limit * 9 // 10
    if runs and limit < captions:
        gallery.notes.append(
            f"{limit} captions per language and method are shown: {captions} need more than {MAX_PICTURES:,} pictures"
        )
    labels = method_labels(run.method for run in runs)
    for run in Bar(runs, desc="pictures", unit="group", leave=False):
        gallery.groups.append(_group(run, labels[run.method], limit, gallery))
    return gallery


def _count_pictures(runs: Sequence[_Run], limit: int) -> int:
    needed: set[tuple[str, int]] = set()
    for run in runs:
        if run.kind == "images":
            places = choose(run.ranks("zero_shot"), run.ranks(BEST), limit)
            # Languages of a data set share their pictures; their indices agree unless images are missing.
            needed |= {(run.data.dataset, item) for place in places for item in run.items(place)}
    return len(needed)


def _group(run: _Run, label: str, limit: int, gallery: Gallery) -> dict[str, Any]:
    """Return the cards of a run and what is said of them; its pictures are added to the gallery."""
    result, data = run.result, run.data
    config, before, after = result.config, run.ranks("zero_shot"), run.ranks(BEST)
    places = choose(before, after, limit)
    texts = run.kind == "english"
    items = sorted({item for place in places for item in run.items(place)})
    # English captions keep their index in the data set, for two of them may read the same.
    shown = {item: item for item in items}
    if not texts:
        shown = gallery.add_pictures(config.dataset, not_none(data.images, "images"), items)
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


def _card(run: _Run, place: int, shown: dict[int, int]) -> dict[str, Any]:
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
    if query != "target":  # the query is another text than the caption
        card["query"] = getattr(run.data, query)[caption]
    return card


def _gallery_runs(results: Sequence[Result], data_dir: str | Path | None) -> tuple[list[_Run], list[str]]:
    """Return the best run of each language and route with its data, and a sentence for each reason to leave runs out.

    Raises:
        DataError: the data found are not those that a run was made with.
    """
    load = cache(load_captions)  # routes of a language share their data
    found: list[_Run] = []
    left_out: dict[str, list[str]] = {}  # reason -> runs
    trained = [result for result in results if result.status == "complete" and result.kind == "train"]
    candidates = (candidate for runs in by_group(trained).values() for candidate in best_of_methods(runs))
    for candidate in sorted(candidates, key=lambda one: -one.gain):  # the page opens on the first
        result = candidate.chosen_run
        try:
            found.append(_with_data(candidate.method, result, load, data_dir))
        except _NotAtHand as reason:
            left_out.setdefault(str(reason), []).append(result.run_id[:SHORT_ID])
    notes = [f"{reason}; left out: run{'s' * (len(runs) > 1)} {', '.join(runs)}" for reason, runs in left_out.items()]
    return found, notes


class _NotAtHand(Exception):
    """A part of a run is missing, so that it cannot be shown; the message names it."""


def _with_data(
    method: Method, result: Result, load: Callable[..., ParallelCaptions], data_dir: str | Path | None
) -> _Run:
    """Return a run with its data; raise _NotAtHand where something is missing."""
    config = result.config
    manifest, retrieved = read_manifest(result), read_retrieved(result)
    if manifest is None or retrieved is None:
        missing = "The manifest of the split is" if manifest is None else "The retrieved items are"
        raise _NotAtHand(f"{missing} not kept next to the results: train again to see captions here")
    query = result.data.query["test"]
    try:
        values = {field: getattr(config, field) for field in fields_of(Role.DATA)}
        data_dir = data_dir or config.data_dir
        data = load(make_config({**values, "data_dir": data_dir and str(data_dir)}), (query,))
    except DataError as error:
        raise _NotAtHand(
            f"The data of {result.data.dataset} cannot be read, so their captions are left out: {error}"
        ) from error
    _check_data(result, manifest, data)
    return _Run(result, method, data, manifest["indices"]["test"], retrieved)


def _check_data(result: Result, manifest: dict[str, Any], data: ParallelCaptions) -> None:
    """Raise DataError unless `data` are those that the result was made from."""
    found = data.hashes()
    wrong = [name for name, sha in result.data.sha256.items() if sha and found[name] and sha != found[name]]
    shown, ids = manifest["gallery"], data.images.ids if data.images else ()
    if shown["kind"] == "images" and [ids[i] for i in shown["items"]] != shown["ids"]:
        wrong.append("gallery")
    if wrong:
        raise DataError(
            f"{data.dataset}/{data.language} is not what run {result.run_id} was made with: its {wrong[0]} differs; "
            "point --data-dir at the data it was made with, or leave the gallery out with --gallery-captions 0"
        )
