"""`ParallelCaptions`: images, their English captions, the target language's, and both machine translations, by index.

Everything that reads a data set ends here, so that the rest of the package knows one shape alone. Images are behind
`ImageSource`: files on disk (`ImageFiles`) or pictures drawn on demand (`scenes`). Each has a fingerprint of its
content, which keys its cached embedding. A file may change between two reads, so whoever keeps a fingerprint next to
something made of the image hands it to `load`, which compares it with the very bytes that it decodes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from pecl.data.lines import stripped_lines
from pecl.data.pictures import decode_picture, read_picture
from pecl.data.text_column import TextColumn
from pecl.errors import DataError, unknown
from pecl.files import (
    HALF_CHARACTER,
    TEXT_LIMIT,
    sha256_bytes,
    sha256_file,
    sha256_lines,
)
from pecl.options import is_text

CLOCK_RESOLUTION_NS = 2_000_000_000  # of the coarsest file system's times


class ImageSource(Protocol):
    """A list of images that can be named, fingerprinted and loaded one by one."""

    @property
    def ids(self) -> Sequence[str]:
        """Names of the images, one each."""
        ...

    def __len__(self) -> int: ...

    def load(self, index: int, expected: str | None = None) -> Image.Image:
        """Return image `index` in RGB mode.

        Args:
            index: which image.
            expected: fingerprint that the image must have; a source that cannot change may leave it aside.

        Raises:
            DataError: the image is missing, damaged or not the `expected` one; the sentence names it.
        """
        ...

    def fingerprint(self, index: int) -> str:
        """Return a hash of the content of image `index`: equal content, equal hash."""
        ...

    def subset(self, indices: Sequence[int]) -> ImageSource:
        """Return a source of the images at `indices`, in that order."""
        ...


def some_of(names: Sequence[str], count: int) -> str:
    """Return a count and the first and last name, for a `repr`."""
    return f"{count}: {names[0]} ... {names[-1]}" if count > 2 else ", ".join(names)


@dataclass(frozen=True)
class ImageFiles:
    """Image files on disk; `ids` are their file names."""

    paths: tuple[Path, ...]

    def __repr__(self) -> str:
        return f"ImageFiles({some_of(self.ids, len(self))})"

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of the files, without their folders."""
        return tuple(path.name for path in self.paths)

    def __len__(self) -> int:
        return len(self.paths)

    def load(self, index: int, expected: str | None = None) -> Image.Image:
        """Return image `index` in RGB mode, as `to_rgb` makes it; the file is read once.

        Raises:
            DataError: the file is missing, truncated or no image, or the fingerprint of the bytes that were read is
                not the `expected` one.
        """
        path = self.paths[index]
        try:
            content = read_picture(path)
            if expected is None or sha256_bytes(content) == expected:
                return decode_picture(content)
        except Exception as error:  # besides OSError, Pillow raises whatever its readers stumble over
            raise DataError(f"cannot read image {path}: {error}; replace the file or leave it out") from error
        raise _changed(path)

    def fingerprint(self, index: int) -> str:
        """Return the SHA-256 of the file's bytes.

        Raises:
            DataError: the file is missing, cannot be read, or is being written.
        """
        path = self.paths[index]
        try:
            state = _state(path)
            # Two changes within the clock's resolution leave the same times, so that a file just written is read again.
            just_now = time.time_ns() - max(state[2:]) < CLOCK_RESOLUTION_NS
            return (_fingerprint_of.__wrapped__ if just_now else _fingerprint_of)(path, state)
        except DataError:
            raise
        except (OSError, ValueError) as error:  # the latter: a NUL in its name
            raise DataError(f"cannot read image {path}: {getattr(error, 'strerror', None) or error}") from error

    def subset(self, indices: Sequence[int]) -> ImageFiles:
        """Return the files at `indices`, in that order."""
        return ImageFiles(tuple(self.paths[i] for i in indices))


def _state(path: Path) -> tuple[int, int, int, int]:
    """Return all that tells a file that has changed: inode, size, and the times of its content and of itself."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@lru_cache(maxsize=100_000)
def _fingerprint_of(path: Path, state: tuple[int, int, int, int]) -> str:
    """Return an image file's fingerprint, made once while it stays as it is: the runs of a grid share their images."""
    digest = sha256_file(path)
    if _state(path) != state:
        raise _changed(path)
    return digest


def _changed(path: Path) -> DataError:
    return DataError(f"cannot read image {path}: it changed while it was read; run again when nothing writes to it")


COLUMNS = ("english", "target", "english_to_target", "target_to_english")
PARTS = ("train", "val", "test")
Column = tuple[str, ...] | TextColumn


