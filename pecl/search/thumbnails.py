"""Small pictures in an index, by the fingerprint of the photograph: `thumbnails/3f/3fa0....jpg`.

A digest of the JPEG and of the fingerprint follows the JPEG: a file that is damaged, or is another photograph's, is not
shown.
"""

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from pecl.errors import DataError
from pecl.files import read_bytes_limited, remove_abandoned_files, write_bytes
from pecl.files.progress import Bar
from pecl.search.catalogue import Entry
from pecl.search.trust import real_folder, regular_files, target_of

logger = logging.getLogger(__name__)

FOLDER = "thumbnails"
SIZE = 320  # pixels: the longer side; about 20 KiB per photograph
_OWN = re.compile(r"(?P<fingerprint>[0-9a-f]{64})\.jpg", re.ASCII)
_DIGEST = 32  # bytes


def thumbnail_file(folder: Path, fingerprint: str) -> Path:
    """Return the path of the small picture of a photograph in the index `folder`."""
    return folder / FOLDER / fingerprint[:2] / f"{fingerprint}.jpg"


def read_thumbnail(path: Path) -> bytes | None:
    """Return a small picture, see `thumbnail_file`, as JPEG; None without one, or, with a warning, if it is damaged.

    Raises:
        DataError: a folder on the way is a link.
    """
    if not all(real_folder(folder) for folder in (path.parent.parent, path.parent)):
        return None
    try:
        content = read_bytes_limited(path, follow=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        logger.warning("cannot read %s: %s", path, error.strerror or error)
        return None
    jpeg = content[:-_DIGEST]
    if content[-_DIGEST:] != _digest(path.stem, jpeg):
        logger.warning("%s is damaged: `pecl index FOLDER --rebuild` makes it again", path)
        return None
    return jpeg


def renew_thumbnails(folder: Path, root: Path, entries: Iterable[Entry], again: bool = False) -> None:
    """Make the small pictures that are missing, or all `again`, and remove those of other photographs.

    A photograph below `root` that can no longer be read is passed over with a warning; the next renewal lists it.
    """
    from pecl.files.images import ImageFiles
    from pecl.files.pictures import small_jpeg

    name_of = {entry.fingerprint: entry.name for entry in entries}
    there = set(_tidied(folder, set(name_of)))
    missing = [fingerprint for fingerprint in name_of if again or fingerprint not in there]
    for fingerprint in Bar(missing, desc="thumbnails", unit="image", leave=False, disable=not missing):
        try:
            picture = ImageFiles((root / name_of[fingerprint],)).load(0, fingerprint)
        except DataError as error:
            logger.warning("no thumbnail: %s", error)
            continue
        jpeg = small_jpeg(picture, SIZE)
        write_bytes(thumbnail_file(folder, fingerprint), jpeg + _digest(fingerprint, jpeg))


def _tidied(folder: Path, wanted: set[str]) -> Iterator[str]:
    """Yield the fingerprints of the small pictures that stay, and remove all others, and folders that are then empty.

    Only regular files are touched whose names are those of small pictures, never through a link.
    """
    if not real_folder(folder / FOLDER):
        return
    for first in range(256):
        below = folder / FOLDER / f"{first:02x}"
        if not real_folder(below):
            continue
        for name in regular_files(below):
            target = target_of(name)
            own = _OWN.fullmatch(target)
            if own and target != name:
                remove_abandoned_files(below, target)
            elif own and name.startswith(below.name):
                if own["fingerprint"] in wanted:
                    yield own["fingerprint"]
                else:
                    (below / name).unlink(missing_ok=True)
        with suppress(OSError):  # it is not empty
            below.rmdir()
    with suppress(OSError):
        (folder / FOLDER).rmdir()


def _digest(fingerprint: str, jpeg: bytes) -> bytes:
    return hashlib.sha256(fingerprint.encode("ascii") + jpeg).digest()
