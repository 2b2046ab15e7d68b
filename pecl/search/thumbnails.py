"""Small pictures beside an index, by the fingerprint of the photograph: `thumbnails/3f/3fa0....jpg`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from pecl.errors import DataError
from pecl.files import write_bytes
from pecl.progress import Bar
from pecl.search.catalogue import Entry

logger = logging.getLogger(__name__)

FOLDER = "thumbnails"
SIZE = 320  # pixels: the longer side; about 20 KiB a photograph
_SUFFIX = ".jpg"


def thumbnail_file(folder: Path, fingerprint: str) -> Path:
    """Return where the small picture of a photograph lies in the index `folder`."""
    return folder / FOLDER / fingerprint[:2] / f"{fingerprint}{_SUFFIX}"


def renew_thumbnails(folder: Path, root: Path, entries: Iterable[Entry]) -> int:
    """Make the small pictures that are missing, remove those of photographs that left, and return how many were made.

    A photograph that can no longer be read is passed over, with a warning; the next renewal of the index lists it.

    Raises:
        OutputError: the index cannot be written.
    """
    from pecl.data.captions import ImageFiles
    from pecl.data.pictures import small_jpeg

    there = {path.stem: path for path in (folder / FOLDER).glob(f"*/*{_SUFFIX}")}
    name_of = {entry.fingerprint: entry.name for entry in entries}
    for fingerprint in there.keys() - name_of.keys():
        there[fingerprint].unlink(missing_ok=True)
    missing = [fingerprint for fingerprint in name_of if fingerprint not in there]
    made = 0
    for fingerprint in Bar(missing, desc="thumbnails", unit="image", leave=False, disable=not missing):
        try:
            picture = ImageFiles((Path(os.path.join(root, name_of[fingerprint])),)).load(0)
        except DataError as error:
            logger.warning("no thumbnail: %s", error)
            continue
        write_bytes(thumbnail_file(folder, fingerprint), small_jpeg(picture, SIZE))
        made += 1
    return made
