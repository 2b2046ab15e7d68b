"""Search in a Qdrant server in place of a matrix in memory, for more photographs than one machine searches well.

A photograph is a point: the point's id is the photograph's id as a UUID, and it holds a copy of the
embedding. An update adds points before it writes the index and removes points afterwards, in
batches: a search in the meantime finds a changed photograph by its new embedding.

`CollectionRows` searches in a collection that another program has made, and writes nothing to the server.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from pecl.apps.search.catalogue import Entry, photograph_id
from pecl.errors import ConfigError, DataError, OutputError, PeclError, command, install, one_line, unknown
from pecl.files.image_rows import Nearest

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

logger = logging.getLogger(__name__)

_BATCH = 256  # points per request
_TOLERANCE = 1e-2  # allowed excess of a similarity over 1: a server may store 16-bit numbers
PATH_KEYS = ("path", "image_path", "file_path", "filepath", "file", "filename", "file_name", "uri", "url")
UNNAMED = ""  # name of the only vector of a collection without named vectors, as in Qdrant
_SAMPLE = 256  # points whose lengths are checked
_LENGTH = 0.01  # allowed difference of a vector's length from 1: a server may store 16-bit numbers


class Points:
    """The embeddings of an index of photographs in a collection of the server at `url`."""

    def __init__(self, url: str, collection: str) -> None:
        self.url = url
        self.name = collection
        self._client = _connect(url)

    def __str__(self) -> str:
        return f"collection {self.name} of qdrant at {self.url}"

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    @cached_property
    def there(self) -> set[str]:
        """Ids of all points at the first access; empty if there is no collection."""
        ids = set[str]()
        offset = None
        with _failing(self.url):
            while self._client.collection_exists(self.name):
                points, offset = self._client.scroll(
                    self.name, limit=1024, offset=offset, with_payload=False, with_vectors=False
                )
                ids |= {str(point.id) for point in points}
                if offset is None:
                    break

        return ids

    def send(self, fresh: Mapping[str, np.ndarray]) -> None:
        """Add or replace embeddings (D,) by name of the photograph; raise OutputError if the server refuses them."""
        from qdrant_client.models import Distance, PointStruct, VectorParams

        names = list(fresh)
        with _failing(self.url, OutputError):
            if names and not self._client.collection_exists(self.name):
                vectors = VectorParams(size=len(fresh[names[0]]), distance=Distance.DOT)
                self._client.create_collection(self.name, vectors)
            for start in range(0, len(names), _BATCH):
                batch = names[start : start + _BATCH]
                points = [PointStruct(id=point_of(name), vector=fresh[name].tolist()) for name in batch]
                self._client.upsert(self.name, points, wait=True)

    def keep(self, entries: Sequence[Entry]) -> None:
        """Remove all points except those of `entries`."""
        from qdrant_client.models import PointIdsList

        gone = list(self.there - {point_of(entry.name) for entry in entries})
        with _failing(self.url):
            for start in range(0, len(gone), _BATCH):
                self._client.delete(self.name, PointIdsList(points=list(gone[start : start + _BATCH])), wait=True)

    def drop(self) -> None:
        """Delete the collection."""
        with _failing(self.url):
            self._client.delete_collection(self.name)


class QdrantSearch(Points):
    """The embeddings of an index of N photographs, to be searched; see `ExactSearch` for the methods.

    Raises:
        DataError: the server does not answer, or lacks photographs.
    """

    def __init__(self, url: str, collection: str, entries: Sequence[Entry]) -> None:
        super().__init__(url, collection)
        self._numbers = [point_of(entry.name) for entry in entries]
        self._rows = {number: row for row, number in enumerate(self._numbers)}
        missing = len(self._rows.keys() - self.there)
        if missing:
            raise DataError(f"{self} lacks {missing} of {len(entries)} photographs: `pecl index FOLDER` adds them")

    def nearest(
        self, query: np.ndarray, top: int, corrected: bool, rows: np.ndarray | None = None
    ) -> list[tuple[int, float]]:
        """Search as `ExactSearch` does; a server may approximate, and hubs are not corrected.

        Raises:
            DataError: a similarity is outside -1 to 1, or the server fails.
        """
        from qdrant_client.models import Filter, HasIdCondition

        among = None
        if rows is not None:
            among = Filter(must=[HasIdCondition(has_id=[self._numbers[row] for row in rows])])

        surplus = len(self.there) - len(self._rows)  # left by an unfinished update
        limit = min(top, len(self._rows)) + surplus
        with _failing(self.url):
            answer = self._client.query_points(
                self.name, query.tolist(), query_filter=among, limit=limit, with_payload=False
            )

        hits = [(self._rows.get(str(point.id)), float(point.score)) for point in answer.points]
        if not all(abs(score) <= 1 + _TOLERANCE for _, score in hits):  # NaN fails, too
            raise DataError(
                f"{self} gives similarities outside -1 to 1: run {command('index', 'FOLDER', rebuild=True)}"
            )
        return [(row, score) for row, score in hits if row is not None][:top]


def point_of(name: str) -> str:
    """Return the id of a photograph's point, a UUID."""
    return str(uuid.UUID(hex=photograph_id(name)))


