"""Embeddings of photographs, an estimate of their cost, and the reason for each unreadable file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pecl.apps.search.catalogue import Entry, Unreadable
from pecl.data.custom.photographs import NO_STAMP, Photograph
from pecl.encoders.pairs import MINI, PAIRS, RECOMMENDED, is_cached
from pecl.errors import DataError, setting
from pecl.files.images import ImageFiles
from pecl.files.progress import Bar
from pecl.machine import CORES_SPEED, FP32

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from pecl.encoders.image import ImageEncoder

logger = logging.getLogger(__name__)

_SECONDS = 0.15  # per photograph of twelve megapixels, for one core to open and shrink it
# bytes of memory besides the towers, at a first start with mini: Python, torch, large photographs
_PROGRAM = 1.4e9


def describe_needs(profile: str, photographs: int, device: str) -> str:
    """Return a line with download, memory and, on a CPU, time for embedding so many photographs with a profile."""
    import torch  # takes seconds

    pair = PAIRS[profile]
    # bytes in fp32, in which they are published
    weights = 4 * (pair.parameters + pair.image_parameters)
    is_here = profile == MINI or is_cached(pair)
    parts = ["nothing to download" if is_here else f"about {weights / 1e9:.1f} GB to download"]
    parts.append(f"about {(weights + _PROGRAM) / 1e9:.1f} GB of memory")

    if device == "cpu":
        seconds = _SECONDS + pair.image_gflops * 1e9 / (CORES_SPEED[FP32] / 2 * torch.get_num_threads())
        minutes = max(1, round(photographs * seconds / 60))
        parts.append(f"{1 / seconds:.1f} photographs per second, so {minutes} minute{'s' * (minutes > 1)}")

    line = f"{photographs} photographs with {profile}: {', '.join(parts)} (estimates)"
    if profile == MINI:
        line += f"; mini is a demonstration: with access to a model hub, {setting(profile=RECOMMENDED)} finds more"
    return line


def fingerprints(
    root: Path,
    photographs: list[Photograph],
) -> tuple[list[Entry], dict[str, Unreadable]]:
    """Return an entry per readable file, and the unreadable files by name."""
    images = ImageFiles(tuple(root / photograph.name for photograph in photographs))
    entries: list[Entry] = []

    failed: dict[str, Unreadable] = {}
    bar = Bar(photographs, desc="checking photographs", unit="image", leave=False, disable=not photographs)
    for index, photograph in enumerate(bar):
        try:
            entries.append(Entry(photograph.name, photograph.stamp, images.fingerprint(index)))
        except DataError as error:
            failed[photograph.name] = _unreadable(photograph, error)

    return entries, failed


def embed(
    tower: ImageEncoder,
    root: Path,
    entries: list[Entry],
) -> tuple[dict[str, np.ndarray], dict[str, Unreadable]]:
    """Return embeddings (D,) float32 of length 1 by fingerprint of the content, and the unreadable files by name.

    Each batch is cached as it is computed (`encoders/store`), so a killed process resumes there.
    Raise DataError if another process removes embeddings from the cache meanwhile.
    """
    from pecl.encoders.store import IMAGE_BATCH, store_of

    images = ImageFiles(tuple(root / entry.name for entry in entries))
    copies: dict[str, list[int]] = {}  # positions of the entries with the same content, by fingerprint
    for index, entry in enumerate(entries):
        copies.setdefault(entry.fingerprint, []).append(index)

    failed: dict[str, Unreadable] = {}  # by name

    def compute(places: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        logger.debug("embedding %d photographs with %s", len(places), tower.name)
        with Bar(total=len(places), desc="photographs", unit="image", leave=False) as progress:
            for start in range(0, len(places), IMAGE_BATCH):
                batch = places[start : start + IMAGE_BATCH]
                read: list[int] = []
                embeddings = tower.encode_ahead(_readable(images, entries, copies, batch, read, failed))
                if read:
                    yield read, embeddings
                progress.update(len(batch))

    rows = store_of(tower).get([entry.fingerprint for entry in entries], compute, gaps=True).numpy()  # (N, D)
    lost = [
        entry.name
        for entry, row in zip(entries, rows, strict=True)
        if entry.name not in failed and (not row.size or np.isnan(row).any())
    ]
    if lost:  # by another process, which forgets a folder with the same photographs
        raise DataError(
            f"the cached embeddings of {len(lost)} photographs, such as {lost[0]}, were removed while they were read; "
            "run again"
        )

    embedding_of = {
        entry.fingerprint: row / max(float(np.linalg.norm(row)), 1e-12)
        for entry, row in zip(entries, rows, strict=True)
        if entry.name not in failed
    }

    return embedding_of, failed


def _readable(
    images: ImageFiles,
    entries: list[Entry],
    copies: dict[str, list[int]],
    batch: list[int],
    read: list[int],
    failed: dict[str, Unreadable],
) -> Iterator[Image]:
    """Yield the readable images of a batch; append their positions to `read`, and add the others to `failed`.

    An image that cannot be read, since its file was deleted meanwhile, is read from a copy.
    """
    for index in batch:
        failed_copies: dict[str, Unreadable] = {}
        for copy in copies[entries[index].fingerprint]:
            try:
                picture = images.load(copy, entries[copy].fingerprint)
            except DataError as error:
                failed_copies[entries[copy].name] = _unreadable(entries[copy], error)
            else:
                read.append(index)
                yield picture
                break
        else:
            failed.update(failed_copies)


def _unreadable(photograph: Photograph | Entry, error: DataError) -> Unreadable:
    reason = str(error).partition("; replace the file")[0]
    if reason.startswith("cannot read image "):  # the name is shown next to it
        reason = reason.partition(f"{Path(photograph.name).name}: ")[2] or reason

    # Without the stamp of the file, the next update tries it again
    stamp = NO_STAMP if _may_pass(error) else photograph.stamp
    return Unreadable(photograph.name, stamp, reason)


def _may_pass(error: DataError) -> bool:
    """Return whether a file may be readable later without a change: the system failed, and not a decoder.

    An error of the system has a number; a file that changed while it was read has no cause.
    """
    cause = error.__cause__
    is_of_system = isinstance(cause, OSError) and cause.errno is not None
    return cause is None or is_of_system or isinstance(cause, MemoryError)
