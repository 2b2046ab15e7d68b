"""Files next to results, which are shared by many results or larger than they are.

`splits/<hash>.json` is the manifest of a few-shot split, once for all runs of the split; a result names it.
`retrieved/<name>.json` holds the items nearest to each test caption, for the page of `pecl report --html`. It is large
and can be made again, so it need not be kept: everything else works without it.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pecl.errors import DataError
from pecl.files import load_json, sha256_json, write_json
from pecl.results.result import RETRIEVED, SPLITS, Result

Nearest = Mapping[str, Sequence[Sequence[int]]]  # stage -> test caption -> items of the data set, nearest first


def manifest_path(out: str | Path, name: str) -> Path:
    """Return the path of the manifest called `name` in the experiment folder `out`."""
    return Path(out) / SPLITS / f"{name}.json"


def write_manifest(out: str | Path, manifest: Mapping[str, Any]) -> str:
    """Write the manifest of a split into `out` and return its name, a hash of its content."""
    name = sha256_json(manifest)[:16]
    write_json(manifest_path(out, name), manifest, indent=None)
    return name


def read_manifest(result: Result) -> dict[str, Any] | None:
    """Return the manifest of a training's split, or None where its file is not there or the result names none.

    Raises:
        DataError: the file is damaged.
    """
    name = result.data.manifest
    if name is None:
        return None

    def checked(document: Any) -> dict[str, Any]:
        if sha256_json(document)[:16] != name:
            raise ValueError("its content does not match its name")
        return document

    return _read(manifest_path(_folder(result), name), "manifest", result, checked)


def write_retrieved(out: str | Path, name: str, nearest: Nearest) -> Path:
    """Write the items that a run retrieved for its test captions; `name` is its `Result.name`."""
    return write_json(_retrieved_path(out, name), {"test": nearest}, indent=None)


def read_retrieved(result: Result) -> Nearest | None:
    """Return the items that a run retrieved for its test captions, or None where their file is not there.

    Raises:
        DataError: the file is damaged.
    """
    path = _retrieved_path(_folder(result), result.name)
    return _read(path, "the retrieved items", result, lambda document: document["test"])


def _retrieved_path(out: str | Path, name: str) -> Path:
    return Path(out) / RETRIEVED / f"{name}.json"


def _folder(result: Result) -> Path:
    return Path(result.config.out) if result.path is None else result.path.parent


def _read(path: Path, what: str, result: Result, part: Callable[[Any], Any]) -> Any:
    """Return a part of the JSON at `path`, None where there is no file."""
    try:
        return part(load_json(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{what} {path} cannot be read ({error}); run {result.run_id} again") from error
