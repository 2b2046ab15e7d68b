"""Images by index: `ImageSource`, and `ImageFiles` on disk, each with a fingerprint of its content.

The fingerprint keys the cached embedding of an image. A file may change between two reads. `load` therefore takes the
expected fingerprint and compares it with the bytes that it decodes.
"""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from PIL import Image

from pecl.errors import DataError
from pecl.files.digests import sha256_bytes, sha256_file
from pecl.files.pictures import decode_picture
from pecl.files.progress import Bar
from pecl.files.reading import read_regular

NAMED = 10  # images that a sentence names


class ImageSource(Protocol):
    """A list of images that can be named, fingerprinted and loaded one by one."""

    @property
    def ids(self) -> Sequence[str]:
        """Names of the images, one each."""
        ...

    def __len__(self) -> int: ...

    def load(self, index: int, expected: str | None = None) -> Image.Image:
        """Return image `index` in RGB mode; a source that cannot change may leave the `expected` fingerprint aside.

        Raises:
            DataError: the image is missing, damaged or not the `expected` one; the sentence names it.
        """
        ...

    def fingerprint(self, index: int) -> str:
        """Return a hash of the content of image `index`: equal content, equal hash."""
        ...

    def subset(self, indices: Sequence[int]) -> "ImageSource":
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
        """Return image `index` as `to_rgb` makes it; raise DataError as `ImageSource`. The file is read once."""
        path = self.paths[index]
        try:
            content = read_regular(path)
            if expected is None or sha256_bytes(content) == expected:
                return decode_picture(content)
        except Exception as error:  # Pillow raises any exception
            raise DataError(f"cannot read image {path}: {error}; replace the file or leave it out") from error
        raise DataError(f"cannot read image {path}: it changed while it was read; run again when nothing writes to it")

    def fingerprint(self, index: int) -> str:
        """Return the SHA-256 of the file's bytes; raise DataError if it cannot be read."""
        path = self.paths[index]
        try:
            state = path.stat()
            return _fingerprint_of(path, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
        except (OSError, ValueError) as error:  # the latter: a NUL in its name
            raise DataError(f"cannot read image {path}: {getattr(error, 'strerror', None) or error}") from error

    def subset(self, indices: Sequence[int]) -> "ImageFiles":
        """Return the files at `indices`, in that order."""
        return ImageFiles(tuple(self.paths[i] for i in indices))


@lru_cache(maxsize=100_000)
def _fingerprint_of(path: Path, *state: int) -> str:
    """Return an image file's fingerprint, cached while inode, size and times stay: runs of a grid share images."""
    return sha256_file(path)


def unreadable_images(images: ImageSource, decoded: Container[str] = ()) -> dict[int, DataError]:
    """Return the error of each unreadable image by its index; images with fingerprints in `decoded` are not opened."""
    failed = {}
    for index in Bar(range(len(images)), desc="checking images", unit="image", leave=False, disable=not len(images)):
        try:
            if images.fingerprint(index) not in decoded:
                images.load(index)
        except DataError as error:
            failed[index] = error
    return failed


def unreadable_error(images: ImageSource, failed: Mapping[int, DataError]) -> DataError:
    """Return the error that names the first ten of the `failed` images and counts them all."""
    others = len(images) - len(failed)
    way_on = f"replace them, or pass --skip-unreadable to go on with the other {others}" if others else "replace them"
    names = some_names([images.ids[index] for index in failed])
    reason = str(next(iter(failed.values()))).partition(";")[0]
    return DataError(f"{len(failed)} of {len(images)} images cannot be read ({names}; {reason}): {way_on}")


def some_names(names: Sequence[str]) -> str:
    """Return the first ten of `names` for a sentence, with dots for the rest."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
