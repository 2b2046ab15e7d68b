"""Embeddings of frozen towers, computed once and kept on disk for every run.

`EmbeddingStore` maps (tower, content) to an embedding: the tower by its fingerprint (weights, preprocessing, type of
numbers), the content by a hash. A missing embedding is computed, added, and never computed again. An image is keyed by
the hash of its file, and embedded from the very bytes that have this hash. A text is keyed by the token ids of its list
and its place there: texts of a batch are padded to one length, so the last bits of an embedding depend on its
neighbours, and one list must give the same bits for any earlier content of the cache.

On disk, one folder per tower with shards: a writer adds a shard of its own, atomically, after every few hundred
embeddings, so a killed process loses no more than those. Any number of processes may share a store. A shard's name is
the SHA-256 of its content, which is compared whenever it is read; one that differs is dropped with a warning, and its
embeddings are computed again. Keys are held in memory (48 bytes per embedding). The embeddings stay on disk.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load, save

from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import DataError, OutputError
from pecl.files import (
    DamagedFileError,
    check_writable,
    default_cache_dir,
    remove_abandoned_files,
    sha256_bytes,
    sha256_json,
    write_bytes,
)
from pecl.files.images import ImageSource, unreadable_error, unreadable_images
from pecl.files.progress import Bar
from pecl.machine import FP32

logger = logging.getLogger(__name__)

SHARD_ROWS = 256  # embeddings after which they are saved
IMAGE_BATCH = 32
# Raised when the meaning of a key or the form of a shard changes
FOLDER = "embeddings-4"
_HASH_BYTES = 32

# Places of missing keys -> batches of places and their embeddings (B, D)
Compute = Callable[[list[int]], Iterable[tuple[Sequence[int], torch.Tensor]]]


def hash_keys(keys: Sequence[str]) -> np.ndarray:
    """Return the SHA-256 of each of N keys, (N,) of 32 bytes each."""
    return np.array([hashlib.sha256(key.encode("utf-8")).digest() for key in keys], dtype=f"S{_HASH_BYTES}")


def write_shard(folder: Path, hashes: np.ndarray, embeddings: np.ndarray) -> Path:
    """Write the embeddings (N, D) float32 of N key hashes to a shard in `folder`, atomically."""
    keys = np.frombuffer(hashes.tobytes(), np.uint8).reshape(-1, _HASH_BYTES)
    content = save({"keys": keys, "embeddings": np.ascontiguousarray(embeddings)})
    return write_bytes(folder / f"{sha256_bytes(content)}.safetensors", content)


def read_shard(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the key hashes (N,) and embeddings (N, D) of a shard; None for one that is gone.

    Raises:
        DamagedFileError: its content is not that of its name.
        DataError: it cannot be read, which says nothing of its content.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if sha256_bytes(content) != path.stem:
        raise DamagedFileError(f"the content of {path} does not match its checksum")
    tensors = load(content)
    return tensors["keys"].reshape(-1).view(f"S{_HASH_BYTES}"), tensors["embeddings"]


class EmbeddingStore:
    """Embeddings of one frozen tower, by content. `key in store` says whether an embedding is there.

    Args:
        tower: identity of the tower; see `fingerprint`.
        folder: folder of all stores; each tower has its own folder there.
    """

    def __init__(self, tower: str, folder: str | Path | None = None) -> None:
        self.tower = tower
        self.folder = Path(folder or default_cache_dir()) / FOLDER / tower
        self._shards: dict[str, np.ndarray] = {}  # file name -> key hashes
        self._dropped: set[str] = set()  # files that are proven wrong, and cannot be removed
        self._keys = np.empty(0, f"S{_HASH_BYTES}")  # (M,) all key hashes, ascending
        self._places = np.empty((0, 2), np.int64)  # (M, 2) shard and row of each

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
        self._list()
        return bool(self._find(hash_keys([str(key)]))[0][0])

    def _find(self, hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return for N key hashes whether each is here, (N,), and its place if so, (N, 2)."""
        if not len(self._keys):
            return np.zeros(len(hashes), bool), np.empty((len(hashes), 2), np.int64)
        at = np.searchsorted(self._keys, hashes).clip(max=len(self._keys) - 1)
        return self._keys[at] == hashes, self._places[at]

    def _read(self, hashes: np.ndarray) -> np.ndarray | None:
        """Return the embeddings (N, D), NaN where there is none; None where nothing is there at all."""
        self._list()
        here, places = self._find(hashes)
        names, found = list(self._shards), None
        for number in np.unique(places[here, 0]):
            shard = self._read_shard(names[number])
            if shard is None:  # it is damaged, or was removed
                return self._read(hashes)
            own = here & (places[:, 0] == number)
            if found is None:
                found = np.full((len(hashes), shard[1].shape[1]), np.nan, np.float32)
            found[own] = shard[1][places[own, 1]]
        return found

    def _list(self) -> None:
        """Read the keys of each shard that was added, by any process, since the folder was last listed."""
        names = sorted({path.name for path in self.folder.glob("[!.]*.safetensors")} - self._dropped)
        if names == list(self._shards):
            return
        keys = {name: self._shards[name] if name in self._shards else self._keys_of(name) for name in names}
        self._shards = {name: own for name, own in keys.items() if own is not None}
        parts = list(self._shards.values())
        hashes = np.concatenate([np.empty(0, f"S{_HASH_BYTES}"), *parts])
        order = np.argsort(hashes, kind="stable")
        lengths = [len(part) for part in parts]
        shards = np.repeat(np.arange(len(parts)), lengths)
        rows = np.concatenate([np.empty(0, np.int64), *map(np.arange, lengths)])
        self._keys, self._places = hashes[order], np.stack([shards, rows], axis=1)[order]

    def _keys_of(self, name: str) -> np.ndarray | None:
        shard = self._read_shard(name)
        return None if shard is None else shard[0].copy()

    def _read_shard(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return a shard as `read_shard` does; None also for a damaged one, which is dropped."""
        try:
            return read_shard(self.folder / name)
        except DamagedFileError as error:
            logger.warning("dropping damaged cache file, its embeddings are computed again: %s", error)
        try:
            (self.folder / name).unlink(missing_ok=True)
        except OSError:  # in a read-only folder it stays, and is passed over
            self._dropped.add(name)
        return None

    def _add(self, hashes: np.ndarray, missing: list[int], compute: Compute) -> None:
        batches: list[tuple[np.ndarray, np.ndarray]] = []
        wanted = set(missing)
        try:
            check_writable(self.folder)
            if self.folder.is_dir():
                remove_abandoned_files(self.folder)
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
                        self._write(batches)
                        batches = []
            finally:  # keep embeddings made before an interruption or a bad image
                if batches:
                    self._write(batches)
        except OutputError as error:
            raise OutputError(f"{error}; PECL_CACHE_DIR names another folder for embeddings") from error

    def _write(self, batches: Sequence[tuple[np.ndarray, np.ndarray]]) -> None:
        path = write_shard(self.folder, *(np.concatenate(parts) for parts in zip(*batches, strict=True)))
        self._dropped.discard(path.name)


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
