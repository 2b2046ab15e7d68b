"""Sources of `embed`: a folder of images, a file of lines, a table, a data set, or texts that a caller holds.

A source is a list of items with names and a fingerprint; any part can be read without the rest.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from PIL import Image

from pecl.data.captions import stripped_lines
from pecl.data.custom.photographs import find_photographs
from pecl.data.custom.tables import TABLE_SUFFIXES
from pecl.data.languages import ENGLISH, any_language_code
from pecl.data.registry import DATASETS, load_dataset
from pecl.errors import ConfigError, DataError, is_text, unknown
from pecl.files import sha256_json, sha256_lines
from pecl.files.columns import column_of
from pecl.files.images import ImageSource

IMAGES, TEXTS = KINDS = ("images", "texts")
COLUMNS = ("target", "english", "english_to_target", "target_to_english")
_ENGLISH_COLUMNS = ("english", "target_to_english")
_DEFAULT_LANGUAGE = "de"  # language of a table or data set, as in all commands


class Pictures:
    """Images of a folder or a data set, their names, and a fingerprint of their content, or of names, sizes and times.

    Raises:
        DataError: a name is no UTF-8.
    """

    kind = IMAGES

    def __init__(self, images: ImageSource, names: Sequence[str], identities: Sequence[Any]) -> None:
        for name in names:
            if not is_text(name):
                raise DataError(f"image {name!r}: expected a name in UTF-8; rename the file")
        self.images, self.names, self.fingerprint = images, names, sha256_json(identities)

    def __len__(self) -> int:
        return len(self.images)

    def ids(self, rows: range) -> Sequence[str]:
        """Return the names of the images of a part."""
        return self.names[rows.start : rows.stop]

    def load(self, rows: range) -> Iterator[Image.Image]:
        """Yield the images of a part; DataError names one that cannot be read."""
        return map(self.images.load, rows)


class Texts:
    """Texts, each named by its place, counted from 1."""

    kind = TEXTS

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the texts."""
        return sha256_lines(self.texts)

    def ids(self, rows: range) -> Sequence[str]:
        """Return the names of the texts of a part."""
        return [str(row + 1) for row in rows]

    def load(self, rows: range) -> list[str]:
        """Return the texts of a part."""
        return list(self.texts[rows.start : rows.stop])


def read_lines(path: Path) -> Texts:
    """Return the lines of a text file of any size; DataError names an empty one."""

    def lines() -> Iterator[str]:
        for number, line in enumerate(stripped_lines(path), 1):
            if not line:
                raise DataError(f"{path}, line {number}: empty, expected a text on every line")
            yield line

    return Texts(column_of(lines()))


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
                return read_lines(path)
        language, text_only = self.language or _DEFAULT_LANGUAGE, self.kind != IMAGES
        need = (self.column,) if text_only and "_to_" in self.column else ()
        captions = load_dataset(self.name, language, data_dir=self.data_dir, need=need, text_only=text_only)
        if text_only:
            return Texts(getattr(captions, self.column))
        images = captions.images
        if images is None:
            raise DataError(f"{captions.dataset} has no images here")
        return Pictures(images, images.ids, [images.fingerprint(i) for i in range(len(images))])

    def _folder(self, path: Path) -> Pictures:
        if self.kind == TEXTS:
            raise DataError(f"{path}: expected a file of lines, a table or a data set for texts, got a folder")
        found = find_photographs(path)
        if found.unreadable:
            name, why = next(iter(found.unreadable.items()))
            raise DataError(f"cannot read {path / name}: {why} ({len(found.unreadable)} in all)")
        if not found.photographs:
            raise DataError(f"{path} holds no images, such as .jpg or .png files")
        identities = [(one.name, one.stamp.size, one.stamp.mtime_ns) for one in found.photographs]
        return Pictures(found.images(), [one.name for one in found.photographs], identities)
