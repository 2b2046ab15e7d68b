"""Choose test captions, and describe the items that they retrieved before and after training for the page's script.

The page shows the captions that changed most, gains and losses alike, and a sample of the others. Captions and pictures
are read from the data sets, since results hold only indices, and only where the data are those of the run.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pecl.config import Role, fields_of, make_config
from pecl.data.captions import ParallelCaptions
from pecl.data.languages import language_name
from pecl.errors import DataError, not_none
from pecl.experiment.inputs import load_captions
from pecl.files.images import ImageSource, jpeg_uri, small_jpeg
from pecl.files.progress import Bar
from pecl.report.methods import look_name, method_labels
from pecl.report.tables import BEST, best_of_methods, by_group, group_of
from pecl.report.tables.table import SHORT_ID
from pecl.results.result import Result
from pecl.results.side_files import read_manifest, read_retrieved
from pecl.retrieval.measures import DIRECTIONS

FOUND_AT = (1, 5, 10)  # a caption is found if its item is among the first k
_SIZE = 120  # pixels: the longer side of a picture; about 4 KiB per photograph
ISO_639 = {"jp": "ja"}  # a data set's code -> value of the attribute lang


def count_changes(before: Sequence[int], after: Sequence[int]) -> dict[int, dict[str, int]]:
    """Count for each k of `FOUND_AT` the test captions that gained, lost, and are unchanged, from ranks (N,) from 1."""
    found = {}
    for k in FOUND_AT:
        was, now = np.asarray(before) <= k, np.asarray(after) <= k
        kinds = {"gained": now & ~was, "lost": was & ~now, "unchanged": was == now}
        found[k] = {kind: int(own.sum()) for kind, own in kinds.items()}
    return found


def choose(before: Sequence[int], after: Sequence[int], limit: int) -> list[int]:
    """Return the places of at most `limit` captions, in order.

    A half of three quarters are those whose rank gained most by its ratio, the other half those that lost most; the
    rest is evenly distributed over the captions in between.
    """
    if limit >= len(before):
        return list(range(len(before)))
    order = np.argsort(np.log(after) - np.log(before), kind="stable")
    most = round(limit * 3 / 8)
    gained, between, lost = np.split(order, [most, len(order) - most])
    rest = between[np.linspace(0, len(between) - 1, limit - 2 * most).astype(int)]
    return sorted(np.concatenate([gained, rest, lost]).tolist())


@dataclass
class Gallery:
    """Groups of cards, one per language and method; the pictures they name by number; reasons for runs left out.

    Pictures are small, as data: URIs.
    """

    groups: list[dict[str, Any]] = field(default_factory=list)
    pictures: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    _numbers: dict[tuple[str, str], int] = field(default_factory=dict)  # (data set, image) -> number

    def add_picture(self, dataset: str, images: ImageSource, index: int, ids: Sequence[str]) -> int:
        """Add the image at `index` of a data set, unless it is there, and return its number."""
        number = self._numbers.setdefault((dataset, ids[index]), len(self.pictures))
        if number == len(self.pictures):
            self.pictures.append(jpeg_uri(small_jpeg(images.load(index), _SIZE)))
        return number


def make_gallery(results: Sequence[Result], captions: int, data_dir: str | Path | None = None) -> Gallery:
    """Return the items that the best candidate of each language and method retrieved, for `captions` test captions.

    A run whose data are not at hand, or are not those that it was made with, is left out with a note.

    Raises:
        DataError: an image is damaged.
    """
    gallery, load = Gallery(), cache(load_captions)  # routes of a language share their data
    trained = [result for result in results if result.status == "complete" and result.kind == "train"]
    candidates = [candidate for runs in by_group(trained).values() for candidate in best_of_methods(runs)]
    labels = method_labels(candidate.method for candidate in candidates)
    left_out: dict[str, list[str]] = {}  # reason -> runs
    order = sorted(candidates, key=lambda one: -one.gain)  # the page opens on the first
    for one in Bar(order, desc="pictures", unit="group", leave=False):
        try:
            data = _data(one.chosen_run, load, data_dir)
        except DataError as reason:
            left_out.setdefault(str(reason), []).append(one.chosen_run.run_id[:SHORT_ID])
            continue
        gallery.groups.append(_group(one.chosen_run, data, captions, gallery))
        gallery.groups[-1] |= {"look": look_name(one.method), "label": labels[one.method] + gallery.groups[-1]["label"]}
    gallery.notes = [f"{reason}; left out: runs {', '.join(runs)}" for reason, runs in left_out.items()]
    return gallery


def _group(result: Result, data: ParallelCaptions, limit: int, gallery: Gallery) -> dict[str, Any]:
    test = not_none(read_manifest(result), "manifest")["indices"]["test"]
    retrieved = not_none(read_retrieved(result), "retrieved items")
    kind, query = result.data.gallery.kind, result.data.query["test"]
    before, after = (result.ranks(DIRECTIONS[kind][1], stage=stage) for stage in ("zero_shot", BEST))
    wanted = [one if kind == "english" else not_none(data.image_index, "image_index")[one] for one in test]
    places = choose(before, after, limit)
    items = sorted({item for p in places for item in (wanted[p], *retrieved["zero_shot"][p], *retrieved[BEST][p])})
    # English captions keep their index in the data set, for two of them may read the same.
    shown = {item: item for item in items}
    if kind != "english":
        images = not_none(data.images, "images")
        ids = images.ids  # drawn scenes make theirs at each asking
        shown = {item: gallery.add_picture(result.config.dataset, images, item, ids) for item in items}
    cards = [
        {
            "caption": data.target[test[place]],
            "english": data.english[test[place]] if data.english else "",
            "wanted": shown[wanted[place]],
            "before": [shown[item] for item in retrieved["zero_shot"][place]],
            "after": [shown[item] for item in retrieved[BEST][place]],
            "ranks": [before[place], after[place]],
            # where the query is another text than the caption
            **({"query": getattr(data, query)[test[place]]} if query != "target" else {}),
        }
        for place in places
    ]
    code = result.config.language
    return {
        "language": code,
        "lang": ISO_639.get(code, code),
        "name": language_name(code),
        "query_lang": "en" if query == "target_to_english" else None,
        "label": f", {result.adapter.spec} ({data.dataset}, gallery {group_of(result).gallery})",
        "run": result.run_id,
        "captions": len(before),
        "counts": count_changes(before, after),
        "texts": {item: not_none(data.english, "english")[item] for item in items} if kind == "english" else None,
        "cards": cards,
    }


def _data(result: Result, load: Callable[..., ParallelCaptions], data_dir: str | Path | None) -> ParallelCaptions:
    """Return the data of a run; raise DataError where a part is missing, or is not what the result was made from."""
    manifest = read_manifest(result)
    if manifest is None or read_retrieved(result) is None:
        raise DataError("Manifest or retrieved items are not next to the results: train again to see captions here")
    values = {field: getattr(result.config, field) for field in fields_of(Role.DATA)}
    folder = data_dir or result.config.data_dir
    data = load(make_config({**values, "data_dir": folder and str(folder)}), (result.data.query["test"],))
    found, shown = data.hashes(), manifest["gallery"]
    wrong = [name for name, sha in result.data.sha256.items() if sha and found[name] and sha != found[name]]
    ids = data.images.ids if data.images else ()
    if shown["kind"] == "images" and [ids[i] for i in shown["items"]] != shown["ids"]:
        wrong.append("gallery")
    if wrong:
        raise DataError(
            f"{data.dataset}/{data.language} is not what its runs were made with: its {wrong[0]} differs; point "
            "--data-dir at the data they were made with"
        )
    return data
