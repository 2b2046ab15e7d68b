"""An unfinished download: the bytes that are here, and what tells a server whether the rest still belongs to them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from pecl.errors import OutputError
from pecl.files import check_regular, read_bytes_limited, write_text

_VALIDATOR_LIMIT = 1 << 10  # bytes of an ETag or a date


class PartFile:
    """`<target>.part`, and `<target>.part.validator` with the ETag or date that the bytes came with.

    Methods that change it raise OutputError if the disk is full or the folder cannot be written.

    Attributes:
        path: the file that holds the bytes.
        target: the name it gets when it is whole.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.path = target.with_name(target.name + ".part")
        self._validator_file = target.with_name(target.name + ".part.validator")

    def resume_point(self) -> tuple[int, str]:
        """Return how many bytes are here and their validator; (0, "") if the file must begin anew."""
        try:
            check_regular(self.path)
            validator = read_bytes_limited(self._validator_file, _VALIDATOR_LIMIT).decode("ascii")
            return (self.path.stat().st_size, validator) if validator.isprintable() else (0, "")
        except (OSError, UnicodeDecodeError):  # missing, or nothing that a header may hold
            return 0, ""

    def begin(self, validator: str | None) -> None:
        """Drop what is here and begin anew; without a validator the file cannot be resumed."""
        self.discard()
        if validator:
            write_text(self._validator_file, validator)

    def append(self, blocks: Iterable[bytes]) -> int:
        """Add blocks of bytes as they come, and return the file's size then.

        Args:
            blocks: must not raise OSError, which is taken for one of the disk; any other error passes through.
        """
        with self._writing(), open(self.path, "ab") as file:
            file.writelines(blocks)
            file.flush()
            os.fsync(file.fileno())
            return file.tell()

    def discard(self) -> None:
        """Drop what is here."""
        with self._writing():
            self.path.unlink(missing_ok=True)
            self._validator_file.unlink(missing_ok=True)

    def finish(self) -> None:
        """Give the file its name, at one stroke."""
        with self._writing():
            os.replace(self.path, self.target)
            self._validator_file.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise OutputError(f"cannot write {self.path}: {error.strerror or error}") from error
