"""`ParallelCaptions`: images, their English captions, the target language's, and both machine translations, by index.

All readers of data sets return it. Images are an `ImageSource`: files on disk (`ImageFiles`) or
images drawn on demand (`scenes`). Text files of captions, plain or gzipped, are read line by line,
since they may be larger than memory.
"""

import codecs
import contextlib
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path
from typing import Any, cast

import numpy as np

from pecl.errors import DataError, is_text, unknown
from pecl.files import HALF_CHARACTER, open_regular, sha256_lines
from pecl.files.columns import ArrowColumn
from pecl.files.images import ImageSource

DIRECTIONS = ("english_to_target", "target_to_english")  # columns of machine translations
COLUMNS = ("english", "target", *DIRECTIONS)
ENGLISH_COLUMNS = ("english", "target_to_english")
PARTS = ("train", "val", "test")
LOOKED_AT = 100  # texts of a column that `has_words` reads
CAPTIONS, TABLE = "caption file", "table of captions"  # kinds of files in error sentences
_BOM = codecs.BOM_UTF8.decode()
Column = tuple[str, ...] | ArrowColumn[str]


@dataclass(frozen=True)
class ParallelCaptions:
    """`n` caption pairs of one language, aligned by index and checked when created."""

    dataset: str  # name of the data set, such as `multi30k-1k`
    language: str  # code of the target language
    english: Column | None  # n English captions
    target: Column  # n captions in the target language
    # n machine translations of `english` into the target language
    english_to_target: Column | None = None
    target_to_english: Column | None = None  # n machine translations of `target` into English
    images: ImageSource | None = None  # None for a set of text
    # the index of each caption's image; captions may share one
    image_index: tuple[int, ...] | None = None
    part: tuple[str, ...] | None = None  # the published part of each caption: train, val or test
    # the subset of each caption for separate results, such as train2014
    subset: tuple[str, ...] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)  # for results: sources, sha256, dropped images, ...

    def __post_init__(self) -> None:
        n = len(self.target)
        source = f"{self.dataset}/{self.language}"
        for name in ("english", "english_to_target", "target_to_english", "image_index", "part", "subset"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise DataError(f"{source}: {name} has {len(column)} entries, expected {n} as in target")

        if self.images is not None and self.image_index is None:
            if len(self.images) != n:
                raise DataError(f"{source}: {len(self.images)} images for {n} captions")
            object.__setattr__(self, "image_index", tuple(range(n)))

        if self.images is not None and not all(0 <= i < len(self.images) for i in self.image_index or ()):
            raise DataError(f"{source}: image_index: expected 0 to {len(self.images) - 1}")

        for i, part in enumerate(self.part or ()):
            if part not in PARTS:
                raise DataError(f"{source}: caption {i + 1}: {unknown('part', part, PARTS)}")

        for name in COLUMNS:
            column = getattr(self, name)
            if column is None or isinstance(column, ArrowColumn):  # the latter was checked when it was written
                continue
            for i, caption in enumerate(column):
                if not caption.strip():
                    raise DataError(f"{source}: {name} caption {i + 1} is empty")
                if not is_text(caption):
                    raise DataError(f"{source}: {name} caption {i + 1}: {HALF_CHARACTER}")

    def __repr__(self) -> str:
        columns = ("english_to_target", "target_to_english", "part", "subset")
        details = []
        if self.english is None:
            details.append("no English")
        details += [name for name in columns if getattr(self, name) is not None]
        images = "no images" if self.images is None else f"{len(self.images)} images"
        return f"ParallelCaptions({', '.join([self.dataset, self.language, f'{len(self)} pairs', images, *details])})"

    def __len__(self) -> int:
        return len(self.target)

    def select(self, indices: Sequence[int] | np.ndarray) -> "ParallelCaptions":
        """Return the pairs at `indices`, in that order, with only their images."""

        def take(column: Any) -> Any:
            if isinstance(column, ArrowColumn):
                return column.take(indices)
            return None if column is None else tuple(column[i] for i in indices)

        columns = {name: take(getattr(self, name)) for name in (*COLUMNS, "image_index", "part", "subset")}

        images = self.images
        image_index = columns["image_index"]
        if images is not None and image_index is not None:
            # by first use: one caption per image keeps 0..n-1
            image_numbers = list(dict.fromkeys(image_index))
            position = {old: new for new, old in enumerate(image_numbers)}
            images = images.subset(image_numbers)
            columns["image_index"] = tuple(position[i] for i in image_index)

        return replace(self, images=images, **columns)

    def hashes(self) -> dict[str, str | None]:
        """Return the SHA-256 of each caption column, and of each caption's photograph, by number and name, and part."""
        ids = () if self.images is None else self.images.ids
        images = [f"{i} {ids[i]}" if ids else str(i) for i in self.image_index or ()]
        columns = {"image": images, "part": self.part}
        return hashes_of([self]) | {name: sha256_lines(values) if values else None for name, values in columns.items()}


def has_words(texts: Iterable[str]) -> bool:
    """Return whether any of the first `LOOKED_AT` texts has a letter; a column of numbers has none."""
    return any(character.isalpha() for text in islice(texts, LOOKED_AT) for character in text)


def find_repeats(contents: Sequence[str], owners: Sequence[int] | None = None) -> dict[int, int]:
    """Return the index of each repeated caption or hash of an image, with the index of its first occurrence.

    `owners` has the image of each caption; equal captions of one image do not count.
    """
    first: dict[str, int] = {}
    repeats = {}
    for index, content in enumerate(contents):
        earlier = first.setdefault(content, index)
        if earlier != index and (owners is None or owners[earlier] != owners[index]):
            repeats[index] = earlier
    return repeats


def hashes_of(parts: Sequence[ParallelCaptions]) -> dict[str, str | None]:
    """Return the SHA-256 of each caption column of concatenated sets; None for a missing column."""
    columns = {name: [getattr(part, name) or () for part in parts] for name in COLUMNS}
    return {name: sha256_lines(chain.from_iterable(texts)) if any(texts) else None for name, texts in columns.items()}


@contextlib.contextmanager
def readable(path: Path, kind: str) -> Iterator[None]:
    """Turn errors of reading a file into a DataError of one sentence; `kind` is `CAPTIONS` or `TABLE`."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{kind} {path} is missing") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        hint = "it is cut short, damaged or not gzipped: copy it again"
        raise DataError(f"cannot read {kind} {path}: {error}; {hint}") from error
    except OSError as error:
        raise DataError(f"cannot read {kind} {path}: {error.strerror or error}") from error


def lines_of(path: Path, kind: str, newline: str = "\n") -> Iterator[tuple[str, str | None]]:
    r"""Yield the lines of a file without a byte-order mark; `.gz` is unpacked.

    Each line comes with its problem, or None. In a line that is not UTF-8, the wrong bytes are replaced.

    Lines end at "\n", and with an empty `newline` also at "\r" and "\r\n"; line ends are kept.
    Errors are those of `readable`.
    """
    packed = path.suffix.lower() == ".gz"
    with readable(path, kind), open_regular(path) as file:
        content = gzip.GzipFile(fileobj=file) if packed else cast(io.BufferedReader, file)
        if content.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise DataError(f"{kind} {path} is UTF-16; convert the file to UTF-8")
        # Escape bytes that are not UTF-8, so that reading goes on after a bad line
        for number, text in enumerate(io.TextIOWrapper(content, "utf-8", "surrogateescape", newline)):
            yield _checked(text if number else text.removeprefix(_BOM))


def _checked(text: str) -> tuple[str, str | None]:
    """Return a line, in which bytes outside UTF-8 are escaped, with its problem."""
    if text.isascii() or is_text(text):
        return text, None

    content = text.encode("utf-8", "surrogateescape")
    try:
        content.removesuffix(b"\n").decode("utf-8")
    except UnicodeDecodeError as error:
        return content.decode("utf-8", "replace"), f"not UTF-8 ({error.reason}); convert the file to UTF-8"

    return text, None


def stripped_lines(path: Path) -> Iterator[str]:
    """Yield the stripped lines of a caption file, also empty ones. Raise DataError for no line, or one not in UTF-8."""
    number = 0
    for number, (text, wrong) in enumerate(lines_of(path, CAPTIONS), 1):
        if wrong:
            raise DataError(f"{path}, line {number}: {wrong}")
        yield text.strip()
    if not number:
        raise DataError(f"{CAPTIONS} {path} is empty")


def resolve_captions_file(path: str | Path) -> Path:
    """Return `path`, or `path` + ".gz" if only that exists."""
    path = Path(path)
    gzipped = path.with_name(path.name + ".gz")
    return gzipped if gzipped.exists() and not path.exists() else path


def read_captions(path: str | Path) -> tuple[str, ...]:
    """Return the captions of a text file, one per line, plain or gzipped; also finds `path` + ".gz".

    CRLF, a byte-order mark and a missing final newline are accepted; spaces at both ends are removed.

    Raises:
        DataError: the file is missing, empty, not UTF-8 or has an empty line (which is named).
    """
    path = resolve_captions_file(path)
    captions = tuple(stripped_lines(path))
    if "" in captions:
        number = captions.index("") + 1
        raise DataError(f"{path}, line {number}: empty caption; every line must hold one")
    return captions
