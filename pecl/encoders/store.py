"""A cache on disk of the embeddings of frozen towers, for all runs.

`EmbeddingStore` maps (tower, content) to an embedding: the tower by its fingerprint (weights,
preprocessing, type of numbers), the content by a hash. A missing embedding is computed, added, and
never computed again. The key of an image is the hash of its file; exactly the hashed bytes are
embedded. The key of a text is its index and the token ids of its whole list: texts of a batch are
padded to one length, so the last bits of an embedding depend on its neighbours, and a list must
give the same bits whatever the cache held before.

On disk, each tower has a folder of shards. A writer adds a shard of its own, atomically, after
every few hundred embeddings, so a killed process loses no more than those. Any number of processes
may share a store. The name of a shard is the SHA-256 of its content, which is checked at each
reading. A damaged shard is deleted with a warning, and its embeddings are computed again. Keys are
held in memory (some 250 bytes per embedding). The embeddings stay on disk.
"""

import contextlib
import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from functools import cache
from pathlib import Path

import numpy as np
import torch
from safetensors.numpy import load, save

from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import DataError, OutputError
from pecl.files import (
    check_writable,
    default_cache_dir,
    make_private,
    remove_abandoned_files,
    sha256_bytes,
    sha256_json,
    write_bytes,
)
from pecl.files.images import ImageSource, image_fingerprints, unreadable_error, unreadable_images
from pecl.files.progress import Bar
from pecl.machine import FP32

logger = logging.getLogger(__name__)

SHARD_ROWS = 256  # embeddings after which they are saved
IMAGE_BATCH = 32
# Increased when the meaning of a key or the form of a shard changes
FOLDER = "embeddings-4"
# Part of the identity of a tower whose batch norms are folded: its embeddings have other last digits
FOLDED = "folded-1"

# Indices of missing keys -> batches of indices and their embeddings (B, D)
Compute = Callable[[list[int]], Iterable[tuple[Sequence[int], torch.Tensor]]]


