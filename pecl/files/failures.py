"""Report a failure in one line, with its traceback in a file; and write standard output.

Standard output may be on a full disk, or its reader may have ended.
"""

import contextlib
import errno
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from pecl.errors import PeclError, RunError, one_line
from pecl.files import default_cache_dir

BAD_INPUT, FAILURE = 2, 1  # exit statuses

_MAX_LOGS = 20
_MAX_LOG_BYTES = 100_000
# System errors for a path that the user gave: bad input, not a failure of pecl
_OF_PATHS = {
    *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS),
}


def describe_failure(error: BaseException) -> tuple[int, str]:
    """Return the exit status and the sentence of an exception; write the traceback of an unexpected one to a file."""
    if isinstance(error, PeclError):
        return BAD_INPUT, one_line(error)
    if isinstance(error, RunError):
        return FAILURE, one_line(error)
    if isinstance(error, OSError) and error.errno in _OF_PATHS and error.filename is not None:
        return BAD_INPUT, one_line(f"cannot use {_short(str(error.filename))}: {error.strerror}")

    problem = f"{type(error).__name__}: {_short(one_line(error))}".removesuffix(": ")
    path = log_traceback(error)
    log = f"the traceback is in {path}" if path else "no log could be written"
    return FAILURE, f"unexpected {problem}; {log}"


def write_output(text: str, flush: bool = False) -> None:
    """Write text to standard output; raise RunError if it cannot be written, BrokenPipeError if its reader has gone."""
    try:
        sys.stdout.write(text)
        if flush:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        drop_output()
        raise RunError(f"cannot write to standard output: {error.strerror}") from error


def drop_output() -> None:
    """Discard pending output: Python would otherwise try again at exit, and print a traceback."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def log_traceback(error: BaseException) -> Path | None:
    """Write an exception's traceback to a new file and return its path, or None if no file can be written.

    The file lies in `logs` of the cache folder; the newest 20 are kept.
    """
    text = "".join(traceback.format_exception(error))
    content = text.encode("utf-8", errors="backslashreplace")
    if len(content) > _MAX_LOG_BYTES:  # keep the beginning (origin) and the end (error)
        content = content[: _MAX_LOG_BYTES // 2] + b"\n...\n" + content[-_MAX_LOG_BYTES // 2 :]

    log_file = None
    with contextlib.suppress(OSError, RuntimeError):  # the latter: there is no home folder
        folder = default_cache_dir() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        prefix = f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-{os.getpid()}-"
        descriptor, name = tempfile.mkstemp(".log", prefix, folder)
        with open(descriptor, "wb") as file:
            file.write(content)
        log_file = Path(name)

        by_age = sorted(folder.glob("*.log"), key=lambda path: (path.stat().st_mtime_ns, str(path) == name))
        for old in by_age[:-_MAX_LOGS]:
            old.unlink(missing_ok=True)

    return log_file


def _short(text: str) -> str:
    return text if len(text) <= 300 else f"{text[:300]}..."
