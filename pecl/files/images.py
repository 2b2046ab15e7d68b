"""Images: only this module opens and decodes files; `ImageSource` and `ImageFiles` list images by index.

`open_picture` opens an image, and `to_rgb` converts it to upright 8-bit RGB for towers. Pillow's own `Image.open` tries
every format that it has, and runs Ghostscript for a PostScript file whatever its name is. `open_picture` takes bytes
that were read once, tries a list of formats, and bounds the pixels. Pillow's own limit belongs to the user's process
and stays as it is. Pillow's own `convert("RGB")` leaves a camera's rotation out, cuts 16-bit values off and shows the
colours that lie under transparent pixels. For any other image it does the same as `to_rgb`.

The fingerprint of an image's content keys its cached embedding. A file may change between two reads. `load` therefore
takes the expected fingerprint and compares it with the bytes that it decodes.
"""

import base64
import contextlib
import importlib
import io
import struct
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol, cast

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from pecl.errors import DataError, one_line, setting
from pecl.files.digests import sha256_bytes, sha256_file
from pecl.files.progress import Bar
from pecl.files.reading import read_regular
from pecl.files.tiff import check_tags

# Pixels up to which a JPEG is decoded whole. A larger JPEG is decoded at 1/2, 1/4 or 1/8.
WHOLE = 89_478_485
# Maximum pixels of a file. A format takes at most 24 bytes per pixel (WebP, with transparency and turned), and a JPEG
# that is reduced at most 9 (progressive CMYK): 4.3 GB in addition to the bytes of the file itself.
PIXELS = 2 * WHOLE
JPEG_PIXELS = 500_000_000
MAX_RATIO = 200  # of the longer to the shorter side: towers enlarge an image until its shorter side fits
MAX_FILE_BYTES = 2 << 30
MAX_EXIF_BYTES = 4 << 20

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JXL")  # JPEG includes cameras' MPO
_PACKAGES = {"HEIF": "pillow-heif", "JXL": "pillow-jxl-plugin"}  # format -> the package that adds it to Pillow
NAMED = 10  # maximum images named in a message
_WIDE = ("I", "I;16", "I;16L", "I;16B", "I;16N")  # grey values of 16 bits


# Orientation in an image's EXIF -> what turns it upright
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class TooManyPixelsError(ValueError):
    """An image has more pixels than the limit for decoding."""