class EmbeddingStore:
    """Embeddings of one frozen tower, by content. `key in store` is whether an embedding is there.

    Args:
        tower: identity of the tower, see `store_of`.
        folder: folder of all stores, by default the cache folder; each tower has its own folder there.
        weights: name or path of the tower's weights, for errors.
    """

    def __init__(
        self,
        tower: str,
        folder: str | Path | None = None,
        weights: str | Path | None = None,
    ) -> None:
        self.tower = tower
        self.weights = weights or f"the tower {tower[:16]}"
        self.folder = Path(folder or default_cache_dir()) / FOLDER / tower
        self._seen: set[str] = set()  # names of the shards whose keys were read
        self._rows: dict[bytes, tuple[str, int]] = {}  # hash of a key -> shard and row

    def get(self, keys: Sequence[str], compute: Compute, *, gaps: bool = False) -> torch.Tensor:
        """Return the embeddings of `keys`, (N, D) float32.

        Args:
            keys: names of the contents; may repeat.
            compute: gets the indices of missing keys, each key once; further elements of its
                batches are ignored.
            gaps: allow `compute` to skip keys. Their rows are NaN; the result is (N, 0) if it skips all.

        Raises:
            OutputError: embeddings are missing and the folder cannot be written; raised before any is computed.
            DataError: a shard cannot be read, or was removed meanwhile, or an embedding is not finite.
        """
        hashes = [_hash(key) for key in keys]
        embeddings = self._read(hashes)
        first = {key: index for index, key in reversed(list(enumerate(hashes)))}
        missing = sorted(index for key, index in first.items() if key not in self._rows)
        if missing:
            self._add(hashes, missing, compute)
            embeddings = self._read(hashes)

        if not gaps and (not embeddings.shape[1] or np.isnan(embeddings).any()):
            raise DataError(f"embeddings in {self.folder} were removed while they were read; run again")
        return torch.from_numpy(embeddings)  # (N, D)

    def __contains__(self, key: object) -> bool:
        self._look()
        return _hash(str(key)) in self._rows

    def _read(self, hashes: Sequence[bytes]) -> np.ndarray:
        """Return the embeddings (N, D), NaN for missing ones; (N, 0) if all are missing."""
        self._look()
        rows: dict[str, list[int]] = {}
        for index, key in enumerate(hashes):
            if key in self._rows:
                rows.setdefault(self._rows[key][0], []).append(index)

        embeddings = np.empty((len(hashes), 0), np.float32)
        for name, indices in rows.items():
            shard = self._load(name)
            if shard is None:
                return self._read(hashes)
            embeddings = (
                embeddings if embeddings.size else np.full((len(hashes), shard[1].shape[1]), np.nan, np.float32)
            )
            embeddings[indices] = shard[1][[self._rows[hashes[index]][1] for index in indices]]

        return embeddings

    def _look(self) -> None:
        """Read the keys of each shard that any process has added since the last call."""
        if self.folder.is_dir():
            self._make_private()
        names = {path.name for path in self.folder.glob("[!.]*.safetensors")}
        self._seen &= names
        for name in sorted(names - self._seen):
            self._seen.add(name)
            shard = self._load(name)
            if shard is not None:
                self._rows |= {key.tobytes(): (name, row) for row, key in enumerate(shard[0])}

    def _load(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Return key hashes (n, 32) and embeddings (n, D) of a shard; None, and forget it, if damaged or gone."""
        path = self.folder / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error

        if sha256_bytes(content) == path.stem:
            shard = load(content)
            return shard["keys"], shard["embeddings"]

        if content:
            logger.warning("dropping damaged cache file %s: its embeddings are computed again", path)
            with contextlib.suppress(OSError):  # in a read-only folder it stays and is skipped
                path.unlink()
                self._seen.discard(name)

        self._rows = {key: shard_row for key, shard_row in self._rows.items() if shard_row[0] != name}
        return None

    def _add(self, hashes: Sequence[bytes], missing: list[int], compute: Compute) -> None:
        # keys and embeddings to be saved, added as one
        batches: list[tuple[list[bytes], np.ndarray]] = []
        remaining = set(missing)
        try:
            check_writable(self.folder)
            self._make_private()
            if self.folder.is_dir():
                remove_abandoned_files(self.folder)

            try:
                for indices, embeddings in compute(missing):
                    if not torch.isfinite(embeddings).all():
                        raise DataError(
                            f"embeddings contain NaN or infinity: the weights of {self.weights} are damaged; delete "
                            "them, so that they are unpacked or fetched again"
                        )
                    rows = [i for i, index in enumerate(indices) if index in remaining]
                    remaining.difference_update(indices)
                    batches.append(([hashes[indices[i]] for i in rows], embeddings[rows].float().numpy()))
                    if sum(len(keys) for keys, _ in batches) >= SHARD_ROWS:
                        self._write(batches)
                        batches = []
            finally:  # keep embeddings made before an interruption or a bad image
                if batches:
                    self._write(batches)
        except OutputError as error:
            raise OutputError(f"{error}; PECL_CACHE_DIR names another folder for embeddings") from error

    def _make_private(self) -> None:
        """Let only the user read the store: the embeddings may be those of private photographs."""
        for folder in (self.folder.parent, self.folder):
            make_private(folder)

    def _write(self, batches: Sequence[tuple[list[bytes], np.ndarray]]) -> None:
        hashes = np.frombuffer(b"".join(key for keys, _ in batches for key in keys), np.uint8).reshape(-1, 32)
        content = save({"keys": hashes, "embeddings": np.concatenate([rows for _, rows in batches])})
        path = write_bytes(self.folder / f"{sha256_bytes(content)}.safetensors", content, private=True)
        self._seen.discard(path.name)


def _hash(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8")).digest()


def store_of(tower: ImageEncoder | MultilingualTextEncoder) -> EmbeddingStore:
    """Return the store of a tower on this device and number of threads: last digits of embeddings depend on both."""
    device = tower.device.type
    identity = [tower.fingerprint, device, torch.get_num_threads() if device == "cpu" else None]
    if tower.dtype != torch.float32:  # the fingerprint may be that of the weights before a conversion
        identity.append(str(tower.dtype))
    if tower.runtime is not None:
        identity.append(f"{tower.runtime.name}, {tower.runtime.precision}")
    elif isinstance(tower, MultilingualTextEncoder) and tower.precision != FP32:
        identity.append(f"{tower.precision} states" if tower.holds_bfloat16 else tower.precision)
    elif isinstance(tower, ImageEncoder) and tower.precision != FP32:
        identity.append(tower.precision)
    elif isinstance(tower, ImageEncoder) and tower.is_convolutional:
        identity.append(FOLDED)
    return _store_of(sha256_json(identity), default_cache_dir(), str(tower.weights_path or tower.name))


@cache
def _store_of(identity: str, folder: Path, weights: str) -> EmbeddingStore:
    """Return this process's only store of an identity, so that the keys in its files are read once."""
    return EmbeddingStore(identity, folder, weights)


def forget_images(fingerprints: Iterable[str]) -> int:
    """Remove the embeddings of images from the cache, those of all towers, and return their number.

    Raises:
        OutputError: the cache cannot be written.
    """
    forgotten = {_hash(fingerprint) for fingerprint in fingerprints}
    count = 0
    for path in sorted((default_cache_dir() / FOLDER).glob("*/[!.]*.safetensors")):
        try:
            count += _forget_rows(path, forgotten)
        except FileNotFoundError:  # another process has just removed it
            continue
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error

    return count


def _forget_rows(path: Path, forgotten: Set[bytes]) -> int:
    """Remove the embeddings whose hashed key is in `forgotten` from a shard, and return their number."""
    content = path.read_bytes()
    if sha256_bytes(content) != path.stem:
        path.unlink(missing_ok=True)  # damaged: its keys cannot be read
        return 0

    shard = load(content)
    rows = [row for row, key in enumerate(shard["keys"]) if key.tobytes() not in forgotten]

    count = len(shard["keys"]) - len(rows)
    if count:
        if rows:
            remaining_content = save({name: array[rows] for name, array in shard.items()})
            remaining_path = path.with_name(f"{sha256_bytes(remaining_content)}.safetensors")
            write_bytes(remaining_path, remaining_content, private=True)
        path.unlink(missing_ok=True)

    return count


def image_embeddings(
    tower: ImageEncoder,
    images: ImageSource,
    store: EmbeddingStore,
    prints: Sequence[str] | None = None,
) -> torch.Tensor:
    """Return the embeddings (M, D) of `images`, from the store if they are there; errors as `image_fingerprints`.

    `prints` are the images' fingerprints, if known; an image that has another one by now is a DataError.
    """
    prints = prints or image_fingerprints(images)

    def compute(missing: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        logger.info("embedding %d images with %s", len(missing), tower.name)
        with Bar(total=len(missing), desc="images", unit="image", leave=False) as progress:
            for start in range(0, len(missing), IMAGE_BATCH):
                batch = missing[start : start + IMAGE_BATCH]
                yield batch, tower.encode_ahead(images.load(i, prints[i]) for i in batch)
                progress.update(len(batch))

    try:
        return store.get(prints, compute)
    except DataError as error:
        failed = unreadable_images(images, store)
        raise (unreadable_error(images, failed) if failed else error) from None


def check_plain(tower: MultilingualTextEncoder) -> None:
    """Raise ValueError for a tower with an adapter: its embeddings would be stored as those of the base encoder."""
    if tower.adapter is not None:
        raise ValueError("frozen text embeddings need a tower without adapter; detach it first")


def text_embeddings(
    tower: MultilingualTextEncoder,
    texts: Iterable[str],
    store: EmbeddingStore,
    language: str | None = None,
    batch_size: int = 64,
) -> torch.Tensor:
    """Return the embeddings (N, D) of `texts`, from the store if they are there. Repeated texts are embedded once.

    `language` is that of all texts, see `Tokenizing.tokenize`. Raise ValueError for a tower with an adapter.
    """
    check_plain(tower)
    all_texts = list(texts)
    if not all_texts:
        return torch.empty(0, tower.embedding_dim)

    index_of = {text: i for i, text in enumerate(dict.fromkeys(all_texts))}
    token_ids = tower.tokenize(list(index_of), language)

    def compute(indices: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        logger.info("embedding %d texts with %s", len(indices), tower.name)
        # Batches are those of the whole list, so a list gives the same bits wherever an earlier
        # process stopped.
        yield from tower.encode_batches(token_ids, batch_size, only=set(indices), progress="texts")

    digest = sha256_json(token_ids)
    embeddings = store.get([f"{digest}/{i}" for i in range(len(token_ids))], compute)

    return embeddings[[index_of[text] for text in all_texts]]
