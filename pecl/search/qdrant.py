"""A Qdrant server as the vector backend of an index, for more photographs than one machine searches well.

A point is a photograph: its number is the photograph's id as a UUID, and it holds the embedding only. Names and
fingerprints stay in the list in the index's folder. A renewal adds points before it writes the head and removes points
after it, one batch after another: a search meanwhile finds a changed photograph by its new embedding. Points are
counted when an index is opened, and compared with the list at each renewal.

`CollectionRows` searches in a collection that another program has made. Nothing is written to that server, and its
address comes from the command line only.

Qdrant's local mode is not used: it keeps points as pickles, and opening them runs any code that is in them.
"""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pecl.errors import ConfigError, DataError, OutputError, one_line, unknown
from pecl.files.image_rows import Nearest
from pecl.search.catalogue import HEAD, Entry, Head, photograph_id, read_entries
from pecl.search.engines import Renewal, check_scores, in_blocks
from pecl.search.trust import Collection

if TYPE_CHECKING:
    from qdrant_client import QdrantClient
    from qdrant_client.models import Record, ScoredPoint

logger = logging.getLogger(__name__)

_BATCH = 256  # points that are sent, or read, together
PATH_KEYS = ("path", "image_path", "file_path", "filepath", "file", "filename", "file_name", "uri", "url")
UNNAMED = ""  # name of the only vector of a collection without named vectors, as in Qdrant
_SAMPLE = 256  # points whose lengths are checked
_LENGTH = 0.01  # by which the length of a vector may differ from 1: a server may hold numbers of 16 bits


class QdrantStore:
    """The embeddings of an index of N photographs in a collection of Qdrant.

    The collection has `surplus` further points, which an unfinished renewal leaves.
    """

    def __init__(
        self, client: QdrantClient, collection: Collection, head: Head, entries: Sequence[Entry], surplus: int
    ) -> None:
        self.entries = entries
        self._client, self._collection, self._head, self._surplus = client, collection, head, surplus

    @cached_property
    def _by_point(self) -> dict[str, int]:
        return {point: row for row, point in enumerate(_points_of(self._head, self.entries))}

    def embeddings(self) -> np.ndarray:
        """See `Engine`; all are fetched."""
        found = np.full((len(self.entries), self._head.width), np.nan, np.float32)
        points = list(self._by_point)
        for block in in_blocks(len(points), _BATCH):
            with _failing(self._collection.url):
                own = self._client.retrieve(
                    self._collection.name, points[block.start : block.stop], with_payload=False, with_vectors=True
                )
            for point in own:
                found[self._by_point[str(point.id)]] = cast("list[float]", point.vector)
        check_scores((found * found).sum(axis=1), self._collection)
        return found

    def nearest(self, queries: np.ndarray, top: int, corrected: np.ndarray) -> list[list[tuple[int, float]]]:
        """See `Engine`; a server may answer approximately, and corrects nothing."""
        from qdrant_client.models import QueryRequest

        limit = min(top, len(self.entries)) + self._surplus
        requests = [QueryRequest(query=query.tolist(), limit=limit, with_payload=False) for query in queries]
        with _failing(self._collection.url):
            answers = self._client.query_batch_points(self._collection.name, requests)
        check_scores(np.array([point.score for answer in answers for point in answer.points]), self._collection)
        found: list[list[tuple[int, float]]] = []
        for answer in answers:
            rows = [(self._by_point.get(str(point.id)), point.score) for point in answer.points]
            found.append([(row, float(score)) for row, score in rows if row is not None][:top])
        return found

    def close(self) -> None:
        """See `Engine`."""
        self._client.close()


