"""Embeddings of frozen towers, computed once and kept on disk for every run.

`EmbeddingStore` maps (tower, content) to an embedding: the tower by its fingerprint (weights, preprocessing, type of
numbers), the content by a hash. A missing embedding is computed, added, and never computed again. An image is keyed by
the hash of its file, and embedded from the very bytes that have this hash. A text is keyed by the token ids of its list
and its place there: texts of a batch are padded to one length, so the last bits of an embedding depend on its
neighbours, and one list must give the same bits for any earlier content of the cache.

On disk, one folder per tower with shards: a writer adds a shard of its own, atomically, after every few hundred
embeddings, so a killed process loses no more than those; when it is done it writes them as one. Any number of processes
may share a store. Reading checks shards; a shard that is proven wrong is dropped with a warning and its embeddings are
computed again.

A shard is a file of rows (`pecl.files.rows`): `rows` (N,) int64, the row of each key; `embeddings` (N, D) float32 in
the order they were made; and `keys` (N, 32) uint8, the SHA-256 of each key in ascending order. The metadata names the
tower. The index, keys and rows, is held in memory (40 bytes per embedding). The embeddings stay on disk.
"""

import contextlib
import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import DataError, OutputError
from pecl.files import check_writable, default_cache_dir, remove_abandoned_files, sha256_bytes, sha256_json
from pecl.files.images import CLOCK_RESOLUTION_NS, ImageSource, unreadable_error, unreadable_images
from pecl.files.progress import Bar
from pecl.files.rows import DamagedRowsError, open_rows, write_rows
from pecl.machine import FP32

logger = logging.getLogger(__name__)

SHARD_ROWS = 256  # embeddings after which they are saved
IMAGE_BATCH = 32
# Raised when the meaning of a key or the form of a shard changes. Before 2, an image was read once for its key and
# again for its embedding.
FOLDER = "embeddings-3"
_HASH_BYTES = 32
_TENSORS = ("rows", "embeddings", "keys")

# Places of missing keys -> batches of places and their embeddings (B, D)
Compute = Callable[[list[int]], Iterable[tuple[Sequence[int], torch.Tensor]]]


def hash_keys(keys: Sequence[str]) -> np.ndarray:
    """Return the SHA-256 of each of N keys, (N,) of 32 bytes each."""
    return np.array([hashlib.sha256(key.encode("utf-8")).digest() for key in keys], dtype=f"S{_HASH_BYTES}")


def write_shard(path: Path, tower: str, hashes: np.ndarray, embeddings: np.ndarray) -> None:
    """Write the embeddings (N, D) float32 of N distinct key hashes to `path`, atomically."""
    rows = np.argsort(hashes).astype(np.int64)
    keys = np.frombuffer(hashes[rows].tobytes(), np.uint8).reshape(-1, _HASH_BYTES)
    write_rows(path, _TENSORS, [{"rows": rows, "embeddings": embeddings, "keys": keys}], {"tower": tower})


