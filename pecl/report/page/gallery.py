"""The items that test captions retrieved before and after training, as cards of the page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pecl.config import Role, fields_of, make_config
from pecl.data.captions import ParallelCaptions
from pecl.errors import ConfigError, DataError, not_none, setting
from pecl.experiment.loading import load_captions
from pecl.files.images import jpeg_uri, small_jpeg
from pecl.files.progress import Bar
from pecl.language.languages import language_name
from pecl.report.selection.candidates import best_of_methods
from pecl.report.selection.groups import BEST, by_group, group_of
from pecl.report.selection.methods import method_labels
from pecl.report.tables.table import SHORT_ID
from pecl.results.folder import Nearest, read_manifest, read_retrieved
from pecl.results.result import Run, TrainingResult, trainings

FOUND_AT = (1, 5, 10)  # a caption is found if its item is among the first k
ISO_639 = {"jp": "ja"}  # a data set's code -> value of the attribute lang
_IMAGE_SIZE = 120  # pixels of an image's longer side; about 4 KiB per image


@dataclass(frozen=True)
class _Retrieved:
    """The data of a run, and what its test captions retrieved.

    Attributes:
        test: index in the data set of each test caption.
        targets: item in the data set of each test caption: an image, or its English caption.
        nearest: by stage, the items nearest to each test caption.
    """

    data: ParallelCaptions
    test: Sequence[int]
    targets: Sequence[int]
    nearest: Nearest

    def items_of(self, caption: int) -> list[int]:
        """Return all items that the card of a test caption shows."""
        return [self.targets[caption], *self.nearest["zero_shot"][caption], *self.nearest[BEST][caption]]


class Gallery:
    """The items that the best candidate of each language and method retrieved, for `captions` test captions.

    Attributes:
        groups: groups of cards, one per language and method.
        pictures: thumbnails as data: URIs; cards refer to them by number.
        notes: runs that are left out, with the reason: their data are missing, or have changed.

    Raises:
        DataError: an image is damaged.
    """

    def __init__(self, runs: Sequence[Run], captions: int, data_dir: str | Path | None = None) -> None:
        self.groups: list[dict[str, Any]] = []
        self.pictures: list[str] = []
        self._numbers: dict[tuple[str, str], int] = {}  # (data set, image) -> number

        candidates = []
        for group_runs in by_group(trainings(runs)).values():
            candidates += best_of_methods(group_runs)
        labels, _ = method_labels(candidate.method for candidate in candidates)

        load = cache(load_captions)  # routes of a language share their data
        left_out: dict[str, list[str]] = {}  # reason -> runs
        ordered = sorted(candidates, key=lambda candidate: -candidate.gain)  # the page opens on the first
        for candidate in Bar(ordered, desc="pictures", unit="group", leave=False):
            run = candidate.chosen_run
            try:
                retrieved = _read(run, load, data_dir)
            except (ConfigError, DataError) as reason:
                left_out.setdefault(str(reason), []).append(run.run_id[:SHORT_ID])
                continue
            group = self._group(run, retrieved, captions)
            group["look"] = candidate.method.look
            group["label"] = labels[candidate.method] + group["label"]
            self.groups.append(group)
        self.notes = [f"{reason}; left out: runs {', '.join(ids)}" for reason, ids in left_out.items()]

    def _group(self, run: TrainingResult, retrieved: _Retrieved, limit: int) -> dict[str, Any]:
        """Return the cards of at most `limit` test captions of a run, and what its heading shows."""
        gallery = run.data.gallery
        before = run.ranks(gallery.directions[1], stage="zero_shot")
        after = run.ranks(gallery.directions[1], stage=BEST)
        chosen = choose(before, after, limit)
        items = sorted({item for caption in chosen for item in retrieved.items_of(caption)})

        texts = None
        if gallery.kind == "english":
            english = not_none(retrieved.data.english, "english")
            texts = {item: english[item] for item in items}
            numbers = {item: item for item in items}  # their index, since two captions may be equal
        else:
            numbers = self._number_pictures(run, retrieved.data, items)

        code = run.config.language
        query = run.data.query["test"]
        return {
            "language": code,
            "lang": ISO_639.get(code, code),
            "name": language_name(code),
            "query_lang": "en" if query == "target_to_english" else None,
            "label": f", {run.adapter.spec} ({retrieved.data.dataset}, gallery {group_of(run).gallery})",
            "run": run.run_id,
            "captions": len(before),
            "counts": _counts(before, after),
            "texts": texts,
            "cards": [
                _card(retrieved, caption, numbers, query, [before[caption], after[caption]]) for caption in chosen
            ],
        }

    def _number_pictures(self, run: TrainingResult, data: ParallelCaptions, items: Sequence[int]) -> dict[int, int]:
        """Return the number of each item's picture; new ones are added to `pictures`."""
        images = not_none(data.images, "images")
        ids = images.ids  # drawn scenes compute theirs at each access
        numbers = {}
        for item in items:
            number = self._numbers.setdefault((run.config.dataset, ids[item]), len(self.pictures))
            if number == len(self.pictures):
                self.pictures.append(jpeg_uri(small_jpeg(images.load(item), _IMAGE_SIZE)))
            numbers[item] = number
        return numbers


