"""Qdrant as the holder of an index, for what outgrows one machine: a server (`--url`), or its local mode (`--path`).

A point is a photograph: its id is `Entry.id` as a UUID, its payload has the name (as JSON writes it, in ASCII) and the
fingerprint. A renewal changes the points one batch after another: a search meanwhile sees some of them changed. Renewed
again after an interruption, the collection holds what the folder of photographs does.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from pecl.errors import ConfigError, DataError, OutputError, one_line
from pecl.files import parse_json
from pecl.search.catalogue import Entry, Head, new_generation, read_entries
from pecl.search.engines import Match, Renewal, in_blocks

if TYPE_CHECKING:
    from qdrant_client import QdrantClient

_BATCH = 256  # points that are sent, or read, together


class QdrantStore:
    """The embeddings of an index in a collection of Qdrant.

    Args:
        client: connected.
        collection: its name.
        folder: of the index.
        head: of the index.
    """

    def __init__(self, client: QdrantClient, collection: str, folder: Path, head: Head) -> None:
        self.client = client
        self.collection = collection
        self._folder, self._head = folder, head

    def names(self) -> Sequence[str]:
        """See `Engine`; from the list in the folder of the index."""
        return [entry.name for entry in read_entries(self._folder, self._head)]

    def embeddings(self) -> np.ndarray:
        """See `Engine`; all are fetched."""
        entries = read_entries(self._folder, self._head)
        found = np.full((self._head.count, self._head.width), np.nan, np.float32)
        for block in in_blocks(len(entries), _BATCH):
            rows = {_point_id(entries[row].id): row for row in block}
            with _failing(self._head.place):
                points = self.client.retrieve(self.collection, list(rows), with_payload=False, with_vectors=True)
            for point in points:
                found[rows[str(point.id)]] = cast("list[float]", point.vector)
        if np.isnan(found).any():
            raise DataError(f"collection {self.collection} lacks photographs of the index: renew it with `pecl index`")
        return found

    def find(self, identity: str) -> tuple[str, str] | None:
        """See `Engine`."""
        with contextlib.suppress(ValueError):
            point_id = _point_id(identity)
            with _failing(self._head.place):
                for point in self.client.retrieve(self.collection, [point_id], with_payload=True):
                    return _payload(point)
        return None

    def nearest(self, queries: np.ndarray, top: int) -> list[list[Match]]:
        """See `Engine`; a server may answer approximately."""
        from qdrant_client.models import QueryRequest

        requests = [QueryRequest(query=query.tolist(), limit=top, with_payload=True) for query in queries]
        with _failing(self._head.place):
            answers = self.client.query_batch_points(self.collection, requests)
        return [[Match(*_payload(point), float(point.score)) for point in answer.points] for answer in answers]

    def close(self) -> None:
        """See `Engine`; the local mode is then free for another process."""
        self.client.close()


class _Qdrant:
    """See `EngineKind`."""

    def open(self, folder: Path, head: Head) -> QdrantStore:
        """Connect to the collection that the head names."""
        if "url" not in head.place and not _local_folder(folder, head.place).is_dir():
            raise DataError(
                f"qdrant's folder {_local_folder(folder, head.place)} is missing: make the index anew (--anew)"
            )
        client = _connect(folder, head.place)
        collection = head.place.get("collection", "")
        with _failing(head.place):
            there = client.collection_exists(collection)
        if not there:
            client.close()
            raise DataError(
                f"there is no collection {collection} at {_where(head.place)}: make the index anew (--anew)"
            )
        return QdrantStore(client, collection, folder, head)

    def place(self, where: Mapping[str, str | None]) -> dict[str, str]:
        """Return where the collection is: a server, a folder, or (given neither) the folder of the index."""
        given = {name: value for name, value in where.items() if value is not None}
        if len(given) > 1:
            raise ConfigError("--url, --path: expected one of them, a server or a folder")
        if not all(given.values()):
            raise ConfigError(f"--{next(iter(given))}: expected {'an address' if 'url' in given else 'a folder'}")
        if "path" in given:
            given["path"] = str(Path(given["path"]).absolute())
        return {"collection": f"pecl-{new_generation()}", **given}

    def check(self, head: Head) -> None:
        """Ask a server whether it is there; the local mode makes its folder when it writes."""
        if "url" in head.place:
            client = _connect(Path(), head.place)
            with _failing(head.place), contextlib.closing(client):
                client.get_collections()
        else:
            _client_class()

    def write(self, folder: Path, before: Head | None, head: Head, renewal: Renewal) -> dict[str, str]:
        """Send what is new, and remove what is in the collection and not in the folder."""
        try:
            client = _connect(folder, head.place)
            try:
                with _failing(head.place):
                    self._write(client, head, renewal)
            finally:
                client.close()
        except DataError as error:
            raise OutputError(str(error)) from error
        return {}

    def _write(self, client: QdrantClient, head: Head, renewal: Renewal) -> None:
        from qdrant_client.models import Distance, PointIdsList, PointStruct, VectorParams

        collection = head.place["collection"]
        there = client.collection_exists(collection)
        if there and all(row < 0 for row in renewal.kept):  # made anew, perhaps with another tower
            there = not client.delete_collection(collection)
        if not there:
            client.create_collection(collection, VectorParams(size=head.width, distance=Distance.DOT))
        rows = list(renewal.fresh)
        for block in in_blocks(len(rows), _BATCH):
            points = [
                PointStruct(
                    id=_point_id(renewal.entries[row].id),
                    vector=renewal.fresh[row].tolist(),
                    payload=_describe(renewal.entries[row]),
                )
                for row in rows[block.start : block.stop]
            ]
            client.upsert(collection, points, wait=True)
        known = {_point_id(entry.id) for entry in renewal.entries}
        gone = [point_id for point_id in _point_ids(client, collection) if point_id not in known]
        for block in in_blocks(len(gone), _BATCH):
            client.delete(collection, PointIdsList(points=list(gone[block.start : block.stop])), wait=True)


def _point_id(identity: str) -> str:
    return str(uuid.UUID(hex=identity))


def _describe(entry: Entry) -> dict[str, str]:
    """Return what a point says of a photograph; JSON's escapes carry names that are not UTF-8."""
    return {"name": json.dumps(entry.name), "fingerprint": entry.fingerprint}


