"""Read files: `read_regular` waits for no pipe, and `load_json` and `parse_yaml` bound depth and numbers."""

import errno
import gc
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from pecl.errors import is_text

_DEPTH = 64  # lists and objects within each other
_TOO_DEEP = f"lists and objects are nested more than {_DEPTH} deep"
HALF_CHARACTER = "half a character (a lone surrogate), which UTF-8 cannot hold; write it again"


def read_regular(path: str | Path) -> bytes:
    """Return the content of a regular file; raise OSError as `open_regular`."""
    with open_regular(path) as file:
        return file.read()


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
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))  # as `open` says it
    raise OSError("expected a regular file, got a pipe or a device")


def check_regular(path: str | Path) -> None:
    """Raise OSError unless `path` is a regular file, for libraries that open it by its name."""
    open_regular(path).close()


def load_json(path: str | Path) -> Any:
    """Return the document in a JSON file; raise OSError as `read_regular`, and ValueError as `parse_json`."""
    return parse_json(read_regular(path))


def parse_json(text: str | bytes, halves: bool = False) -> Any:
    """Parse JSON (bytes: UTF-8); NaN and infinities are numbers, and the last of repeated keys counts.

    With `halves`, a text may hold half a character, which the caller reports.

    Raises:
        ValueError: it is not JSON, is nested too deeply, or holds a whole number beyond 64 bits or half a character.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check_json(document, halves)
    return document


def parse_yaml(text: str) -> Any:
    """Parse YAML; configs check the values themselves.

    Raises:
        yaml.YAMLError: it is not YAML, or has an alias (a few of them can stand for gigabytes) or a tag.
        ValueError: it is nested too deeply, or holds a date or a number that Python cannot hold.
    """
    import yaml  # here, because most readers of files need none

    depth = 0
    for event in yaml.parse(text, yaml.SafeLoader):  # events, since an alias costs nothing before it is followed
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEPTH:
            raise ValueError(_TOO_DEEP)
        is_alias = isinstance(event, yaml.AliasEvent)
        if is_alias or getattr(event, "tag", None) is not None:
            problem = f"{'an alias' if is_alias else 'a tag'} is not allowed: write the value itself"
            raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)
    try:
        return yaml.safe_load(text)
    except ArithmeticError as error:  # a date or a number is out of range
        raise ValueError(str(error)) from error


def _check_json(document: Any, halves: bool) -> None:
    level = [[document]]  # the values of all lists and objects at one depth
    for _ in range(_DEPTH + 1):
        deeper: list[list[Any]] = []
        for values in level:
            kinds = set(map(type, values))  # long lists are of numbers: they take one step in C
            if int in kinds:
                numbers = [value for value in values if type(value) is int] if len(kinds) > 1 else values
                if max(-min(numbers), max(numbers)) >= 1 << 64:
                    raise ValueError("a whole number has more than 64 bits")
            if str in kinds and not halves and not is_text("".join(value for value in values if type(value) is str)):
                raise ValueError(HALF_CHARACTER)
            if dict in kinds:
                deeper += [[*value.keys(), *value.values()] for value in values if type(value) is dict]
            if list in kinds:
                deeper += [value for value in values if type(value) is list]
        level = deeper
        if not level:
            return
    raise ValueError(_TOO_DEEP)


@contextmanager
def without_garbage_collection() -> Iterator[None]:
    """Pause Python's search for cycles while many objects are read: it looks at all of them, again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