class Shard:
    """The index of one file, which must hold embeddings of `tower`; a damaged one raises a `DamagedRowsError`."""

    def __init__(self, path: Path, tower: str) -> None:
        self.path = path
        tensors, metadata = open_rows(path, check=False)
        self._digest = metadata["digest"]
        lengths = {len(rows) for rows in tensors.values()}
        if metadata.get("tower") != tower:
            raise DamagedRowsError(path, "it belongs to another tower")
        if tensors.keys() != set(_TENSORS) or len(lengths) != 1:
            raise DamagedRowsError(path, "it is not a shard")
        self.width: int = tensors["embeddings"].shape[1]
        self._rows = tensors["rows"].load()
        self._hashes = tensors["keys"].load().reshape(-1).view(f"S{_HASH_BYTES}")

    def find(self, hashes: np.ndarray) -> np.ndarray:
        """Return the row of each of N key hashes, (N,) int64; -1 for those that are not here."""
        places = np.searchsorted(self._hashes, hashes).clip(max=len(self._hashes) - 1)
        return np.where(self._hashes[places] == hashes, self._rows[places], -1)

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Return the embeddings (N, D) float32 of N rows, in that order.

        The file is opened for each call, since a store may have more shards than a process may have open files.
        """
        tensors, metadata = open_rows(self.path, check=False)
        if metadata["digest"] != self._digest:
            raise DamagedRowsError(self.path, "it has changed since it was opened")
        return tensors["embeddings"].take(rows)

    def all(self) -> tuple[np.ndarray, np.ndarray]:
        """Return all key hashes (N,) and their embeddings (N, D)."""
        return self._hashes, self.read(self._rows)


class EmbeddingStore:
    """Embeddings of one frozen tower, by content. `key in store` says whether an embedding is there.

    Args:
        tower: identity of the tower; see `fingerprint`.
        folder: folder of all stores; each tower has its own folder there.
    """

    def __init__(self, tower: str, folder: str | Path | None = None) -> None:
        self.tower = tower
        self.folder = Path(folder or default_cache_dir()) / FOLDER / tower[:16]
        self._shards: dict[str, Shard] = {}  # file name -> index
        self._dropped: set[str] = set()  # files that are proven wrong, and cannot be removed
        self._listed_at: int | None = None  # change time of the folder when it was last listed

    def get(self, keys: Sequence[str], compute: Compute, *, gaps: bool = False) -> torch.Tensor:
        """Return the embeddings of `keys`, (N, D) float32.

        Args:
            keys: contents' names; may repeat.
            compute: gets the places of missing keys (each key once); further elements of its batches are ignored.
            gaps: let `compute` leave places out, whose rows are NaN then; (N, 0) where it leaves out all.

        Raises:
            OutputError: embeddings are missing and the folder cannot be written; found before any is computed.
            DataError: a shard cannot be read, though nothing says that it is damaged, or an embedding is not finite.
        """
        hashes = hash_keys(keys)
        found = self._read(hashes)
        _, first = np.unique(hashes, return_index=True)
        missing = [int(i) for i in np.sort(first) if found is None or np.isnan(found[i, 0])]
        if missing:
            self._add(hashes, missing, compute)
            found = self._read(hashes)
        if gaps:
            found = np.empty((len(keys), 0), np.float32) if found is None else found
        elif found is None or np.isnan(found).any():
            raise DataError(f"embeddings in {self.folder} were removed while they were read; run again")
        return torch.from_numpy(found)  # (N, D)

    def __contains__(self, key: object) -> bool:
        self._read_new_shards()
        hashes = hash_keys([str(key)])
        return any(shard.find(hashes)[0] >= 0 for shard in self._shards.values())

    def _read(self, hashes: np.ndarray) -> np.ndarray | None:
        """Return the embeddings (N, D), NaN where there is none; None where nothing is there at all."""
        self._read_new_shards()
        found: np.ndarray | None = None
        open_places = np.arange(len(hashes))
        for name, shard in list(self._shards.items()):
            rows = shard.find(hashes[open_places])
            here = rows >= 0
            if not here.any():
                continue
            try:
                embeddings = shard.read(rows[here])
            except DamagedRowsError as error:
                self._drop(shard.path, error)
                continue
            except DataError as error:
                if not isinstance(error.__cause__, FileNotFoundError):
                    raise
                self._shards.pop(name)  # another process has written its shards as one
                self._listed_at = None
                return self._read(hashes)
            if found is None:
                found = np.full((len(hashes), embeddings.shape[1]), np.nan, np.float32)
            found[open_places[here]] = embeddings
            open_places = open_places[~here]
        return found

    def _add(self, hashes: np.ndarray, missing: list[int], compute: Compute) -> None:
        batches: list[tuple[np.ndarray, np.ndarray]] = []
        written: list[Path] = []
        wanted = set(missing)
        try:
            check_writable(self.folder)
            try:
                for places, embeddings in compute(missing):
                    if not torch.isfinite(embeddings).all():
                        raise DataError(
                            f"tower {self.tower[:16]} gives embeddings that are not finite: its weights are damaged"
                        )
                    kept = [i for i, place in enumerate(places) if place in wanted]
                    wanted.difference_update(places)
                    batches.append((hashes[[places[i] for i in kept]], embeddings[kept].float().numpy()))
                    if sum(len(batch) for batch, _ in batches) >= SHARD_ROWS:
                        written.append(self._write_part(batches))
                        batches = []
            finally:  # keep embeddings made before an interruption or a bad image
                if batches:
                    written.append(self._write_part(batches))
            self._join(written)
        except OutputError as error:
            raise OutputError(f"{error}; PECL_CACHE_DIR names another folder for embeddings") from error

    def _write_part(self, batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> Path:
        """Write a shard under a name that no other process has, so that none removes it before it is joined."""
        hashes, embeddings = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        path = self.folder / f"part-{secrets.token_hex(8)}.safetensors"
        write_shard(path, self.tower, hashes, embeddings)
        return path

    def _join(self, written: list[Path]) -> None:
        """Write the shards of one computation as one, so that there are few; equal computations leave equal files."""
        parts = [Shard(path, self.tower).all() for path in written]
        if not parts:
            return
        hashes, embeddings = (np.concatenate(own) for own in zip(*parts, strict=True))
        name = f"{sha256_bytes(hashes.tobytes())[:16]}.safetensors"
        self._dropped.discard(name)
        if len(written) == 1:
            written[0].replace(self.folder / name)
            return
        write_shard(self.folder / name, self.tower, hashes, embeddings)
        for path in written:
            path.unlink(missing_ok=True)

    def _read_new_shards(self) -> None:
        """Read the index of each shard that was added, by any process, since the folder was last listed."""
        try:
            changed = self.folder.stat().st_mtime_ns
        except (FileNotFoundError, NotADirectoryError):  # the latter is reported when something is written
            self._shards = {}
            return
        if changed == self._listed_at:
            return
        # A change within the clock's resolution would pass unseen, so a folder that changed just now is listed again.
        just_now = time.time_ns() - changed < CLOCK_RESOLUTION_NS
        self._listed_at = None if just_now else changed
        with contextlib.suppress(OSError):  # the folder cannot be listed
            remove_abandoned_files(self.folder)  # a process killed in its last write leaves nothing to write here
        names = {path.name for path in self.folder.glob("[!.]*.safetensors")}
        self._shards = {name: shard for name, shard in self._shards.items() if name in names}
        for name in sorted(names - self._shards.keys() - self._dropped):
            try:
                self._shards[name] = Shard(self.folder / name, self.tower)
            except DamagedRowsError as error:
                self._drop(self.folder / name, error)
            except DataError as error:
                if not isinstance(error.__cause__, FileNotFoundError):  # that one was joined by its writer
                    raise

    def _drop(self, path: Path, error: DamagedRowsError) -> None:
        logger.warning("dropping damaged cache file, its embeddings are computed again: %s", error)
        self._shards.pop(path.name, None)
        try:
            path.unlink(missing_ok=True)
        except OSError:  # in a read-only folder it stays, and is passed over
            self._dropped.add(path.name)


def store_of(tower: ImageEncoder | MultilingualTextEncoder) -> EmbeddingStore:
    """Return the store of a tower's embeddings as they are computed here: their last digits depend on that."""
    device = tower.device.type
    identity = [tower.fingerprint, device, torch.get_num_threads() if device == "cpu" else None]
    if isinstance(tower, MultilingualTextEncoder) and tower.precision != FP32:
        identity.append(tower.precision)
    return _store_of(sha256_json(identity), default_cache_dir())


