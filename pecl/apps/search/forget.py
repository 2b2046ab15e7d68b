"""Remove an index, and the cached embeddings of its photographs: `forget_index`."""

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pecl.apps.search.catalogue import FILE, FILES, UnavailableError, connected, index_folder, read_head, read_started
from pecl.apps.search.options import BUSY
from pecl.apps.search.qdrant import Points
from pecl.errors import ConfigError, DataError, setting
from pecl.files import LOCK, locked

logger = logging.getLogger(__name__)


class ForgetReport(NamedTuple):
    """The outcome of `forget_index`."""

    folder: Path  # of the index that was removed
    photographs: int  # in the index; they stay
    embeddings: int  # that were removed from the cache


def forget_index(folder: str | Path, out: str | Path | None = None) -> ForgetReport:
    """Remove the index of a folder of photographs, and the cached embeddings of its photographs, which stay.

    Args:
        folder: folder of the photographs, which may be gone, or of the index.
        out: folder of the index, if it is not the default one.

    Raises:
        DataError: there is no index, or another program has locked it; nothing is removed.
        ConfigError: the index in `out` belongs to another folder.
        OutputError: the index or the cache cannot be written.
        BusyError: another process is updating the index.
    """
    from pecl.encoders.store import forget_images  # takes seconds

    places = [Path(folder), index_folder(folder)] if out is None else [Path(out)]
    index_path = next((path for path in places if _has_any(path, (*FILES, LOCK))), None)
    if index_path is None:
        raise _no_index(folder, places[-1])

    with locked(index_path / LOCK, BUSY.format(index_path)):
        if not _has_any(index_path, FILES):
            raise _no_index(folder, index_path)
        contents = _read_contents(index_path, Path(folder)) if (index_path / FILE).exists() else []
        # first, so that the command can be repeated if it fails
        count = forget_images({*contents, *read_started(index_path)})
        for name in FILES:
            (index_path / name).unlink(missing_ok=True)

    with contextlib.suppress(OSError):
        index_path.rmdir()  # removes only an empty folder
    return ForgetReport(index_path, len(contents), count)


def _has_any(folder: Path, names: Iterable[str]) -> bool:
    return any((folder / name).is_file() for name in names)


def _no_index(folder: str | Path, index_path: Path) -> DataError:
    return DataError(
        f"{folder}: there is no index of it in {index_path}: {setting('out')} names the folder of another one"
    )


def _read_contents(index_path: Path, folder: Path) -> list[str]:
    """Return the fingerprint of each photograph of the index in `index_path`, and delete its points on a Qdrant server.

    A damaged index is removed, too: it has no fingerprints that could be read.
    Raise UnavailableError if it may be whole.
    """
    try:
        head = read_head(index_path)
        with connected(index_path) as database:
            contents = [fingerprint for (fingerprint,) in database.execute("SELECT fingerprint FROM photographs")]
    except UnavailableError:
        raise
    except DataError as error:
        logger.warning("%s; cached embeddings of its photographs stay: see docs/photographs.md", error)
        return []

    if folder.resolve() not in (Path(head.root), index_path.resolve()):
        raise ConfigError(
            f"{index_path} is the index of {head.root}, got {folder.resolve()}: name another one with {setting('out')}"
        )

    if head.url:
        try:
            Points(head.url, head.collection).drop()
        except DataError as error:
            logger.warning("%s cannot be deleted from its Qdrant server: %s", head.collection, error)

    return contents
