"""Sources of `embed`: a folder of images, a file of lines, a table, a data set, or texts that a caller holds.

A source is a list of items with names and an identity; any part can be read without the rest. Items in files
are read long after the identity was taken, so each is compared with it: one that changed meanwhile is an error.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pecl.data.custom.photographs import find_photographs
from pecl.data.custom.tables import TABLE_SUFFIXES
from pecl.data.registry import DATASETS, load_dataset
from pecl.errors import ConfigError, DataError, unknown
from pecl.files import open_regular, sha256_json, sha256_lines
from pecl.files.images import ImageSource
from pecl.languages import ENGLISH, any_language_code

IMAGES, TEXTS = KINDS = ("images", "texts")
_AGAIN = "restore it, or embed into a new folder"
_LINES = 1024  # lines that are read, and checked, together
COLUMNS = ("target", "english", "english_to_target", "target_to_english")
_ENGLISH_COLUMNS = ("english", "target_to_english")
_DEFAULT_LANGUAGE = "de"  # language of a table or data set, as in all commands


class Pictures:
    """Images of a folder or a data set, with their names.

    Args:
        images: the images.
        names: their names.
        look: returns the identity of an image as JSON holds it, such as its size and time or its fingerprint, and a
            value that every write changes, even one that restores the identity.
        hashed: the identity is the fingerprint, which an image must have when it is read.
    """

    kind = IMAGES

    def __init__(
        self, images: ImageSource, names: Sequence[str], look: Callable[[int], tuple[Any, Any]], hashed: bool = False
    ) -> None:
        self.images, self.names, self._look, self._hashed = images, names, look, hashed
        self._states = [look(i) for i in range(len(images))]
        self.digest = sha256_json([identity for identity, _ in self._states])

    def __len__(self) -> int:
        return len(self.images)

    def ids(self) -> Sequence[str]:
        """Return the name of each image."""
        return self.names

    def load(self, start: int, stop: int) -> Iterator[Image.Image]:
        """Yield the images of a part; DataError names one that cannot be read, or changed since the source was opened.

        A changed file is noticed after it was read, since it may change while it is read.
        """
        for i in range(start, stop):
            image = self.images.load(i, self._states[i][0] if self._hashed else None)
            if self._look(i) != self._states[i]:
                raise DataError(f"{self.names[i]} changed while its folder was embedded: {_AGAIN}")
            yield image


class Texts:
    """Texts that are at hand; each is named by its place, counted from 1."""

    kind = TEXTS

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the texts, or of the bytes of their file."""
        return sha256_lines(self.texts)

    def ids(self) -> Iterable[str]:
        """Yield 1 to N."""
        return map(str, range(1, len(self) + 1))

    def load(self, start: int, stop: int) -> list[str]:
        """Return the texts of a part."""
        return list(self.texts[start:stop])


class Lines(Texts):
    """The lines of a text file of any size, read where they lie; each is named by its number. None may be empty."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        ends, digest, block = [0], hashlib.sha256(), hashlib.sha256()
        self._blocks: list[bytes] = []
        try:
            with open_regular(self.path) as file:
                for number, line in enumerate(file, 1):
                    digest.update(line)
                    block.update(line)
                    if number % _LINES == 0:
                        self._blocks.append(block.digest())
                        block = hashlib.sha256()
                    ends.append(ends[-1] + len(line))
                    if not self._decode(line, number):
                        raise DataError(f"{path}, line {number}: empty, expected a text on every line")
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error
        if len(ends) == 1:
            raise DataError(f"{path} is empty: expected one text per line")
        self._blocks.append(block.digest())
        self._ends, self.digest = np.array(ends, np.int64), digest.hexdigest()

    def _decode(self, line: bytes, number: int) -> str:
        try:
            return line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise DataError(f"{self.path}, line {number}: not UTF-8 ({error.reason})") from error

    def __len__(self) -> int:
        return len(self._ends) - 1

    def load(self, start: int, stop: int) -> list[str]:
        """Return the lines of a part; raise DataError if the file changed since the source was opened."""
        texts: list[str] = []
        try:
            with open_regular(self.path) as file:
                for block in range(start // _LINES, -(-stop // _LINES)):
                    first, last = block * _LINES, min((block + 1) * _LINES, len(self))
                    begin, end = self._ends[[first, last]].tolist()
                    file.seek(begin)
                    content = file.read(end - begin)
                    if hashlib.sha256(content).digest() != self._blocks[block]:
                        raise DataError(f"{self.path} changed while it was embedded: {_AGAIN}")
                    for i in range(max(first, start), min(last, stop)):
                        line = content[self._ends[i] - begin : self._ends[i + 1] - begin]
                        texts.append(self._decode(line, i + 1))
        except OSError as error:
            raise DataError(f"cannot read {self.path}: {error.strerror or error}") from error
        return texts


@dataclass(frozen=True)
class SourceSpec:
    """A source as a command names it; its fields are arguments of `embed`."""

    name: str
    kind: str | None = None
    language: str | None = None
    column: str = "target"
    data_dir: str | None = None

    def __post_init__(self) -> None:
        for what, value, choices in (("kind", self.kind or IMAGES, KINDS), ("column", self.column, COLUMNS)):
            if value not in choices:
                raise ConfigError(unknown(what, value, choices))
        if self.language is not None:
            any_language_code(self.language)  # raises the error

    @property
    def text_language(self) -> str | None:
        """The language of the texts; None where it is not named."""
        if self.column in _ENGLISH_COLUMNS and self._has_columns():
            return ENGLISH
        return self.language or (_DEFAULT_LANGUAGE if self._has_columns() else None)

    def _has_columns(self) -> bool:
        return self.name in DATASETS or Path(self.name).suffix in TABLE_SUFFIXES

    def open(self) -> Texts | Pictures:
        """Return the source; raise DataError if it is missing, damaged, or holds nothing of the kind."""
        path = Path(self.name)
        if not self._has_columns():
            if path.is_dir():
                return self._folder(path)
            if path.is_file():
                if self.kind == IMAGES:
                    raise DataError(f"{path}: expected a folder of images, a table or a data set, got a file of lines")
                return Lines(path)
        language, text_only = self.language or _DEFAULT_LANGUAGE, self.kind != IMAGES
        need = (self.column,) if text_only and "_to_" in self.column else ()
        captions = load_dataset(self.name, language, data_dir=self.data_dir, need=need, text_only=text_only)
        if text_only:
            return Texts(getattr(captions, self.column))
        images = captions.images
        if images is None:
            raise DataError(f"{captions.dataset} has no images here")
        return Pictures(images, images.ids, lambda i: (images.fingerprint(i), None), hashed=True)

    def _folder(self, path: Path) -> Pictures:
        if self.kind == TEXTS:
            raise DataError(f"{path}: expected a file of lines, a table or a data set for texts, got a folder")
        found = find_photographs(path, outside=True)
        if found.unreadable:
            name, why = next(iter(found.unreadable.items()))
            raise DataError(f"cannot read {path / name}: {why} ({len(found.unreadable)} in all)")
        if not found.photographs:
            raise DataError(f"{path} holds no images, such as .jpg or .png files")
        names = [photograph.name for photograph in found.photographs]

        def look(i: int) -> tuple[list[str | int], tuple[int, int]]:
            try:
                seen = (path / names[i]).stat()
            except OSError as error:
                raise DataError(f"cannot read {path / names[i]}: {error.strerror or error}") from error
            identity = [ascii(names[i]), seen.st_size, seen.st_mtime_ns]  # a name may be no UTF-8
            return identity, (seen.st_ino, seen.st_ctime_ns)

        return Pictures(found.images(), names, look)
