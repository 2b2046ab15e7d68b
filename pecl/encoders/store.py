"""Embeddings of frozen towers, computed once and kept on disk for every run.

`EmbeddingStore` maps (tower, content) to an embedding: the tower by its fingerprint (weights, preprocessing, type of
numbers), the content by a hash. What is missing is computed, added, and never computed again. An image is keyed by the
hash of its file alone. A text is keyed by its list and its place there: texts of a batch are padded to one length, so
the last bits of an embedding depend on its neighbours, and one list must give the same bits whatever was cached before.

On disk, one folder a tower with shards in safetensors: a writer adds a shard of its own under a name that is the hash
of its keys, atomically, so any number of processes may share a store. A damaged shard is dropped with a warning and
its embeddings are computed anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence, Set
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from tqdm import tqdm

from pecl.data.captions import ImageSource
from pecl.data.unreadable import unreadable_error, unreadable_images
from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import DataError, OutputError
from pecl.files import default_cache_dir, sha256_lines, write_tensors

logger = logging.getLogger(__name__)


class EmbeddingStore:
    """Embeddings of one frozen tower, by content.

    Args:
        tower: identity of the tower; see `fingerprint`.
        folder: where all stores lie; each tower has a folder of its own there.
    """

    def __init__(self, tower: str, folder: str | Path | None = None) -> None:
        self.tower = tower
        self.folder = Path(folder or default_cache_dir()) / "embeddings" / tower[:16]
        self._rows: dict[str, torch.Tensor] = {}  # content hash -> (D,) float32
        self._read: set[str] = set()

    def get(self, keys: Sequence[str], compute: Callable[[list[int]], torch.Tensor]) -> torch.Tensor:
        """Return the embeddings of `keys`, (N, D) float32.

        Args:
            keys: content hashes; may repeat.
            compute: maps the places of missing keys in `keys` (each key once) to their embeddings (M, D).
        """
        self._read_new_shards()
        missing = list({key: i for i, key in reversed(list(enumerate(keys))) if key not in self._rows}.values())[::-1]
        if missing:
            self._add([keys[i] for i in missing], compute(missing))
        return torch.stack([self._rows[key] for key in keys])  # (N, D)

    def keys(self) -> Set[str]:
        """Return the content hashes of all embeddings that are there."""
        self._read_new_shards()
        return self._rows.keys()

    def _add(self, keys: list[str], embeddings: torch.Tensor) -> None:
        name = f"{sha256_lines(keys)[:16]}.safetensors"
        metadata = {"tower": self.tower, "keys": json.dumps(keys)}
        try:
            write_tensors(self.folder / name, {"embeddings": embeddings}, metadata)
        except OutputError as error:
            raise OutputError(f"{error}; PECL_CACHE_DIR names another folder for embeddings") from error
        self._rows.update(zip(keys, embeddings.float(), strict=True))
        self._read.add(name)

    def _read_new_shards(self) -> None:
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name in self._read:
                continue
            self._read.add(path.name)
            try:
                with safe_open(path, "pt") as shard:
                    metadata, embeddings = shard.metadata() or {}, shard.get_tensor("embeddings")
                if metadata["tower"] != self.tower:
                    raise ValueError("it belongs to another tower")
                self._rows.update(zip(json.loads(metadata["keys"]), embeddings, strict=True))
            except (SafetensorError, OSError, KeyError, ValueError) as error:
                logger.warning("dropping damaged cache file %s (%s); its embeddings are computed anew", path, error)
                path.unlink(missing_ok=True)


def image_embeddings(tower: ImageEncoder, images: ImageSource, store: EmbeddingStore) -> torch.Tensor:
    """Return the embeddings (M, D) of `images`, from the store as far as they are there.

    Raises:
        DataError: images cannot be read; all are counted and the first ten are named. Nothing is stored.
    """

    def compute(indices: list[int]) -> torch.Tensor:
        logger.info("embedding %d images with %s", len(indices), tower.name)
        with tqdm(indices, desc="images", unit="image", leave=False) as progress:
            return tower.encode_image(images.load(i) for i in progress)

    try:
        return store.get([images.fingerprint(i) for i in range(len(images))], compute)
    except DataError as error:
        failed = unreadable_images(images, store.keys())
        raise (unreadable_error(images, failed) if failed else error) from None


def text_embeddings(
    tower: MultilingualTextEncoder, texts: Iterable[str], store: EmbeddingStore, batch_size: int = 64
) -> torch.Tensor:
    """Return the embeddings (N, D) that the tower without any adapter gives to `texts`, from the store where there.

    Raises:
        ValueError: the tower has an adapter; its embeddings are not frozen.
    """
    if tower.adapter is not None:
        raise ValueError("frozen text embeddings need a tower without adapter; detach it first")
    texts = list(texts)

    def compute(indices: list[int]) -> torch.Tensor:
        logger.info("embedding %d texts with %s", len(indices), tower.name)
        return tower.encode_text([texts[i] for i in indices], batch_size, progress="texts")

    column = sha256_lines(texts)
    return store.get([f"{column}/{i}" for i in range(len(texts))], compute)
