"""Small pictures in an index, by the fingerprint of the photograph."""

import logging
from collections.abc import Sequence
from pathlib import Path

from pecl.errors import DataError
from pecl.files.progress import Bar
from pecl.search.catalogue import Entry, connected, writing
from pecl.search.exact import in_blocks

logger = logging.getLogger(__name__)

SIZE = 320  # pixels: the longer side; about 20 KiB per photograph
_TOGETHER = 64  # small pictures that are written together


def read_thumbnail(folder: Path, fingerprint: str) -> bytes | None:
    """Return the small picture of a photograph as JPEG; None where the index in `folder` has none."""
    with connected(folder) as database:
        found = database.execute("SELECT jpeg FROM thumbnails WHERE fingerprint = ?", [fingerprint]).fetchone()
    return found[0] if found else None


def renew_thumbnails(folder: Path, root: Path, entries: Sequence[Entry]) -> None:
    """Make the small pictures that are missing, and remove those of other photographs.

    A photograph below `root` that can no longer be read is passed over with a warning; the next renewal lists it.
    """
    from pecl.files.images import ImageFiles, small_jpeg

    with connected(folder) as database:
        there = {fingerprint for (fingerprint,) in database.execute("SELECT fingerprint FROM thumbnails")}
    wanted = {entry.fingerprint: entry.name for entry in entries}
    if unused := there - wanted.keys():
        with writing(folder, new=False) as database:
            database.executemany("DELETE FROM thumbnails WHERE fingerprint = ?", [(one,) for one in unused])
    missing = [fingerprint for fingerprint in wanted if fingerprint not in there]
    with Bar(total=len(missing), desc="thumbnails", unit="image", leave=False, disable=not missing) as bar:
        for block in in_blocks(len(missing), _TOGETHER):
            made = []
            for fingerprint in missing[block.start : block.stop]:
                try:
                    picture = ImageFiles((root / wanted[fingerprint],)).load(0, fingerprint)
                except DataError as error:
                    logger.warning("no thumbnail: %s", error)
                    continue
                made.append((fingerprint, small_jpeg(picture, SIZE)))
            with writing(folder, new=False) as database:
                database.executemany("INSERT INTO thumbnails VALUES (?, ?)", made)
            bar.update(len(block))