class CollectionRows:
    """Images in a collection of the server at `url`, compared by the vector that is named `vector`.

    Raises:
        ConfigError: qdrant-client is not installed.
        DataError: the server does not answer, or has no such collection or vector.
    """

    def __init__(self, url: str, collection: str, vector: str = UNNAMED) -> None:
        self._url = url
        self._name = collection
        self._vector = vector
        self._client = _connect(url)
        self._shown = f"collection {collection!r} of qdrant at {url}"

        with _failing(url):
            names = [existing.name for existing in self._client.get_collections().collections]
            if collection not in names:
                raise DataError(f"qdrant at {url}: {unknown('collection', collection, names)}", field="collection")
            vectors = self._client.get_collection(collection).config.params.vectors

        if isinstance(vectors, Mapping):
            by_name = vectors
        elif vectors is None:
            by_name = {}
        else:
            by_name = {UNNAMED: vectors}
        if vector not in by_name:
            expected = "none, since its vector has no name" if UNNAMED in by_name else ", ".join(sorted(by_name))
            raise DataError(f"{self._shown}: expected {expected}, got {vector or 'none'}", field="vector")

        self._parameters = by_name[vector]

    def check(self, width: int, tower: str) -> None:
        """Raise DataError unless the width, the distance and, with Dot, the lengths of the vectors fit the tower."""
        parameters = self._parameters
        if parameters.size != width or parameters.multivector_config is not None:
            actual = "several for each image"
            if parameters.multivector_config is None:
                actual = f"width {parameters.size}"
            raise DataError(
                f"{self._shown}: expected one vector of width {width}, as {tower} gives, got {actual}: choose the "
                "profile with the tower that embedded the images"
            )

        if parameters.distance not in ("Cosine", "Dot"):
            raise DataError(f"{self._shown}: expected the distance Cosine or Dot, got {parameters.distance.value}")

        with _failing(self._url):
            points, _ = self._client.scroll(
                self._name, limit=_SAMPLE, with_payload=False, with_vectors=[self._vector] if self._vector else True
            )

        vectors = [
            point.vector.get(self._vector) if isinstance(point.vector, Mapping) else point.vector for point in points
        ]
        rows = [vector for vector in vectors if vector is not None]
        lengths = np.linalg.norm(np.array(rows, np.float32), axis=-1)  # (S,)
        if parameters.distance == "Dot" and not (np.abs(lengths - 1) < _LENGTH).all():
            raise DataError(
                f"{self._shown}: expected vectors of length 1 with the distance Dot, got lengths from "
                f"{lengths.min():.3g} to {lengths.max():.3g}: use Cosine, or divide each vector by its length"
            )

    def nearest(self, query: np.ndarray, top: int) -> list[Nearest]:
        """Return the `top` images nearest to an embedding (D,) of length 1, nearest first; the server may approximate.

        Raises:
            DataError: no point has the vector.
        """
        with _failing(self._url):
            points = self._client.query_points(
                self._name, query.tolist(), using=self._vector or None, limit=top, with_payload=list(PATH_KEYS)
            ).points

        if not points:
            vector = f"the vector {self._vector!r}" if self._vector else "a vector"
            raise DataError(f"{self._shown}: expected images, got no point with {vector}")

        hits = []
        for point in points:
            values = [(point.payload or {}).get(key) for key in PATH_KEYS]
            paths = [value for value in values if isinstance(value, str) and value]
            hits.append(Nearest(paths[0] if paths else str(point.id), float(point.score)))

        return hits


def _connect(url: str) -> QdrantClient:
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise ConfigError(f"engine qdrant needs qdrant-client: {install('search')}") from error
    with _failing(url):
        return QdrantClient(url=url, check_compatibility=False)  # its warning would be printed next to our error


@contextlib.contextmanager
def _failing(url: str, kind: type[PeclError] = DataError) -> Iterator[None]:
    """Turn the client's errors, which are of many kinds, into one sentence that names the server."""
    try:
        yield
    except PeclError:
        raise
    except Exception as error:
        raise kind(f"qdrant at {url}: {one_line(error) or type(error).__name__}") from error
