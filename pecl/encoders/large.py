"""Long lists of texts: their token ids and frozen embeddings are kept in files, so that they take no memory.

A list of Python's numbers takes some 700 bytes per caption, an embedding a kilobyte: for a million pairs, more than
the towers. Both are made once for a tower and a list, in the cache, part by part.
"""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from pecl.encoders.batches import TokenIds
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.store import EmbeddingStore, text_embeddings
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.token_store import TokenStore
from pecl.encoders.tokenizing import around
from pecl.errors import DataError
from pecl.files import default_cache_dir, sha256_json, sha256_lines
from pecl.files.progress import Bar

logger = logging.getLogger(__name__)

LARGE = 50_000  # texts from which on files are used
_PART = 16_384  # texts that are tokenised, or embedded, together
# Raised when the meaning of a key changes: before 2, lists whose texts hold line breaks could share one.
FOLDER = "tokens-3"


def tokens_of(tower: MultilingualTextEncoder, texts: Sequence[str]) -> TokenIds:
    """Return the token ids of texts: a list, or a `TokenStore` of a long list, which is written once."""
    if len(texts) < LARGE:
        return tower.tokenize(texts)
    key = _key(tower, texts)
    path = default_cache_dir() / FOLDER / f"{key}.safetensors"
    if path.exists():
        try:
            found = TokenStore(path)
            _check_names(path, found.metadata, {"key": key})
            return found
        except DataError as error:
            logger.warning("%s; its token ids are made again", error)
    with Bar(total=len(texts), desc="tokens", unit="text", leave=False) as bar:
        parts = (tower.tokenize(part) for part in _parts(texts, bar))
        return TokenStore.write(path, chain.from_iterable(parts), {"key": key})


def _parts(texts: Sequence[str], bar: Bar) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), _PART):
        part = texts[start : start + _PART]
        yield part
        bar.update(len(part))


def _key(tower: MultilingualTextEncoder, texts: Sequence[str]) -> str:
    """Return a hash of all that the token ids of texts depend on; tokenising a long list takes far longer."""
    settings = [_tokenizer(tower.tokenizer), tower.text_prefix, tower.max_length, sha256_lines(texts)]
    if tower.names_languages:
        settings += [tower.language or around(tower.tokenizer)[0]]
    if tower.clean or tower.shapes_texts:
        settings += [tower.clean, tower.backbone.config.model_type, tower.positions]
    return sha256_json(settings)


def _tokenizer(tokenizer: Any) -> str:
    """Return the identity of a tokenizer."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return sha256_json([type(tokenizer).__name__, tokenizer.get_vocab()])
    document = json.loads(fast.to_str())
    return sha256_json({**document, "truncation": None, "padding": None})  # these depend on the last call


def frozen_embeddings(
    tower: MultilingualTextEncoder, texts: Sequence[str], store: EmbeddingStore
) -> torch.Tensor | Embeddings:
    """Return the embeddings (N, D) of texts by the tower without adapter: in memory, or those of a long list in files.

    The files of long lists lie next to those of `store`, the tower's own.
    """
    if len(texts) < LARGE:
        return text_embeddings(tower, texts, store)
    if tower.adapter is not None:
        raise ValueError("frozen text embeddings need a tower without adapter; detach it first")
    key = _key(tower, texts)
    folder = store.folder / "lists" / key
    paths = []
    with Bar(total=len(texts), desc="texts", unit="text", leave=False) as bar:
        for number, part in enumerate(_parts(texts, bar)):
            paths.append(folder / f"{number:05}-{_PART}.safetensors")
            names = {"tower": store.tower, "texts": key, "part": str(number)}
            if not _is_whole(paths[-1], len(part), names):
                Embeddings.write(paths[-1], [tower.encode_text(part, normalize=False)], names)
    return Embeddings(paths, check=False)


def _is_whole(path: Path, rows: int, names: Mapping[str, str]) -> bool:
    """Say whether a file holds the expected part of a list; warn of one that holds something else."""
    if not path.exists():
        return False
    try:
        found = Embeddings(path)
        _check_names(path, found.metadata, names)
        return len(found) == rows
    except DataError as error:
        logger.warning("%s; its embeddings are made again", error)
        return False


def _check_names(path: Path, metadata: Mapping[str, str], names: Mapping[str, str]) -> None:
    """Raise DataError unless the names in a file's metadata are those expected at its path."""
    for name, value in names.items():
        if metadata.get(name) != value:
            raise DataError(f"{path} was moved here: expected {name} {value!r} in it, got {metadata.get(name)!r}")
