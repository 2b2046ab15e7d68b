"""Read lines of text files, plain or gzipped, that may be larger than memory."""

import codecs
import contextlib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from pecl.errors import DataError, is_text
from pecl.files import open_regular

CAPTIONS, TABLE = "caption file", "table of captions"  # kinds of files in error sentences
_BOM = codecs.BOM_UTF8.decode()


@contextlib.contextmanager
def readable(path: Path, what: str) -> Iterator[None]:
    """Turn errors of reading a file of the kind `what`, `CAPTIONS` or `TABLE`, into a DataError of one sentence."""
    try:
        yield
    except FileNotFoundError as error:
        raise DataError(f"{what} {path} is missing") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        hint = "it is cut short, damaged or not gzipped: copy it again"
        raise DataError(f"cannot read {what} {path}: {error}; {hint}") from error
    except OSError as error:
        raise DataError(f"cannot read {what} {path}: {error.strerror or error}") from error


def lines_of(path: Path, what: str, newline: str = "\n") -> Iterator[tuple[str, str | None]]:
    r"""Yield the lines of a file without a byte-order mark; `.gz` is unpacked.

    With each comes its problem, if any: characters that are not UTF-8 are replaced in it.

    Lines end at `newline`: "\n", or "" to also end them at "\r" and "\r\n"; neither is changed. Errors are those of
    `readable`.
    """
    packed = path.suffix.lower() == ".gz"
    with readable(path, what), open_regular(path) as file:
        content = cast(BinaryIO, gzip.GzipFile(fileobj=file)) if packed else file
        # Escape bytes that are not UTF-8, so that reading goes on after a bad line
        for number, text in enumerate(io.TextIOWrapper(content, "utf-8", "surrogateescape", newline)):
            yield _checked(text if number else text.removeprefix(_BOM))


def _checked(text: str) -> tuple[str, str | None]:
    """Return a line whose bytes outside UTF-8 were escaped, with its problem."""
    if text.isascii() or is_text(text):
        return text, None
    content = text.encode("utf-8", "surrogateescape")
    try:
        content.removesuffix(b"\n").decode("utf-8")
    except UnicodeDecodeError as error:
        return content.decode("utf-8", "replace"), f"not UTF-8 ({error.reason}); convert the file to UTF-8"
    return text, None


def stripped_lines(path: Path) -> Iterator[str]:
    """Yield the lines of a caption file, at least one, including empty ones, without spaces at their ends."""
    number = 0
    for number, (text, wrong) in enumerate(lines_of(path, CAPTIONS), 1):
        if wrong:
            raise DataError(f"{path}, line {number}: {wrong}")
        yield text.strip()
    if not number:
        raise DataError(f"{CAPTIONS} {path} is empty")