@dataclass(frozen=True)
class ParallelCaptions:
    """`n` caption pairs of one language, aligned by index and checked when made.

    Attributes:
        dataset: name of the data set, e.g. `multi30k-1k`.
        language: code of the target language.
        english: n English captions; None for a set without, which most routes have no use for.
        target: n captions in the target language.
        english_to_target: n machine translations of `english` into the target language, or None.
        target_to_english: n machine translations of `target` into English, or None.
        images: the images, or None for a text-only set.
        image_index: for each caption the index of its image in `images`; captions may share an image.
        part: for each caption the part it was published in, train, val or test; None where a few-shot split decides.
        subset: for each caption the part of its source that results tell apart, such as COCO's train2014, or None.
        provenance: what a result must say of its data: sources, sha256, how many images were left out, ...
    """

    dataset: str
    language: str
    english: Column | None
    target: Column
    english_to_target: Column | None = None
    target_to_english: Column | None = None
    images: ImageSource | None = None
    image_index: tuple[int, ...] | None = None
    part: tuple[str, ...] | None = None
    subset: tuple[str, ...] | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n = len(self.target)
        for name in ("english", "english_to_target", "target_to_english", "image_index", "part", "subset"):
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise DataError(
                    f"{self.dataset}/{self.language}: {name} has {len(column)} entries, expected {n} as in target"
                )
        if self.images is not None and self.image_index is None:
            if len(self.images) != n:
                raise DataError(f"{self.dataset}/{self.language}: {len(self.images)} images for {n} captions")
            object.__setattr__(self, "image_index", tuple(range(n)))
        if self.images is not None and not all(0 <= i < len(self.images) for i in self.image_index or ()):
            raise DataError(f"{self.dataset}/{self.language}: image_index: expected 0 to {len(self.images) - 1}")
        for i, part in enumerate(self.part or ()):
            if part not in PARTS:
                raise DataError(f"{self.dataset}/{self.language}: caption {i + 1}: {unknown('part', part, PARTS)}")
        for name in COLUMNS:
            column = getattr(self, name)
            for i, caption in enumerate(column if isinstance(column, tuple) else ()):  # others were checked when read
                if not caption.strip():
                    raise DataError(f"{self.dataset}/{self.language}: {name} caption {i + 1} is empty")
                if not is_text(caption):
                    raise DataError(f"{self.dataset}/{self.language}: {name} caption {i + 1}: {HALF_CHARACTER}")

    def __repr__(self) -> str:
        columns = ("english_to_target", "target_to_english", "part", "subset")
        held = ["no English"] * (self.english is None)
        held += [name for name in columns if getattr(self, name) is not None]
        images = "no images" if self.images is None else f"{len(self.images)} images"
        return f"ParallelCaptions({', '.join([self.dataset, self.language, f'{len(self)} pairs', images, *held])})"

    def __len__(self) -> int:
        return len(self.target)

    def select(self, indices: Sequence[int] | np.ndarray) -> ParallelCaptions:
        """Return the pairs at `indices`, in that order, with just the images that they need."""

        def take(column: Any) -> Any:
            if isinstance(column, TextColumn):
                return column.take(indices)
            return None if column is None else tuple(column[i] for i in indices)

        image_index = take(self.image_index)
        images = self.images
        if images is not None and image_index is not None:
            used = list(dict.fromkeys(image_index))  # first use first: one caption an image keeps 0..n-1
            position = {old: new for new, old in enumerate(used)}
            images, image_index = images.subset(used), tuple(position[i] for i in image_index)
        return replace(
            self,
            english=take(self.english),
            target=take(self.target),
            english_to_target=take(self.english_to_target),
            target_to_english=take(self.target_to_english),
            images=images,
            image_index=image_index,
            part=take(self.part),
            subset=take(self.subset),
        )

    def hashes(self) -> dict[str, str | None]:
        """Return the SHA-256 of each caption column: what a result records of its data."""
        return hashes_of([self])


def hashes_of(parts: Sequence[ParallelCaptions]) -> dict[str, str | None]:
    """Return the SHA-256 of each caption column of sets that follow each other; None for one that they lack."""
    columns = {name: [getattr(part, name) or () for part in parts] for name in COLUMNS}
    return {name: sha256_lines(chain.from_iterable(own)) if any(own) else None for name, own in columns.items()}


def resolve_captions_file(path: str | Path) -> Path:
    """Return `path`, or `path` + ".gz" where only that is there."""
    path = Path(path)
    gzipped = path.with_name(path.name + ".gz")
    return gzipped if gzipped.exists() and not path.exists() else path


def read_captions(path: str | Path, expected: int | None = None) -> tuple[str, ...]:
    """Return the captions of a text file, one a line, plain or gzipped; also finds `path` + ".gz".

    CRLF, a byte-order mark and a missing final newline are read right; spaces at the ends are dropped.

    Raises:
        DataError: the file is missing, empty, not UTF-8 or has an empty line (which is named), or not `expected` lines.
    """
    path = resolve_captions_file(path)
    captions = read_lines(path)
    if "" in captions:
        number = captions.index("") + 1
        raise DataError(f"{path}, line {number}: empty caption; every line must hold one")
    if expected is not None and len(captions) != expected:
        raise DataError(f"{path} has {len(captions)} captions, expected {expected}")
    return captions


def read_lines(path: str | Path) -> tuple[str, ...]:
    """Return the lines of a text file as `read_captions` does, empty ones included.

    Raises:
        DataError: the file is missing, without any line, or not UTF-8.
    """
    return tuple(stripped_lines(resolve_captions_file(path), TEXT_LIMIT))
