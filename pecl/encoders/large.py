"""Token ids and frozen embeddings of long lists of texts, cached in files so that they take no memory.

In memory, the token ids of a caption take some 700 bytes as a Python list, and its embedding a
kilobyte: for a million pairs, more than the towers. Both are computed once per tower and list, part by part.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import torch

from pecl.encoders.batches import TokenIds
from pecl.encoders.embeddings import Embeddings, TokenStore
from pecl.encoders.store import EmbeddingStore, check_plain, text_embeddings
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.tokenizing import around
from pecl.files import default_cache_dir, sha256_file, sha256_json, sha256_lines
from pecl.files.progress import Bar
from pecl.language.normalization import NORMALIZATION

logger = logging.getLogger(__name__)

LARGE = 50_000  # lists of at least so many texts use files
_PART = 16_384  # texts that are tokenised, or embedded, together
FOLDER = "tokens-4"  # raised when the meaning of a key changes
_CHECKED = 16  # hexadecimal digits of a file's SHA-256 in its name


def tokens_of(
    tower: MultilingualTextEncoder,
    texts: Sequence[str],
    language: str | None = None,
) -> TokenIds:
    """Return the token ids of texts of one language: a list, or for a long list a `TokenStore`, written once."""
    if len(texts) < LARGE:
        return tower.tokenize(texts, language)

    def write(path: Path) -> object:
        with Bar(total=len(texts), desc="tokens", unit="text", leave=False) as bar:
            tokens = (tower.tokenize(part, language) for part in _parts(texts, bar))
            return TokenStore.write(path, chain.from_iterable(tokens))

    return TokenStore(_cached(default_cache_dir() / FOLDER / _key(tower, texts, language), write))


def _cached(path: Path, write: Callable[[Path], object]) -> Path:
    """Return the cached file `path`, whose name ends with the beginning of its SHA-256; `write` makes a missing file.

    A damaged file is made again, with a warning.
    """
    for file in path.parent.glob(f"{path.name}-*.arrow"):
        if file.stem.endswith(sha256_file(file)[:_CHECKED]):
            return file
        logger.warning("%s is damaged; it is made again", file)
        with contextlib.suppress(OSError):  # removed by another process
            file.unlink()

    unhashed = path.with_name(f"{path.name}.arrow")
    write(unhashed)
    try:
        return unhashed.replace(path.with_name(f"{path.name}-{sha256_file(unhashed)[:_CHECKED]}.arrow"))
    except FileNotFoundError:  # another process has written the same, and renamed it
        return _cached(path, write)


def _parts(texts: Sequence[str], bar: Bar) -> Iterator[Sequence[str]]:
    for start in range(0, len(texts), _PART):
        part = texts[start : start + _PART]
        yield part
        bar.update(len(part))


def _key(tower: MultilingualTextEncoder, texts: Sequence[str], language: str | None) -> str:
    """Return a hash of everything that token ids depend on; it is far faster than tokenising."""
    fast = getattr(tower.tokenizer, "backend_tokenizer", None)
    if fast is None:
        identity = [type(tower.tokenizer).__name__, tower.tokenizer.get_vocab()]
    else:  # truncation and padding depend on the last call
        identity = {**json.loads(fast.to_str()), "truncation": None, "padding": None}

    language = language or tower.language
    normalization = [NORMALIZATION, language]  # capitals become lower case by the language's rules
    settings = [sha256_json(identity), tower.text_prefix, tower.max_length, *normalization, sha256_lines(texts)]
    transliteration = None if language is None else tower.transliteration(language)
    if transliteration is not None:
        settings += [transliteration.letters]

    if tower.names_languages:
        settings += [language or around(tower.tokenizer)[0]]

    if tower.clean or tower.shapes_texts:
        settings += [tower.clean, tower.backbone.config.model_type, tower.positions]
    return sha256_json(settings)


def frozen_embeddings(
    tower: MultilingualTextEncoder,
    texts: Sequence[str],
    store: EmbeddingStore,
    language: str | None = None,
) -> torch.Tensor | Embeddings:
    """Embed texts of one language without an adapter: (N, D) in memory, or `Embeddings` in files for a long list.

    `store` is the tower's own store; the files of long lists lie in its folder. Raise ValueError for
    a tower with an adapter.
    """
    check_plain(tower)
    if len(texts) < LARGE:
        return text_embeddings(tower, texts, store, language)

    folder = store.folder / "lists" / _key(tower, texts, language)
    paths = []
    with Bar(total=len(texts), desc="texts", unit="text", leave=False) as bar:
        for number, part in enumerate(_parts(texts, bar)):

            def write(path: Path, part: Sequence[str] = part) -> object:
                return Embeddings.write(path, [tower.encode_text(part, language=language, normalize=False)])

            paths.append(_cached(folder / f"{number:05}-of-{_PART}", write))

    return Embeddings(paths)
