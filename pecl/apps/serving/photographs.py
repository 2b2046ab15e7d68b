"""`Photographs`: the index that a server searches in, and the images that it shows.

A photograph is requested by the id from a search, which is looked up in the index. It is encoded
again as JPEG, so that only pixels leave the machine: no path, no place, no camera.
"""

import logging
import os
import threading
from pathlib import Path

from pecl.apps.search.catalogue import FILE, Head, read_head, shown_name
from pecl.apps.search.index import ImageIndex
from pecl.apps.search.thumbnails import THUMBNAIL, read_thumbnail
from pecl.apps.serving.refusals import Refusal
from pecl.encoders.image import ImageEncoder
from pecl.errors import DataError
from pecl.files.images import small_jpeg

logger = logging.getLogger(__name__)

LARGE = 1280  # pixels of the longer side of an image that is shown alone


class Photographs:
    """The index in a folder, opened again after an update. Thread-safe.

    Raises:
        DataError: there is no index, it is damaged, or it was made with another image tower than `tower`.
    """

    def __init__(self, folder: str | Path, tower: ImageEncoder) -> None:
        self._lock = threading.RLock()
        self._tower = tower
        self._index = self._open(folder)
        self._problem = ""  # of the update that cannot be read, so that each is logged once

    def __len__(self) -> int:
        return len(self.index())

    @property
    def root(self) -> Path:
        """Folder of the photographs."""
        return self._index.root

    def index(self) -> ImageIndex:
        """Return the current index, or, with a warning, the previous one if the current index cannot be read."""
        with self._lock:
            folder = self._index.folder
            try:
                head = read_head(folder)
                if head.generation != self._index.head.generation:
                    self._check_tower(folder, head)  # before the embeddings are read, since every request comes here
                    self._index = self._open(folder)
                self._problem = ""
            except (OSError, DataError) as error:
                if str(error) != self._problem:
                    logger.warning("the index was updated, but cannot be read: %s", error)
                self._problem = str(error)
            return self._index

    def folders(self) -> list[str]:
        """Return the folders that the page offers, at most 1000, relative to `root`."""
        index = self.index()
        direct = {path.parent for path in index.paths}
        every = {
            folder
            for direct_folder in direct
            for folder in (direct_folder, *direct_folder.parents)
            if index.root in folder.parents
        }
        return sorted(name_in(index, folder) for folder in every)[:1000]

    def picture(self, identity: str, size: int) -> bytes:
        """Return the photograph with the id `identity` as JPEG, its longer side at most `size` pixels.

        Raises:
            Refusal: 404, there is no such photograph, or its file is gone or damaged.
        """
        index = self.index()
        try:
            hit = index.find(identity)
            small = None
            if size == THUMBNAIL:
                small = read_thumbnail(index.folder, hit.fingerprint)
            return small_jpeg(index.open_image(hit), size) if small is None else small
        except DataError as error:
            logger.warning("%s", error)  # which names the file, for whoever runs the server
            raise Refusal(404, "id: expected the id of a photograph that can be read", "id") from error

    def _open(self, folder: str | Path) -> ImageIndex:
        index = ImageIndex.open(folder)
        try:
            self._check_tower(index.folder, index.head)
        except DataError:
            index.close()
            raise
        return index

    def _check_tower(self, folder: Path, head: Head) -> None:
        """Raise DataError unless the index in `folder` was made with the server's image tower."""
        tower = head.towers["image"]
        if tower.get("fingerprint") != self._tower.fingerprint:
            raise DataError(
                f"{folder / FILE} was made with the image tower {tower.get('name')} of profile {head.profile}, and the "
                f"server has {self._tower.name}: choose that profile, or rebuild it"
            )


def name_in(index: ImageIndex, path: Path) -> str:
    """Return a path relative to the folder of photographs of an index, as text that JSON can hold."""
    return shown_name(os.fspath(path.relative_to(index.root)))
