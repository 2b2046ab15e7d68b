"""`CollectionRows`: embeddings of images in a collection of Qdrant that another program has made, to be searched.

Nothing is written to the server. Its address comes from the command line only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pecl.errors import DataError, unknown
from pecl.files.image_rows import Nearest
from pecl.search.qdrant import Qdrant

if TYPE_CHECKING:
    from qdrant_client.models import Record, ScoredPoint

PATH_KEYS = ("path", "image_path", "file_path", "filepath", "file", "filename", "file_name", "uri", "url")
UNNAMED = ""  # name of the only vector of a collection without named vectors, as in Qdrant
_SAMPLE = 256  # points whose lengths are checked
_LENGTH = 0.01  # by which the length of a vector may differ from 1: a server may hold numbers of 16 bits


class CollectionRows:
    """The images of a collection of the server at `url`, by the vector of this name.

    Raises:
        ConfigError: qdrant-client is not installed.
        DataError: the server does not answer, or has no such collection or vector.
    """

    def __init__(self, url: str, collection: str, vector: str = UNNAMED) -> None:
        self._server, self._name, self._vector = Qdrant(url), collection, vector
        self._shown = f"collection {collection!r} of qdrant at {url}"
        with self._server.client() as client:
            names = [one.name for one in client.get_collections().collections]
            if collection not in names:
                raise DataError(f"--collection: qdrant at {url}: {unknown('collection', collection, names)}")
            vectors = client.get_collection(collection).config.params.vectors
        named = vectors if isinstance(vectors, Mapping) else {} if vectors is None else {UNNAMED: vectors}
        if vector not in named:
            known = "no --vector: its vector has no name" if UNNAMED in named else ", ".join(sorted(named))
            raise DataError(f"--vector: {self._shown}: expected {known}, got {vector or 'none'}")
        self._about = named[vector]

    def check(self, width: int, tower: str) -> None:
        """Raise DataError unless the vectors can be compared with a tower's: width, distance, with Dot also length."""
        about = self._about
        if about.size != width or about.multivector_config is not None:
            got = f"width {about.size}" if about.multivector_config is None else "several for each image"
            raise DataError(
                f"{self._shown}: expected one vector of width {width}, as {tower} gives, got {got}: choose the "
                f"--profile with the tower that embedded the images"
            )
        if about.distance not in ("Cosine", "Dot"):
            raise DataError(f"{self._shown}: expected the distance Cosine or Dot, got {about.distance.value}")
        with self._server.client() as client:
            points, _ = client.scroll(
                self._name, limit=_SAMPLE, with_payload=False, with_vectors=[self._vector] if self._vector else True
            )
        rows = [row for point in points if (row := self._vector_of(point)) is not None]
        lengths = np.linalg.norm(np.array(rows, np.float32), axis=-1)  # (S,)
        if about.distance == "Dot" and not (np.abs(lengths - 1) < _LENGTH).all():
            raise DataError(
                f"{self._shown}: expected vectors of length 1 with the distance Dot, got lengths from "
                f"{lengths.min():.3g} to {lengths.max():.3g}: use Cosine, or divide each vector by its length"
            )

    def nearest(self, query: np.ndarray, top: int) -> list[Nearest]:
        """Return the `top` images nearest to an embedding (D,) of length 1, nearest first; the server may approximate.

        Raises:
            DataError: no point has the vector.
        """
        with self._server.client() as client:
            points = client.query_points(
                self._name, query.tolist(), using=self._vector or None, limit=top, with_payload=list(PATH_KEYS)
            ).points
        if not points:
            raise DataError(f"{self._shown}: expected images, got no point with the vector {self._vector or 'asked'}")
        return [Nearest(_path_of(point), float(point.score)) for point in points]

    def _vector_of(self, point: Record) -> Any:
        return point.vector.get(self._vector) if isinstance(point.vector, Mapping) else point.vector


def _path_of(point: ScoredPoint) -> str:
    """Return the path in the payload of a point, or its id."""
    payload = point.payload or {}
    return next((path for key in PATH_KEYS if isinstance(path := payload.get(key), str) and path), str(point.id))
