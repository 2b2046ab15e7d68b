"""Checksums of an exported folder, in `SHA256SUMS`: pecl compares them when it loads the folder.

`sha256sum --check SHA256SUMS` compares them as well, where pecl is not at hand.
"""

import re
from pathlib import Path

from pecl.errors import WeightsError
from pecl.files import check_sha256, inside, read_regular, sha256_file, write_text

CHECKSUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  (.+)", re.ASCII)


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files in `folder`."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{sha256_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    write_text(folder / CHECKSUMS, "".join(lines))


def check_checksums(folder: Path) -> None:
    """Refuse a folder with a file that has changed since it was exported; one without checksums passes."""
    path = folder / CHECKSUMS
    try:
        text = read_regular(path).decode("utf-8")
        files = [_file(folder, line) for line in text.splitlines()]
    except FileNotFoundError:
        return
    except (OSError, ValueError) as error:
        raise WeightsError(f"cannot read {path} ({error}): export the folder again") from error
    for sha256, file in files:
        remedy = f"export the folder again, or delete {path} if you changed it on purpose"
        check_sha256(file, sha256, "has changed since it was exported", remedy)


def _file(folder: Path, line: str) -> tuple[str, Path]:
    """Return the SHA-256 and the path of a line of the checksums."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise ValueError(f"expected a SHA-256 and the name of a file, got {line[:80]!r}")
    return match[1], inside(folder, match[2])
