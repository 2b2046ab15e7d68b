"""Create and update the index of a folder of photographs: `build_index`.

The folder's listing tells which files may have changed, and their content whether they have; only these are embedded.
Embeddings are saved as they are made (`encoders/store`), so that a killed process goes on there.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pecl.data.custom.photographs import IMAGE_SUFFIXES, NO_STAMP, Photograph, PhotographFolder, find_photographs
from pecl.errors import EMPTY_PATH, ConfigError, DataError, OutputError, RunError
from pecl.files import LOCK, BusyError, check_writable, locked
from pecl.files.progress import Bar
from pecl.search.catalogue import (
    HEAD,
    HIDDEN,
    Entry,
    Head,
    Unreadable,
    damaged,
    read_entries,
    read_head,
    write_entries,
    write_head,
)
from pecl.search.engines import Renewal
from pecl.search.plan import IndexOptions, Plan, check_profile, plan, references_of
from pecl.search.thumbnails import renew_thumbnails
from pecl.search.trust import Collection, is_own_folder, remove_generation, remove_others, write_record

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image

    from pecl.encoders.image import ImageEncoder
    from pecl.files.images import ImageFiles

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexReport:
    """The outcome of `build_index`: numbers of photographs, and which are unreadable."""

    folder: Path  # of the index
    photographs: int
    new: int
    changed: int
    removed: int  # gone from the folder, or no longer readable
    unreadable: dict[str, str]  # reason by path, relative to the folder of photographs
    again: str = ""  # why unchanged photographs were embedded again; empty otherwise


def build_index(folder: str | Path, out: str | Path | None = None, options: IndexOptions | None = None) -> IndexReport:
    """Create the index of the photographs in `folder`, or update it, and return what has changed.

    Args:
        folder: photographs, of any depth.
        out: folder of the index; by default `.pecl-index` in `folder`.
        options: options of the index.

    Raises:
        DataError: there is no photograph, or none can be read, or the index is damaged.
        ConfigError: an option is wrong, or differs from the index's, which only `rebuild` changes; or `out` holds
            other files.
        OutputError: the index cannot be written.
        RunError: another process is at work on it.

    Example:
        >>> pecl.build_index("photographs", options=pecl.IndexOptions(thumbnails=True)).photographs
        243
    """
    options = options or IndexOptions()
    if out == "":
        raise ConfigError(f"out: {EMPTY_PATH}")
    found = find_photographs(folder, leave_out=(HEAD,))
    place = Path(out) if out is not None else found.root / HIDDEN
    first = plan(found, place, options)  # errors come before anything is written
    if not found.photographs:
        reason = next(iter(found.unreadable.values()), "")
        listed = f" ({len(found.unreadable)} could not be looked at: {reason})" if reason else ""
        wanted = f"expected files named {', '.join(IMAGE_SUFFIXES)}"
        raise DataError(f"{folder}: there are no photographs in it{listed}: {wanted}")
    try:
        check_writable(place)
    except OutputError as error:
        raise OutputError(f"{error}; --out names another folder for the index") from error
    first.kind.check()
    try:
        with _held(place):
            return _Renewer(found, place, plan(found, place, options), options).renew()
    except BusyError as error:
        raise RunError(str(error)) from error


@contextlib.contextmanager
def _held(place: Path) -> Iterator[None]:
    """Hold the lock of an index; a folder that was made for it and stays empty is removed."""
    made = not place.exists()
    try:
        with locked(place / LOCK, f"the index {place} is being updated by another process"):
            yield
    finally:
        if made:
            with contextlib.suppress(OSError):
                place.rmdir()


class _Renewer:
    """One renewal. `before` is None where nothing of an earlier generation is used."""

    def __init__(self, found: PhotographFolder, place: Path, planned: Plan, options: IndexOptions) -> None:
        self.found = found
        self.place = place
        self.plan = planned
        self.before, self.head = planned.before, planned.head
        self.options = options
        entries, lost = self._read_before()
        self.entries = {entry.name: (row, entry) for row, entry in enumerate(entries)}
        self.lost = {entries[row].name for row in lost}
        self.failed = {one.name: one for one in (self.before.unreadable if self.before else ())}
        self.tries_again = bool(self.before and self.failed and self.before.decoders != self.head.decoders)
        self.again = f"{len(lost)} embeddings were missing from the {self.head.engine} index" if lost else ""

    def _read_before(self) -> tuple[list[Entry], list[int]]:
        """Return the photographs of the generation before, and the rows whose embeddings are lost; all is checked."""
        if self.before is None:
            return [], []
        try:
            return read_entries(self.place, self.before), self.plan.kind.lost(self.place, self.before)
        except FileNotFoundError as error:
            raise damaged(self.place / HEAD, f"{Path(str(error.filename)).name} is missing") from error

    def renew(self) -> IndexReport:
        """Write a new generation, unless nothing has changed."""
        known, suspects, failed = self._sort()
        before = self.before
        same = len(known) == len(self.entries) and not suspects and failed == self.failed and not self.tries_again
        if before is None or not same or before.references != references_of(before):
            return self._renew(known, suspects, failed)
        if (before.thumbnails, before.languages) != (self.head.thumbnails, self.head.languages):
            return self._renew(known, suspects, failed)
        self.head = before
        self._record()
        entries = list(known.values())
        self._tidy(entries)
        return self._report(entries, 0, 0, failed)

    def _sort(self) -> tuple[dict[str, Entry], list[Photograph], dict[str, Unreadable]]:
        """Split photographs into unchanged, possibly changed, and known unreadable; the lost ones may have changed."""
        known: dict[str, Entry] = {}
        suspects: list[Photograph] = []
        failed = {name: Unreadable(name, NO_STAMP, reason) for name, reason in self.found.unreadable.items()}
        for photograph in self.found.photographs:
            name = photograph.name
            _, entry = self.entries.get(name, (-1, None))
            unreadable = self.failed.get(name)
            if entry is not None and entry.stamp == photograph.stamp and name not in self.lost:
                known[name] = entry
            elif unreadable is not None and unreadable.stamp == photograph.stamp and not self.tries_again:
                failed[name] = unreadable
            else:
                suspects.append(photograph)
        return known, suspects, failed

    def _renew(self, known: dict[str, Entry], suspects: list[Photograph], failed: dict[str, Unreadable]) -> IndexReport:
        hashed, refused = _fingerprints(self.found, suspects)
        failed |= refused
        readable = known | {entry.name: entry for entry in hashed}
        kept = {name: self.entries[name][0] for name, entry in readable.items() if self._is_held(entry)}
        fresh: dict[str, np.ndarray] = {}
        if len(kept) < len(readable):
            tower = self._tower()
            if self.before is not None and self.head.towers != self.before.towers:
                self.again = "the image tower has changed since the index was made"
                kept = {}
            fresh, refused = _embed(tower, self.found.root, [readable[name] for name in readable if name not in kept])
            failed |= refused
        entries = [readable[name] for name in sorted(readable) if name not in failed]
        if not entries:
            first = next(iter(failed.values()))
            raise DataError(f"{self.found.root}: none of {len(failed)} photographs can be read ({first.reason})")
        self._write(entries, kept, fresh, failed)
        new = sum(entry.name not in self.entries for entry in entries)
        return self._report(entries, new, sum(name in self.entries for name in fresh), failed)

    def _is_held(self, entry: Entry) -> bool:
        """Say whether the index holds the embedding of this content under this name."""
        _, old = self.entries.get(entry.name, (-1, None))
        return old is not None and old.fingerprint == entry.fingerprint and entry.name not in self.lost

    def _tower(self) -> ImageEncoder:
        """Load the image tower and note both towers in the head; the text tower is loaded only for a new pair."""
        from pecl.encoders.towers import load_image_encoder, load_text_encoder

        check_profile(self.place, self.head.profile)
        tower = load_image_encoder(self.head.profile, device=self.options.device)
        image = {"name": tower.name, "fingerprint": tower.fingerprint}
        towers = self.before.towers if self.before else {}
        if towers.get("image") != image:
            text = load_text_encoder(self.head.profile, device=self.options.device)
            towers = {"image": image, "text": {"name": text.name, "fingerprint": text.fingerprint}}
        self.head = replace(self.head, towers=towers, width=tower.embedding_dim)
        return tower

    def _write(
        self, entries: list[Entry], kept: dict[str, int], fresh: dict[str, np.ndarray], failed: dict[str, Unreadable]
    ) -> None:
        """Write the generation, its head last; a failure before leaves the index as it was."""
        unreadable = tuple(failed[name] for name in sorted(failed))
        references = references_of(self.head)
        self.head = head = replace(self.head, count=len(entries), unreadable=unreadable, references=references)
        rows = {entry.name: row for row, entry in enumerate(entries)}
        new = {rows[name]: embedding for name, embedding in fresh.items()}
        renewal = Renewal(entries, [kept.get(entry.name, -1) for entry in entries], new)
        self._record()
        try:
            files = self.plan.kind.write(self.place, self.before if kept else None, head, renewal)
            files["photographs"] = write_entries(self.place, head.generation, entries)
            if self.plan.had_thumbnails and not head.thumbnails:
                renew_thumbnails(self.place, self.found.root, [])  # before the head forgets that it had some
            write_head(self.place, replace(head, files=files))
        except BaseException:
            if not _is_current(self.place, head):
                remove_generation(self.place, head.generation)
            raise
        self._tidy(entries)

    def _record(self) -> None:
        """Record the folder of photographs and the collection, before the head names them."""
        earlier, own = self._collections()
        collections = (*(one for one in earlier if one not in own), *own)
        if collections or self.plan.record or not is_own_folder(self.place, self.head):
            write_record(self.place, self.found.root, collections)

    def _tidy(self, entries: list[Entry]) -> None:
        """Remove everything of other generations, and bring the small pictures up to date."""
        remove_others(self.place, self.head.generation)
        self.plan.kind.clean(self.head, entries)
        earlier, own = self._collections()
        if unused := [one for one in earlier if one.name != self.head.collection]:
            from pecl.search.qdrant import drop_collections

            write_record(self.place, self.found.root, (*drop_collections(unused), *own))
        if self.head.thumbnails:
            renew_thumbnails(self.place, self.found.root, entries, again=self.options.rebuild)

    def _collections(self) -> tuple[tuple[Collection, ...], tuple[Collection, ...]]:
        """Return the collections that were recorded before, and that of the new generation if it has one."""
        earlier = self.plan.record.collections if self.plan.record else ()
        own = () if self.plan.url is None else (Collection(self.plan.url, self.head.collection),)
        return earlier, own

    def _report(self, entries: list[Entry], new: int, changed: int, failed: dict[str, Unreadable]) -> IndexReport:
        removed = len(self.entries.keys() - {entry.name for entry in entries})
        reasons = {name: failed[name].reason for name in sorted(failed)}
        return IndexReport(self.place, len(entries), new, changed, removed, reasons, self.again)


def _is_current(place: Path, head: Head) -> bool:
    """Say whether the head on disk is the one of this generation: an interruption may come after it was written."""
    try:
        return read_head(place).generation == head.generation
    except DataError:
        return False


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
            entries.append(Entry(photograph.name, photograph.stamp, fingerprint))
    return entries, failed


def _embed(
    tower: ImageEncoder, root: Path, entries: list[Entry]
) -> tuple[dict[str, np.ndarray], dict[str, Unreadable]]:
    """Return the embedding (D,) of each photograph that can be read, scaled to length 1, and the others."""
    from pecl.encoders.store import IMAGE_BATCH, store_of

    images = PhotographFolder(root, tuple(Photograph(e.name, e.stamp) for e in entries), {}).images()
    failed: dict[str, Unreadable] = {}

    def compute(places: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        logger.info("embedding %d photographs with %s", len(places), tower.name)
        with Bar(total=len(places), desc="photographs", unit="image", leave=False) as progress:
            for start in range(0, len(places), IMAGE_BATCH):
                batch = places[start : start + IMAGE_BATCH]
                read: list[int] = []
                embeddings = tower.encode_image(_readable(images, entries, batch, read, failed), normalize=False)
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
    """Return the embeddings (N, D) that are there, by name and of length 1; equal unreadable files were tried once."""
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
    if reason.startswith("cannot read image "):  # the name is shown next to it
        reason = reason.partition(f"{Path(photograph.name).name}: ")[2] or reason
    return Unreadable(photograph.name, photograph.stamp, reason)
