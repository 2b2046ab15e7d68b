"""Photographs as embeddings: the files that can be read, and of the others the reason."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pecl.data.custom.photographs import Photograph, PhotographFolder
from pecl.errors import DataError
from pecl.files.progress import Bar
from pecl.search.catalogue import Entry, Unreadable

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from pecl.encoders.image import ImageEncoder
    from pecl.files.images import ImageFiles

logger = logging.getLogger(__name__)


def fingerprints(root: Path, photographs: list[Photograph]) -> tuple[list[Entry], dict[str, Unreadable]]:
    """Return an entry for each file that can be opened, and the others by name."""
    images = PhotographFolder(root, tuple(photographs), {}).images()
    entries: list[Entry] = []
    failed: dict[str, Unreadable] = {}
    bar = Bar(photographs, desc="checking photographs", unit="image", leave=False, disable=not photographs)
    for index, photograph in enumerate(bar):
        try:
            entries.append(Entry(photograph.name, photograph.stamp, images.fingerprint(index)))
        except DataError as error:
            failed[photograph.name] = _unreadable(photograph, error)
    return entries, failed


def embed(tower: ImageEncoder, root: Path, entries: list[Entry]) -> tuple[dict[str, np.ndarray], dict[str, Unreadable]]:
    """Return the embedding (D,) of length 1 of each content, by its fingerprint; and by name what cannot be read.

    Embeddings are saved as they are made (`encoders/store`): a killed process goes on there.
    """
    from pecl.encoders.store import IMAGE_BATCH, store_of

    images = PhotographFolder(root, tuple(Photograph(e.name, e.stamp) for e in entries), {}).images()
    failed: dict[str, Unreadable] = {}  # by fingerprint

    def compute(places: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        logger.debug("embedding %d photographs with %s", len(places), tower.name)
        with Bar(total=len(places), desc="photographs", unit="image", leave=False) as progress:
            for start in range(0, len(places), IMAGE_BATCH):
                batch = places[start : start + IMAGE_BATCH]
                read: list[int] = []
                embeddings = tower.encode_image(_readable(images, entries, batch, read, failed), normalize=False)
                if read:
                    yield read, embeddings
                progress.update(len(batch))

    rows = store_of(tower).get([entry.fingerprint for entry in entries], compute, gaps=True).numpy()  # (N, D)
    found = {
        entry.fingerprint: row / max(float(np.linalg.norm(row)), 1e-12)
        for entry, row in zip(entries, rows, strict=True)
        if entry.fingerprint not in failed
    }
    refused = {
        entry.name: Unreadable(entry.name, entry.stamp, failed[entry.fingerprint].reason)
        for entry in entries
        if entry.fingerprint in failed
    }
    return found, refused


def _readable(
    images: ImageFiles, entries: list[Entry], batch: list[int], read: list[int], failed: dict[str, Unreadable]
) -> Iterator[Image]:
    """Yield the pictures of a batch that can be read; their places go to `read`, the others to `failed`."""
    for place in batch:
        try:
            picture = images.load(place, entries[place].fingerprint)
        except DataError as error:
            failed[entries[place].fingerprint] = _unreadable(entries[place], error)
        else:
            read.append(place)
            yield picture


def _unreadable(photograph: Photograph | Entry, error: object) -> Unreadable:
    reason = str(error).partition("; replace the file")[0]
    if reason.startswith("cannot read image "):  # the name is shown next to it
        reason = reason.partition(f"{Path(photograph.name).name}: ")[2] or reason
    return Unreadable(photograph.name, photograph.stamp, reason)
