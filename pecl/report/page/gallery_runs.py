"""The runs whose retrieved items the page shows, each with the data that it was made from.

Captions and pictures are read from the data sets, since results hold only indices, and only where the data are those
that the run was made with.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pecl.config import Role, fields_of, make_config
from pecl.data.captions import ParallelCaptions
from pecl.errors import DataError, not_none
from pecl.experiment.inputs import load_captions
from pecl.report.methods import Method
from pecl.report.tables import BEST, best_of_methods, by_group, candidates_by_method
from pecl.report.tables.table import SHORT_ID
from pecl.results.result import Result
from pecl.results.side_files import Nearest, read_manifest, read_retrieved
from pecl.retrieval.measures import DIRECTIONS


@dataclass(frozen=True)
class GalleryRun:
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


def find_gallery_runs(results: Sequence[Result], data_dir: str | Path | None) -> tuple[list[GalleryRun], list[str]]:
    """Return the best run of each language and route with its data, and a sentence for each reason to leave runs out.

    Raises:
        DataError: the data found are not those that a run was made with.
    """
    load = cache(load_captions)  # routes of a language share their data
    found: list[GalleryRun] = []
    left_out: dict[str, list[str]] = {}  # reason -> runs
    for method, result in _chosen(results):
        try:
            found.append(_gallery_run(method, result, load, data_dir))
        except _NotAtHand as reason:
            left_out.setdefault(str(reason), []).append(result.run_id[:SHORT_ID])
    notes = [f"{reason}; left out: run{'s' * (len(runs) > 1)} {', '.join(runs)}" for reason, runs in left_out.items()]
    return found, notes


class _NotAtHand(Exception):
    """A part of a run is missing, so that it cannot be shown; the message names it."""


def _chosen(results: Sequence[Result]) -> list[tuple[Method, Result]]:
    """Return (method, result) of the candidate that validation chose for each group, language and method.

    The group with the most runs comes first.
    """
    trained = [result for result in results if result.status == "complete" and result.kind == "train"]
    return [
        (method, candidate.chosen_run)
        for runs in sorted(by_group(trained).values(), key=len, reverse=True)
        for methods in best_of_methods(candidates_by_method(runs)).values()
        for method, candidate in sorted(methods.items(), key=lambda item: item[0].order)
    ]


def _gallery_run(
    method: Method, result: Result, load: Callable[..., ParallelCaptions], data_dir: str | Path | None
) -> GalleryRun:
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
    return GalleryRun(result, method, data, manifest["indices"]["test"], retrieved)


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