def open_picture(content: bytes, formats: Sequence[str] = FORMATS, most: int | None = None) -> ImageFile.ImageFile:
    """Open an image from the bytes of a file, as `Image.open` does: its header is read, and nothing is decoded.

    A JPEG of more than `WHOLE` pixels is set to be decoded at 1/2, 1/4 or 1/8 of its width and height. The default of
    `most` pixels is `JPEG_PIXELS` for a JPEG and `PIXELS` otherwise.

    Raises:
        UnidentifiedImageError: it is damaged, or of another format; the message names a package that reads it.
        TooManyPixelsError: it has more pixels, or is too narrow.
    """
    image = _identify(content, formats)
    short, long = sorted(image.size)
    if long > MAX_RATIO * short:
        raise TooManyPixelsError(
            f"expected at most {MAX_RATIO} times as long as wide, got {image.width:,} x {image.height:,}"
        )
    is_jpeg = image.format in ("JPEG", "MPO")
    most = most or (JPEG_PIXELS if is_jpeg else PIXELS)

    pixels = image.width * image.height
    if pixels > most:
        raise TooManyPixelsError(f"expected at most {most:,} pixels, got {image.width:,} x {image.height:,}")
    if is_jpeg and pixels > WHOLE:
        factor = next(factor for factor in (2, 4, 8) if pixels <= WHOLE * factor**2 or factor == 8)
        image.draft(None, (image.width // factor, image.height // factor))
    return image


def decode_picture(content: bytes, formats: Sequence[str] = FORMATS, most: int | None = None) -> Image.Image:
    """Return the image that a file holds, in RGB mode as `to_rgb` makes it; for its arguments see `open_picture`.

    Raises:
        UnidentifiedImageError: it is damaged, or of another format.
        TooManyPixelsError: it has more pixels.
        Exception: it is damaged; Pillow raises any exception.
    """
    try:
        with open_picture(content, formats, most) as image:
            return to_rgb(image)
    except Image.DecompressionBombError as error:  # a tile may be larger than its image
        raise TooManyPixelsError(f"expected at most {most or PIXELS:,} pixels, got many more") from error


def _identify(content: bytes, formats: Sequence[str]) -> ImageFile.ImageFile:
    """Open an image of any size in the first format that accepts it."""
    _load_plugins()
    reasons: list[str] = []
    for name in filter(Image.OPEN.__contains__, formats):
        opens, accepts = Image.OPEN[name]
        try:
            accepted = accepts is None or accepts(content[:16])
            if isinstance(accepted, str):  # Pillow was built without the library of this format
                reasons.append(accepted)
            elif accepted:
                if name == "TIFF":
                    check_tags(content)
                return opens(io.BytesIO(content), "")
        except (SyntaxError, IndexError, TypeError, struct.error) as error:  # `Image.open` ignores them, too
            reasons.append(str(error))
        except Image.DecompressionBombError as error:  # from a WebP, before its size is known here
            raise TooManyPixelsError(f"expected at most {PIXELS:,} pixels, got many more") from error

    reason = f" ({'; '.join(reasons)})" if reasons else ""
    readable = (name if name in Image.OPEN else f"{name} (with the package {_PACKAGES[name]})" for name in formats)
    raise UnidentifiedImageError(f"cannot identify image file{reason}, expected {', '.join(readable)}")


@cache
def _load_plugins() -> None:
    Image.init()
    with contextlib.suppress(ImportError):
        import pillow_heif

        pillow_heif.register_heif_opener()
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_jxl")


def is_plain(image: Image.Image) -> bool:
    """Return whether `to_rgb` does no more than `convert("RGB")`; read no pixels."""
    wide = image.mode in _WIDE or image.mode == "F"
    return not wide and not image.has_transparency_data and _is_upright(image)


def _is_upright(image: Image.Image) -> bool:
    return read_exif(image).get(ExifTags.Base.Orientation, 1) == 1


def read_exif(image: Image.Image) -> Image.Exif:
    """Return the EXIF of an image, whose values are decoded when they are read; raise ValueError if it is too long."""
    exif = image.getexif()
    for name in ("exif", "Raw profile type exif"):
        size = len(image.info.get(name) or b"")
        if size > MAX_EXIF_BYTES:
            raise ValueError(f"expected at most {MAX_EXIF_BYTES:,} bytes of EXIF, got {size:,}")
    return exif


def _upright(image: Image.Image) -> Image.Image:
    """Return an image upright by its EXIF.

    `ImageOps.exif_transpose` also writes the EXIF again, which fails if a tag has a value that Pillow cannot write.
    """
    image.load()  # turns a TIFF, and then changes its orientation
    turn = _TURNS.get(read_exif(image).get(ExifTags.Base.Orientation, 1))
    return image if turn is None else image.transpose(turn)


def to_rgb(image: Image.Image) -> Image.Image:
    """Return an image in RGB mode, upright by its EXIF, with 16 bits scaled to 8, and transparent pixels on white.

    Raises:
        ValueError: its values are neither of 8 nor of 16 bits.
        OSError: it is damaged.
    """
    if is_plain(image):
        return image.convert("RGB")

    upright = _upright(image)
    if upright.mode in _WIDE:
        values = upright.convert("I")
        low, high = cast("tuple[int, int]", values.getextrema())  # one band
        if low < 0 or high > 0xFFFF:
            raise ValueError(f"its pixels are {low} to {high}, expected 8 or 16 bits")
        # 0 to 65535 become the nearest of 0 to 255; Pillow cuts the fraction off
        return values.point(lambda value: value * (1 / 257) + 0.5).convert("L").convert("RGB")
    if upright.mode == "F":
        raise ValueError("its pixels are floating-point numbers, expected 8 or 16 bits")
    if upright.has_transparency_data:
        colours = upright if upright.mode == "RGBA" else upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")
    return upright.convert("RGB")


def small_jpeg(image: Image.Image, size: int) -> bytes:
    """Return an RGB image, at most `size` pixels wide and high, as a JPEG without metadata."""
    small = image.copy()
    small.thumbnail((size, size), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=72, optimize=True)
    return buffer.getvalue()


def jpeg_uri(content: bytes) -> str:
    """Return a JPEG as a data: URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')}"


class ImageSource(Protocol):
    """A list of images that can be named, fingerprinted and loaded one by one."""

    @property
    def ids(self) -> Sequence[str]:
        """Names of the images, one each."""
        ...

    def __len__(self) -> int: ...

    def load(self, index: int, expected: str | None = None) -> Image.Image:
        """Return image `index` in RGB mode; a source that cannot change may ignore the `expected` fingerprint.

        Raises:
            DataError: the image is missing, damaged or not the `expected` one; the message names it.
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
            content = read_regular(path, MAX_FILE_BYTES)
            if expected is None or sha256_bytes(content) == expected:
                return decode_picture(content)
        except Exception as error:  # Pillow raises any exception
            message = one_line(f"cannot read image {path}: {error}")  # a table can name a path with a line break
            raise DataError(f"{message}; replace the file or leave it out") from error
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


def image_fingerprints(images: ImageSource) -> list[str]:
    """Return the fingerprint of each of M images. Raise DataError with the number of unreadable ones and ten names."""
    try:
        return [images.fingerprint(i) for i in range(len(images))]
    except DataError as error:
        failed = unreadable_images(images)
        raise (unreadable_error(images, failed) if failed else error) from None


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
    remaining = len(images) - len(failed)
    way_on = "replace them"
    if remaining:
        way_on += f", or pass {setting(skip_unreadable=True)} to go on with the other {remaining}"

    names = some_names([images.ids[index] for index in failed])
    reason = str(next(iter(failed.values()))).partition(";")[0]
    return DataError(f"{len(failed)} of {len(images)} images cannot be read ({names}; {reason}): {way_on}")


def some_names(names: Sequence[str]) -> str:
    """Return the first ten of `names` for a sentence, with dots for the rest."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
