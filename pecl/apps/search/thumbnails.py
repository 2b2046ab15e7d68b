"""Thumbnails of photographs in an index: made after the photographs are embedded, and found by their content."""

import logging
import os
import sqlite3
from pathlib import Path

from pecl.apps.search.catalogue import connected, writing
from pecl.errors import DataError
from pecl.files.images import ImageFiles, small_jpeg
from pecl.files.progress import Bar

logger = logging.getLogger(__name__)

THUMBNAIL = 320  # pixels of a thumbnail's longer side; about 20 KiB per photograph
_TOGETHER = 64  # thumbnails per transaction
_DROP = "DELETE FROM thumbnails WHERE ? OR fingerprint NOT IN (SELECT fingerprint FROM photographs)"
_MISSING = """SELECT fingerprint, min(name) FROM photographs
    WHERE fingerprint NOT IN (SELECT fingerprint FROM thumbnails) GROUP BY fingerprint"""


def read_thumbnail(folder: Path, fingerprint: str) -> bytes | None:
    """Return a photograph's thumbnail as JPEG, or None if the index in `folder` has none."""
    with connected(folder) as database:
        row = database.execute("SELECT jpeg FROM thumbnails WHERE fingerprint = ?", [fingerprint]).fetchone()
    return row[0] if row else None


def drop_thumbnails(database: sqlite3.Connection, every: bool) -> None:
    """Remove the thumbnails of content that has left the index, or of every photograph."""
    database.execute(_DROP, [every])


def add_thumbnails(folder: Path, root: Path) -> None:
    """Make the missing thumbnails of the index in `folder`.

    A photograph below `root` that can no longer be read is skipped with a warning; the next update lists it.
    """
    with connected(folder) as database:
        missing = database.execute(_MISSING).fetchall()

    with Bar(total=len(missing), desc="thumbnails", unit="image", leave=False, disable=not missing) as bar:
        for start in range(0, len(missing), _TOGETHER):
            block = missing[start : start + _TOGETHER]
            thumbnails = []
            for fingerprint, name in block:
                try:
                    picture = ImageFiles((root / os.fsdecode(name),)).load(0, fingerprint)
                except DataError as error:
                    logger.warning("no thumbnail: %s", error)
                    continue
                thumbnails.append((fingerprint, small_jpeg(picture, THUMBNAIL)))

            with writing(folder, new=False) as database:
                database.executemany("INSERT INTO thumbnails VALUES (?, ?)", thumbnails)
            bar.update(len(block))
