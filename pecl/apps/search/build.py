"""Create and update the index of a folder of photographs: `build_index`.

Only files with a new size or time are hashed, and only files with new content are embedded.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pecl.apps.search.catalogue import (
    FILE,
    STARTED,
    Catalogue,
    Entry,
    Head,
    Unreadable,
    index_folder,
    narrow,
    read_catalogue,
    read_started,
    write_entry,
    write_head,
    write_started,
    writing,
)
from pecl.apps.search.embed import describe_needs, embed, fingerprints
from pecl.apps.search.metadata import Described, describe, sidecar_state
from pecl.apps.search.options import BUSY, IndexOptions, check_same, new_head
from pecl.apps.search.qdrant import Points, point_of
from pecl.apps.search.thumbnails import add_thumbnails, drop_thumbnails
from pecl.apps.search.words import drop_words, read_sidecars, write_words
from pecl.backends import set_backend
from pecl.data.custom.photographs import (
    IMAGE_SUFFIXES,
    NO_STAMP,
    Photograph,
    PhotographFolder,
    check_folder,
    find_photographs,
)
from pecl.errors import EMPTY_PATH, ConfigError, DataError, OutputError, not_none, setting
from pecl.files import LOCK, check_writable, locked
from pecl.files.progress import Bar
from pecl.machine import AUTO
from pecl.retrieval.hubs import find_references

if TYPE_CHECKING:
    from pecl.encoders.image import ImageEncoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class IndexReport:
    """The outcome of `build_index`: counts of photographs, and the unreadable files."""

    folder: Path  # of the index
    photographs: int
    new: int
    changed: int
    moved: int  # under another name than before
    removed: int  # gone from the folder, or no longer readable
    unreadable: dict[str, str]  # reason by path, relative to the folder of photographs
    again: str = ""  # why unchanged photographs were embedded again; empty otherwise
    # unchanged photographs whose words were read, such as those of a changed sidecar
    described: int = 0
    # photographs with unreadable metadata; the words of their path are still searched
    broken: int = 0
    # of the photographs whose words were read:
    people: int = 0  # different names of people
    days: int = 0  # photographs with a day


def build_index(
    folder: str | Path,
    out: str | Path | None = None,
    options: IndexOptions | None = None,
) -> IndexReport:
    """Create the index of the photographs in `folder`, or update it, and return what has changed.

    The image tower is loaded only to embed a photograph. An update with a new or changed photograph
    therefore notices another image tower, and embeds all photographs again. An update without one
    does not notice: the next query asks for `rebuild`.

    Args:
        folder: folder of the photographs, searched at any depth.
        out: folder of the index; by default a separate one in the user's data folder, see `index_folder`.
        options: options of the index.

    Raises:
        DataError: there is no photograph, or none can be read, or the index is damaged.
        ConfigError: an option is wrong, or differs from the existing index where only `rebuild` may change it.
        OutputError: the index cannot be written.
        BusyError: another process is updating it.

    Example:
        >>> pecl.build_index("photographs", options=pecl.IndexOptions(thumbnails=True)).photographs
        243
    """
    options = options or IndexOptions()
    if out == "":
        raise ConfigError(f"{EMPTY_PATH}", field="out")

    options.check()
    root = check_folder(folder)
    index_path = Path(out) if out is not None else index_folder(root)

    try:
        check_writable(index_path)
    except OutputError as error:
        raise OutputError(f"{error}; {setting('out')} names another folder for the index") from error

    try:
        # The lock comes before the search for photographs: otherwise another update could end in
        # between, and this one would then remove what that has added
        with locked(index_path / LOCK, BUSY.format(index_path)):
            check_same(index_path, root, options)
            source = _find_photographs(root)
            try:
                before = read_catalogue(index_path) if (index_path / FILE).exists() else None
            except DataError:
                if not options.rebuild:
                    raise
                before = None
            head = new_head(source.root, before.head if before else None, options)
            narrow(index_path)
            return _Update(source, index_path, before, head, options).run()
    finally:
        with contextlib.suppress(OSError):
            index_path.rmdir()  # removes only an empty folder, into which nothing was written


def _find_photographs(root: Path) -> PhotographFolder:
    """Return the photographs in the folder `root`; raise DataError if there are none."""
    source = find_photographs(root)
    if not source.photographs:
        reason = next(iter(source.unreadable.values()), "")
        remark = ""
        if reason:
            remark = f" ({len(source.unreadable)} could not be read: {reason})"
        expected = f"expected files named {', '.join(IMAGE_SUFFIXES)}"
        raise DataError(f"{root}: there are no photographs in it{remark}: {expected}")
    return source


@dataclass(frozen=True)
class _Former:
    """What the existing index holds; nothing if there is none, or it is rebuilt."""

    head: Head | None
    entries: dict[str, Entry]  # by name
    unreadable: dict[str, Unreadable]  # by name
    embeddings: dict[str, np.ndarray]  # (D,) each, by fingerprint


def _former(catalogue: Catalogue | None) -> _Former:
    if catalogue is None:
        return _Former(None, {}, {}, {})

    matrix = not_none(catalogue.matrix, "matrix")  # (N, D)
    embeddings = {entry.fingerprint: row for entry, row in zip(catalogue.entries, matrix, strict=True)}
    entries = {entry.name: entry for entry in catalogue.entries}
    return _Former(catalogue.head, entries, catalogue.unreadable, embeddings)


class _Update:
    """One update. `before` is the existing index; of it, `rebuild` uses only the Qdrant collection, to delete it."""

    def __init__(
        self,
        source: PhotographFolder,
        index_path: Path,
        before: Catalogue | None,
        head: Head,
        options: IndexOptions,
    ) -> None:
        self.source = source
        self.index_path = index_path
        self.head = head
        self.options = options
        self.points = Points(head.url, head.collection) if head.url else None
        self.again = ""

        self.unused = before.head if before and options.rebuild and before.head.url else None
        # whose photographs may still be there
        self.unread_folders = tuple(f"{name}/" for name in source.unreadable)
        self.left_by_killed = read_started(index_path)
        self.contents_before = {
            entry.fingerprint
            for entry in (before.entries if before else [])
            if not entry.name.startswith(self.unread_folders)
        } | self.left_by_killed

        self.former = _former(None if options.rebuild else before)
        self.embeddings = dict(self.former.embeddings)  # (D,) each, by fingerprint

    def run(self) -> IndexReport:
        """Write what has changed."""
        unchanged, suspects, failed = self._sort()
        hashed, unreadable = fingerprints(self.source.root, suspects)
        failed |= unreadable
        entries = {**unchanged, **{entry.name: entry for entry in hashed}}

        missing = [entry for entry in entries.values() if entry.fingerprint not in self.embeddings]
        if missing:
            logger.info("%s", describe_needs(self.head.profile, len(missing), self.options.device))
            tower = self._tower(len(missing))
            if self.former.head and self.head.towers != self.former.head.towers:
                self.again = "the image tower has changed since the index was made"
                self.embeddings = {}
                missing = list(entries.values())
            write_started(self.index_path, self.contents_before | {entry.fingerprint for entry in missing})
            new_embeddings, unreadable = embed(tower, self.source.root, missing)
            self.embeddings |= new_embeddings
            failed |= unreadable

        present = [entries[name] for name in sorted(entries) if name not in failed]
        if not present:
            if not self.left_by_killed:
                (self.index_path / STARTED).unlink(missing_ok=True)  # nothing was embedded
            first = next(iter(failed.values()))
            raise DataError(f"{self.source.root}: none of {len(failed)} photographs can be read ({first.reason})")

        embedded = {entry.name for entry in missing}
        changed = [entry for entry in present if entry.name not in unchanged or entry.name in embedded]
        described = self._described(present, {entry.name for entry in changed})
        self._write(present, changed, failed, described)
        (self.index_path / STARTED).unlink(missing_ok=True)
        if self.head.thumbnails:
            add_thumbnails(self.index_path, self.source.root)
        return self._report(present, embedded, failed, described)

    def _described(self, entries: list[Entry], changed: set[str]) -> dict[str, Described]:
        if not self.head.words:
            return {}

        sidecars = {} if self.former.head is None else read_sidecars(self.index_path)
        indexed = {entry.name for entry in entries}
        photographs = [
            photograph
            for photograph in self.source.photographs
            if photograph.name in changed
            or (photograph.name in indexed and sidecars.get(photograph.name) != sidecar_state(photograph))
        ]
        bar = Bar(photographs, desc="words", unit="image", leave=False, disable=not photographs)
        return {photograph.name: describe(self.source.root, photograph) for photograph in bar}

    def _sort(self) -> tuple[dict[str, Entry], list[Photograph], dict[str, Unreadable]]:
        """Return the unchanged entries by name, the photographs to hash, and the unreadable files by name.

        The entries below a folder that cannot be listed count as unchanged: a network disk may have failed briefly.
        """
        unchanged = {name: entry for name, entry in self.former.entries.items() if name.startswith(self.unread_folders)}
        suspects: list[Photograph] = []
        failed = {name: Unreadable(name, NO_STAMP, reason) for name, reason in self.source.unreadable.items()}
        former_head = self.former.head
        tries_again = former_head is not None and former_head.decoders != self.head.decoders

        for photograph in self.source.photographs:
            name = photograph.name
            entry = self.former.entries.get(name)
            unreadable = self.former.unreadable.get(name)
            if entry is not None and entry.stamp == photograph.stamp:
                unchanged[name] = entry
            elif unreadable is not None and unreadable.stamp == photograph.stamp and not tries_again:
                failed[name] = unreadable
            else:
                suspects.append(photograph)

        return unchanged, suspects, failed

    def _tower(self, photographs: int) -> ImageEncoder:
        """Load the image tower for so many photographs, and record it in the head.

        The text tower is loaded only if the image tower changed.
        """
        from pecl.encoders.towers import load_image_encoder, load_text_encoder

        tower = load_image_encoder(self.head.profile, device=self.options.device)
        set_backend(tower, self.options.backend, AUTO, photographs)

        image = {"name": tower.name, "fingerprint": tower.fingerprint}
        if self.head.towers.get("image") != image:
            text = load_text_encoder(self.head.profile, device=self.options.device)
            towers = {"image": image, "text": {"name": text.name, "fingerprint": text.fingerprint}}
            self.head = replace(self.head, towers=towers, width=tower.embedding_dim)

        return tower

    def _report(
        self,
        entries: list[Entry],
        embedded: set[str],
        failed: dict[str, Unreadable],
        described: dict[str, Described],
    ) -> IndexReport:
        """Count the changes; content that left one name and appeared under another was moved."""
        old = self.former.entries
        new = {entry.name: entry.fingerprint for entry in entries}
        gone = Counter(entry.fingerprint for name, entry in old.items() if name not in new)
        come = Counter(fingerprint for name, fingerprint in new.items() if name not in old)
        moved = (gone & come).total()
        stayed = new.keys() & old.keys()
        changed = sum(name in embedded or new[name] != old[name].fingerprint for name in stayed)
        reasons = {name: failed[name].reason for name in sorted(failed)}

        return IndexReport(
            folder=self.index_path,
            photographs=len(entries),
            new=come.total() - moved,
            changed=changed,
            moved=moved,
            removed=gone.total() - moved,
            unreadable=reasons,
            again=self.again,
            described=sum(name in old and name not in embedded for name in described),
            broken=sum(words.is_broken for words in described.values()),
            people=len(frozenset[str]().union(*(words.people for words in described.values()))),
            days=sum(words.taken is not None for words in described.values()),
        )

    def _write(
        self,
        entries: list[Entry],
        changed: Sequence[Entry],
        failed: dict[str, Unreadable],
        described: dict[str, Described],
    ) -> None:
        """Write the changes in one transaction, unless there are none."""
        references = None if self.points else find_references(self.head.profile, self.head.fingerprints)
        self.head = replace(self.head, references="" if references is None else references.fingerprint)
        before = self.former.head
        gone = self.former.entries.keys() - {entry.name for entry in entries}
        is_new = before is None or self.head != before
        if self.points:
            lost = [entry for entry in entries if point_of(entry.name) not in self.points.there]
            self.points.send({written.name: self.embeddings[written.fingerprint] for written in (*changed, *lost)})

        # First: a process that is killed later finds the same content gone, and removes what is left of it
        self._tidy_cache(entries)
        if not (is_new or changed or gone or described) and failed == self.former.unreadable:
            return

        corrects_all = before is None or before.references != self.head.references
        rewritten = entries if corrects_all else changed
        embeddings = [self.embeddings[entry.fingerprint] for entry in rewritten]
        corrections: Sequence[float | None] = [None] * len(rewritten)
        if references is not None and rewritten:
            corrections = references.corrections(np.stack(embeddings)).tolist()

        self.head = replace(self.head, generation=secrets.token_hex(8))
        with writing(self.index_path, new=before is None) as database:
            database.executemany("DELETE FROM photographs WHERE name = ?", [(os.fsencode(name),) for name in gone])
            for row in zip(rewritten, embeddings, corrections, strict=True):
                write_entry(database, *row)

            if self.head.words:
                write_words(database, described)
            else:
                drop_words(database)

            drop_thumbnails(database, every=not self.head.thumbnails)
            write_head(database, self.head, failed.values())

        self._tidy_server(entries)

    def _tidy_cache(self, entries: list[Entry]) -> None:
        """Remove the cached embeddings of content that leaves the index, or that a killed update left."""
        gone = self.contents_before - {entry.fingerprint for entry in entries}
        if gone:
            from pecl.encoders.store import forget_images

            try:
                forget_images(gone)
            except OutputError as error:
                logger.warning("embeddings of removed photographs stay in the cache: %s", error)

    def _tidy_server(self, entries: list[Entry]) -> None:
        """Remove points and a collection that are no longer used."""
        if self.points:
            self.points.keep(entries)
        if self.unused:
            try:
                Points(self.unused.url, self.unused.collection).drop()
            except DataError as error:
                logger.warning("%s is no longer used, and cannot be deleted: %s", self.unused.collection, error)