def _card(
    retrieved: _Retrieved, caption: int, numbers: dict[int, int], query: str, ranks: Sequence[int]
) -> dict[str, Any]:
    """Return the card of a test caption; `query` is the column that was searched with."""
    data = retrieved.data
    index = retrieved.test[caption]
    card = {
        "caption": data.target[index],
        "english": data.english[index] if data.english else "",
        "wanted": numbers[retrieved.targets[caption]],
        "before": [numbers[item] for item in retrieved.nearest["zero_shot"][caption]],
        "after": [numbers[item] for item in retrieved.nearest[BEST][caption]],
        "ranks": ranks,
    }
    if query != "target":
        card["query"] = getattr(data, query)[index]
    return card


def _counts(before: Sequence[int], after: Sequence[int]) -> dict[int, dict[str, int]]:
    """Return by k the numbers of captions that training gained among the first k, that it lost, and the others."""
    counts = {}
    for k in FOUND_AT:
        is_hit_before = np.asarray(before) <= k
        is_hit_after = np.asarray(after) <= k
        counts[k] = {
            "gained": int((is_hit_after & ~is_hit_before).sum()),
            "lost": int((is_hit_before & ~is_hit_after).sum()),
            "unchanged": int((is_hit_before == is_hit_after).sum()),
        }
    return counts


def choose(before: Sequence[int], after: Sequence[int], limit: int) -> list[int]:
    """Return the positions of at most `limit` captions, ascending.

    Three eighths are the captions whose rank improved by the largest ratio, three eighths those whose rank worsened by
    the largest ratio; the rest is spread evenly over the captions in between.
    """
    if limit >= len(before):
        return list(range(len(before)))

    order = np.argsort(np.log(after) - np.log(before), kind="stable")
    count = round(limit * 3 / 8)
    gained, between, lost = np.split(order, [count, len(order) - count])
    middle = between[np.linspace(0, len(between) - 1, limit - 2 * count).astype(int)]
    return sorted(np.concatenate([gained, middle, lost]).tolist())


def _read(run: TrainingResult, load: Callable[..., ParallelCaptions], data_dir: str | Path | None) -> _Retrieved:
    """Read the data of a run, and the items that its test captions retrieved.

    Raise DataError if a part is missing, or differs from the data of the run.
    """
    manifest = read_manifest(run)
    nearest = read_retrieved(run)
    if manifest is None or nearest is None:
        raise DataError(
            "The manifest or the retrieved items are missing next to the results: train again to see captions here"
        )

    values = {field: getattr(run.config, field) for field in fields_of(Role.DATA)}
    folder = data_dir or run.config.data_dir
    data = load(make_config({**values, "data_dir": folder and str(folder)}), (run.data.query["test"],))
    changed = _changed_parts(run, data, manifest["gallery"])
    if changed:
        raise DataError(
            f"{data.dataset}/{data.language} is not what its runs were made with: its {changed[0]} differs; point "
            f"{setting('data_dir')} at the data they were made with"
        )

    test = manifest["indices"]["test"]
    targets = test
    if run.data.gallery.kind != "english":
        image_index = not_none(data.image_index, "image_index")
        targets = [image_index[index] for index in test]
    return _Retrieved(data, test, targets, nearest)


def _changed_parts(run: TrainingResult, data: ParallelCaptions, gallery: dict[str, Any]) -> list[str]:
    """Return the columns of captions that differ from those of a run, and `gallery` if its images do."""
    hashes = data.hashes()
    changed = [name for name, sha in run.data.sha256.items() if sha and hashes[name] and hashes[name] != sha]
    if gallery["kind"] == "images":
        ids = data.images.ids if data.images else ()
        if [ids[item] for item in gallery["items"]] != gallery["ids"]:
            changed.append("gallery")
    return changed