class Qdrant:
    """See `EngineKind`."""

    def __init__(self, url: str | None) -> None:
        if not url:
            raise ConfigError("--engine qdrant: expected the address of a server with --url")
        self.url = url

    def check(self) -> None:
        """See `EngineKind`."""
        with self.client() as client:
            client.get_collections()

    def open(self, folder: Path, head: Head) -> QdrantStore:
        """See `EngineKind`; points are counted."""
        entries, collection = read_entries(folder, head), Collection(self.url, head.collection)
        client = _connect(self.url)
        try:
            with _failing(self.url):
                found = client.collection_exists(collection.name)
                count = client.count(collection.name, exact=True).count if found else 0
            if count < head.count:
                raise DataError(
                    f"{collection} has {count} of the {head.count} photographs of {folder / HEAD}: "
                    f"`pecl index FOLDER` embeds the others again"
                )
        except BaseException:
            client.close()
            raise
        return QdrantStore(client, collection, head, entries, count - head.count)

    def lost(self, folder: Path, head: Head) -> list[int]:
        """See `EngineKind`; rows that have no point."""
        entries = read_entries(folder, head)
        with self.client() as client:
            there = set(_points_in(client, head.collection)) if client.collection_exists(head.collection) else set()
        return [row for row, point in enumerate(_points_of(head, entries)) if point not in there]

    def write(self, folder: Path, before: Head | None, head: Head, renewal: Renewal) -> dict[str, str]:
        """See `EngineKind`; sends new points."""
        from qdrant_client.models import Distance, PointStruct, VectorParams

        ids = _points_of(head, renewal.entries)
        rows = list(renewal.fresh)
        try:
            with self.client() as client:
                if not client.collection_exists(head.collection):
                    client.create_collection(head.collection, VectorParams(size=head.width, distance=Distance.DOT))
                for block in in_blocks(len(rows), _BATCH):
                    own = rows[block.start : block.stop]
                    points = [PointStruct(id=ids[row], vector=renewal.fresh[row].tolist()) for row in own]
                    client.upsert(head.collection, points, wait=True)
        except DataError as error:
            raise OutputError(str(error)) from error
        return {}

    def clean(self, head: Head, entries: Sequence[Entry]) -> None:
        """See `EngineKind`; removes the points of photographs that left."""
        from qdrant_client.models import PointIdsList

        known = set(_points_of(head, entries))
        with self.client() as client:
            gone = [point for point in _points_in(client, head.collection) if point not in known]
            for block in in_blocks(len(gone), _BATCH):
                client.delete(head.collection, PointIdsList(points=list(gone[block.start : block.stop])), wait=True)

    @contextlib.contextmanager
    def client(self) -> Iterator[QdrantClient]:
        """Connect; errors of the client in the body become one DataError that names the server."""
        client = _connect(self.url)
        with _failing(self.url), contextlib.closing(client):
            yield client


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


def drop_collections(collections: Iterable[Collection]) -> list[Collection]:
    """Delete collections of this user, and return those that are still there since their server does not answer."""
    left = []
    for collection in collections:
        try:
            with Qdrant(collection.url).client() as client:
                client.delete_collection(collection.name)
        except DataError as error:
            logger.warning("%s is no longer used, and cannot be deleted: %s", collection, error)
            left.append(collection)
    return left


def _points_of(head: Head, entries: Sequence[Entry]) -> list[str]:
    """Return the number of each photograph's point."""
    return [str(uuid.UUID(hex=photograph_id(head.salt, entry.name))) for entry in entries]


def _points_in(client: QdrantClient, collection: str) -> list[str]:
    found, offset = [], None
    while True:
        points, offset = client.scroll(collection, limit=1024, offset=offset, with_payload=False, with_vectors=False)
        found += [str(point.id) for point in points]
        if offset is None:
            return found


def _connect(url: str) -> QdrantClient:
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise ConfigError("engine qdrant needs qdrant-client: pip install 'pecl[search]'") from error
    with _failing(url):
        return QdrantClient(url=url, check_compatibility=False)  # its warning would come on top of the sentence


@contextlib.contextmanager
def _failing(url: str) -> Iterator[None]:
    """Turn the client's errors, which are of many kinds, into one sentence that names the server."""
    try:
        yield
    except (DataError, ConfigError):
        raise
    except Exception as error:
        raise DataError(f"qdrant at {url}: {one_line(error) or type(error).__name__}") from error


def _path_of(point: ScoredPoint) -> str:
    """Return the path in the payload of a point, or its id."""
    payload = point.payload or {}
    return next((path for key in PATH_KEYS if isinstance(path := payload.get(key), str) and path), str(point.id))