def _payload(point: Any) -> tuple[str, str]:
    """Return name and fingerprint of a point; a payload may have been changed by anybody."""
    try:
        name, fingerprint = parse_json(point.payload["name"], halves=True), point.payload["fingerprint"]
    except (KeyError, TypeError, ValueError):
        raise DataError(f"point {point.id} of the collection was not written by pecl") from None
    return str(name), str(fingerprint)


def _point_ids(client: QdrantClient, collection: str) -> list[str]:
    found, offset = [], None
    while True:
        points, offset = client.scroll(collection, limit=_BATCH * 4, offset=offset, with_payload=False)
        found += [str(point.id) for point in points]
        if offset is None:
            return found


def _connect(folder: Path, place: Mapping[str, str]) -> QdrantClient:
    """Return a client of the server or folder that `place` names."""
    client = _client_class()
    with _failing(place):
        if "url" in place:
            return client(url=place["url"], check_compatibility=False)  # which warns beside the sentence
        return client(path=str(_local_folder(folder, place)))


def _client_class() -> type[QdrantClient]:
    try:
        from qdrant_client import QdrantClient
    except ImportError as error:
        raise ConfigError("engine qdrant needs qdrant-client: pip install 'pecl[search]'") from error
    return QdrantClient


def _local_folder(folder: Path, place: Mapping[str, str]) -> Path:
    """Return where the local mode keeps its files."""
    return Path(place.get("path") or folder / "qdrant")


@contextlib.contextmanager
def _failing(place: Mapping[str, str]) -> Iterator[None]:
    """Turn what the client raises, which is of many kinds, into one sentence that names the place."""
    try:
        yield
    except (DataError, ConfigError):
        raise
    except Exception as error:
        raise DataError(f"qdrant at {_where(place)}: {one_line(error) or type(error).__name__}") from error


def _where(place: Mapping[str, str]) -> str:
    return place.get("url") or place.get("path") or "the index's own folder"


QDRANT = _Qdrant()
