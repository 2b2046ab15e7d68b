"""Read files and JSON; `read_regular` never waits for a pipe."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

HALF_CHARACTER = "a lone surrogate, which UTF-8 cannot encode; write it again"


def read_regular(path: str | Path, max_bytes: int | None = None) -> bytes:
    """Return the content of a regular file; raise OSError as `open_regular`, ValueError if it is longer."""
    with open_regular(path) as file:
        if max_bytes is None:
            return file.read()
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"expected at most {max_bytes:,} bytes")
    return content


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; refuse a pipe at once, since `open` would wait for its writer.

    Raises:
        OSError: it is missing, cannot be read, or is a folder, a pipe or a device.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))  # as `open` does
    raise OSError("expected a regular file, got a pipe or a device")


def check_regular(path: str | Path) -> None:
    """Raise OSError unless `path` is a regular file, for libraries that open it by its name."""
    open_regular(path).close()


def load_json(path: str | Path) -> Any:
    """Return the document in a JSON file; raise OSError as `read_regular`, and ValueError as `parse_json`."""
    return parse_json(read_regular(path))


def parse_json(text: str | bytes) -> Any:
    """Parse JSON (bytes: UTF-8); NaN and infinities are numbers, and the last of repeated keys counts.

    Raises:
        ValueError: it is not JSON, or nested too deeply.
    """
    try:
        return json.loads(text.decode("utf-8") if isinstance(text, bytes) else text)
    except RecursionError:
        raise ValueError("lists and objects are nested more than can be read") from None