@cache
def _store_of(identity: str, folder: Path) -> EmbeddingStore:
    """Return the one store of this identity in this process, so that the index of its files is read once."""
    return EmbeddingStore(identity, folder)


def image_fingerprints(images: ImageSource) -> list[str]:
    """Return the fingerprint of each of M images; a DataError counts all that cannot be read, and names ten."""
    try:
        return [images.fingerprint(i) for i in range(len(images))]
    except DataError as error:
        failed = unreadable_images(images)
        raise (unreadable_error(images, failed) if failed else error) from None


def image_embeddings(
    tower: ImageEncoder, images: ImageSource, store: EmbeddingStore, prints: Sequence[str] | None = None
) -> torch.Tensor:
    """Return the embeddings (M, D) of `images`, from the store if they are there.

    Images must have the fingerprints `prints`, where these were made before.

    Raises:
        DataError: images cannot be read (all are counted and the first ten are named), or one changed after its
            fingerprint was made; nothing of it is kept.
    """
    prints = prints or image_fingerprints(images)
    try:
        return store.get(prints, partial(_encode_images, tower, images, prints))
    except DataError as error:
        failed = unreadable_images(images, store)
        raise (unreadable_error(images, failed) if failed else error) from None


def _encode_images(
    tower: ImageEncoder, images: ImageSource, prints: Sequence[str], indices: list[int]
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Yield batches of indices and the embeddings (B, D) of their images, each of the content that `prints` names."""
    logger.info("embedding %d images with %s", len(indices), tower.name)
    with Bar(total=len(indices), desc="images", unit="image", leave=False) as progress:
        for start in range(0, len(indices), IMAGE_BATCH):
            batch = indices[start : start + IMAGE_BATCH]
            yield batch, tower.encode_image((images.load(i, prints[i]) for i in batch), normalize=False)
            progress.update(len(batch))


def text_embeddings(
    tower: MultilingualTextEncoder, texts: Iterable[str], store: EmbeddingStore, batch_size: int = 64
) -> torch.Tensor:
    """Return the embeddings (N, D) that the tower without any adapter gives to `texts`, from the store where there.

    Repeated texts are embedded once.
    """
    if tower.adapter is not None:
        raise ValueError("frozen text embeddings need a tower without adapter; detach it first")
    all_texts = list(texts)
    place = {text: i for i, text in enumerate(dict.fromkeys(all_texts))}
    token_ids = tower.tokenize(list(place))

    def compute(indices: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        logger.info("embedding %d texts with %s", len(indices), tower.name)
        missing = set(indices)
        # The batches of the whole list, so that one list gives the same bits wherever an earlier process stopped.
        yield from tower.encode_batches(token_ids, batch_size, only=missing, progress="texts")

    listed = sha256_json(token_ids)
    found = store.get([f"{listed}/{i}" for i in range(len(token_ids))], compute)
    return found[[place[text] for text in all_texts]]
