"""Make and renew the index of a folder of photographs: `build_index`.

What the folder lists (size and time) tells which files may have changed, and their content whether they have; those
alone are embedded. Embeddings are saved as they are made (`encoders/store`), so that a killed process goes on there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pecl.data.own.photographs import SUFFIXES, Photograph, PhotographFolder, find_photographs
from pecl.errors import DataError, OutputError, RunError
from pecl.files import BusyError, check_writable, locked
from pecl.progress import Bar
from pecl.search.catalogue import (
    HEAD,
    HIDDEN,
    Entry,
    Head,
    Unreadable,
    damaged,
    read_entries,
    write_entries,
    write_head,
)
from pecl.search.engines import Renewal, engine_kind
from pecl.search.plan import IndexOptions, plan
from pecl.search.thumbnails import renew_thumbnails

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from pecl.data.captions import ImageFiles
    from pecl.encoders.image import ImageEncoder

logger = logging.getLogger(__name__)

_LOCK = ".lock"


@dataclass(frozen=True)
class IndexReport:
    """What `build_index` did.

    Attributes:
        folder: of the index.
        photographs: how many it holds.
        new: photographs that were not there before.
        changed: those whose content is another.
        removed: those that are gone from the folder, or can no longer be read.
        unreadable: reason by path, relative to the folder of photographs.
        anew: why all were embedded, though there was an index; empty otherwise.
    """

    folder: Path
    photographs: int
    new: int
    changed: int
    removed: int
    unreadable: dict[str, str]
    anew: str = ""


def build_index(folder: str | Path, out: str | Path | None = None, options: IndexOptions | None = None) -> IndexReport:
    """Make the index of the photographs in `folder`, or renew it.

    Args:
        folder: photographs, of any depth.
        out: folder of the index; by default `.pecl-index` in `folder`.
        options: how.

    Raises:
        DataError: there is no photograph, or none can be read, or the index is damaged.
        ConfigError: an option is wrong, or another than that of the index, which only `anew` changes.
        OutputError: the index cannot be written.
        RunError: another process is at work on it.
    """
    options = options or IndexOptions()
    found = find_photographs(folder, leave_out=(HEAD,))
    place = Path(out) if out is not None else found.root / HIDDEN
    _, head = plan(found, place, options)  # what is wrong is said before anything is written
    if not found.photographs:
        listed = f" ({len(found.unreadable)} could not be looked at)" if found.unreadable else ""
        raise DataError(f"{folder}: there are no photographs in it{listed}: expected files named {', '.join(SUFFIXES)}")
    try:
        check_writable(place)
    except OutputError as error:
        raise OutputError(f"{error}; --out names another folder for the index") from error
    engine_kind(head.engine).check(head)
    try:
        with _held(place):
            return _Renewer(found, place, *plan(found, place, options), options.device).renew()
    except BusyError as error:
        raise RunError(str(error)) from error


@contextlib.contextmanager
def _held(place: Path) -> Iterator[None]:
    """Hold the lock of an index; a folder that was made for it and stays empty is removed."""
    made = not place.exists()
    try:
        with locked(place / _LOCK, f"the index {place} is being renewed by another process"):
            yield
    finally:
        if made:
            with contextlib.suppress(OSError):
                place.rmdir()


class _Renewer:
    """One renewal. `before` is None where nothing of an earlier generation is used."""

    def __init__(self, found: PhotographFolder, place: Path, before: Head | None, head: Head, device: str) -> None:
        self.found = found
        self.place = place
        self.before = before
        self.head = head
        self.device = device
        self.entries = {e.name: (row, e) for row, e in enumerate(_entries_of(place, before))}
        self.failed = {one.name: one for one in (before.unreadable if before else ())}
        self.anew = ""

    def renew(self) -> IndexReport:
        """Write a new generation, unless nothing has changed."""
        known, suspects, failed = self._sort()
        before = self.before
        same = len(known) == len(self.entries) and not suspects and failed == self.failed
        if before is not None and same and before.thumbnails == self.head.thumbnails:
            renew_thumbnails(self.place, self.found.root, known.values() if before.thumbnails else ())
            return self._report(list(known.values()), 0, 0, failed)
        return self._renew(known, suspects, failed)

    def _sort(self) -> tuple[dict[str, Entry], list[Photograph], dict[str, Unreadable]]:
        """Return what is as it was, what may have changed, and what could not be read and is as it was."""
        known: dict[str, Entry] = {}
        suspects: list[Photograph] = []
        failed = {name: Unreadable(name, 0, 0, reason) for name, reason in self.found.unreadable.items()}
        for photograph in self.found.photographs:
            seen = (photograph.size, photograph.mtime_ns)
            _, entry = self.entries.get(photograph.name, (-1, None))
            unreadable = self.failed.get(photograph.name)
            if entry is not None and (entry.size, entry.mtime_ns) == seen:
                known[photograph.name] = entry
            elif unreadable is not None and (unreadable.size, unreadable.mtime_ns) == seen:
                failed[photograph.name] = unreadable
            else:
                suspects.append(photograph)
        return known, suspects, failed

    def _renew(self, known: dict[str, Entry], suspects: list[Photograph], failed: dict[str, Unreadable]) -> IndexReport:
        hashed, refused = _fingerprints(self.found, suspects)
        failed |= refused
        kept = {name: self.entries[name][0] for name in known}
        fresh: dict[str, np.ndarray] = {}
        changed = [e for e in hashed if e.name not in self.entries or self._old(e.name).fingerprint != e.fingerprint]
        kept |= {entry.name: self.entries[entry.name][0] for entry in hashed if entry not in changed}
        if changed:
            tower = self._tower()
            if self.before is not None and self.head.tower["fingerprint"] != self.before.tower.get("fingerprint"):
                self.anew = "the image tower has changed since the index was made"
                changed, kept = [*known.values(), *hashed], {}
            fresh, refused = _embed(tower, self.found.root, changed)
            failed |= refused
        entries = sorted(
            (entry for entry in {**known, **{e.name: e for e in hashed}}.values() if entry.name not in failed),
            key=lambda entry: entry.name,
        )
        if not entries:
            first = next(iter(failed.values()))
            raise DataError(f"{self.found.root}: none of {len(failed)} photographs can be read ({first.reason})")
        self._write(entries, kept, fresh, failed)
        new = sum(entry.name not in self.entries for entry in entries)
        return self._report(entries, new, sum(name in self.entries for name in fresh), failed)

    def _old(self, name: str) -> Entry:
        return self.entries[name][1]

    def _tower(self) -> ImageEncoder:
        from pecl.encoders.towers import load_image_encoder

        tower = load_image_encoder(self.head.profile, device=self.device)
        self.head = replace(
            self.head, tower={"name": tower.name, "fingerprint": tower.fingerprint}, width=tower.embedding_dim
        )
        return tower

    def _write(
        self, entries: list[Entry], kept: dict[str, int], fresh: dict[str, np.ndarray], failed: dict[str, Unreadable]
    ) -> None:
        """Write the generation, its head last."""
        head = replace(self.head, count=len(entries), unreadable=tuple(failed[name] for name in sorted(failed)))
        rows = {entry.name: row for row, entry in enumerate(entries)}
        renewal = Renewal(
            entries,
            [kept.get(entry.name, -1) for entry in entries],
            {rows[name]: embedding for name, embedding in fresh.items()},
        )
        before = self.before if kept else None
        sha256 = engine_kind(head.engine).write(self.place, before, head, renewal)
        sha256["photographs"] = write_entries(self.place, head.generation, entries)
        write_head(self.place, replace(head, sha256=sha256))
        renew_thumbnails(self.place, self.found.root, entries if head.thumbnails else ())

    def _report(self, entries: list[Entry], new: int, changed: int, failed: dict[str, Unreadable]) -> IndexReport:
        removed = len(self.entries.keys() - {entry.name for entry in entries})
        reasons = {name: failed[name].reason for name in sorted(failed)}
        return IndexReport(self.place, len(entries), new, changed, removed, reasons, self.anew)


def _entries_of(place: Path, before: Head | None) -> list[Entry]:
    """Return the photographs of the generation before."""
    try:
        return read_entries(place, before) if before else []
    except FileNotFoundError as error:
        raise damaged(place / HEAD, f"{Path(str(error.filename)).name} is missing") from error


def _fingerprints(found: PhotographFolder, suspects: list[Photograph]) -> tuple[list[Entry], dict[str, Unreadable]]:
    """Return an entry for each file that can be opened, and the others."""
    images = PhotographFolder(found.root, tuple(suspects), {}).images()
    entries: list[Entry] = []
    failed: dict[str, Unreadable] = {}
    bar = Bar(suspects, desc="checking photographs", unit="image", leave=False, disable=not suspects)
    for index, photograph in enumerate(bar):
        try:
            fingerprint = images.fingerprint(index)
        except DataError as error:
            failed[photograph.name] = _unreadable(photograph, error)
        else:
            entries.append(Entry(photograph.name, photograph.size, photograph.mtime_ns, fingerprint))
    return entries, failed


def _embed(
    tower: ImageEncoder, root: Path, entries: list[Entry]
) -> tuple[dict[str, np.ndarray], dict[str, Unreadable]]:
    """Return the embedding (D,) of each photograph that can be read, scaled to length 1, and the others."""
    from pecl.encoders.store import IMAGE_BATCH, store_of

    images = PhotographFolder(root, tuple(Photograph(e.name, e.size, e.mtime_ns) for e in entries), {}).images()
    failed: dict[str, Unreadable] = {}

    def compute(places: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        logger.info("embedding %d photographs with %s", len(places), tower.name)
        with Bar(total=len(places), desc="photographs", unit="image", leave=False) as progress:
            for start in range(0, len(places), IMAGE_BATCH):
                batch = places[start : start + IMAGE_BATCH]
                read: list[int] = []
                embeddings = tower.encode_image(_readable(images, entries, batch, read, failed))
                if read:
                    yield read, embeddings
                progress.update(len(batch))

    found = store_of(tower).get([entry.fingerprint for entry in entries], compute, gaps=True).numpy()  # (N, D)
    return _whole(entries, found, failed), failed


def _readable(
    images: ImageFiles, entries: list[Entry], batch: list[int], read: list[int], failed: dict[str, Unreadable]
) -> Iterator[Image]:
    """Yield the pictures of a batch that can be read; their places go to `read`, the others to `failed`."""
    for place in batch:
        try:
            picture = images.load(place, entries[place].fingerprint)
        except DataError as error:
            failed[entries[place].name] = _unreadable(entries[place], error)
        else:
            read.append(place)
            yield picture


def _whole(entries: list[Entry], found: np.ndarray, failed: dict[str, Unreadable]) -> dict[str, np.ndarray]:
    """Return the embeddings (N, D) that are there, by name and of length 1; of equal unreadable files one was tried."""
    reasons = {entry.fingerprint: failed[entry.name].reason for entry in entries if entry.name in failed}
    whole: dict[str, np.ndarray] = {}
    for entry, embedding in zip(entries, found, strict=True):
        if entry.fingerprint in reasons:
            failed[entry.name] = _unreadable(entry, reasons[entry.fingerprint])
        else:
            whole[entry.name] = embedding / max(float(np.linalg.norm(embedding)), 1e-12)
    return whole


def _unreadable(photograph: Photograph | Entry, error: object) -> Unreadable:
    reason = str(error).partition("; replace the file")[0]
    if reason.startswith("cannot read image "):  # the name is told beside it
        reason = reason.partition(f"{Path(photograph.name).name}: ")[2] or reason
    return Unreadable(photograph.name, photograph.size, photograph.mtime_ns, reason)
