"""The result of a training names its adapter file by its SHA-256: if both files are there, they are compared.

Every adapter file that is loaded is compared, so that two files that were swapped are never used.
"""

from pathlib import Path

from pecl.errors import DataError, not_the_adapter_of
from pecl.files import check_sha256, load_json
from pecl.files.digests import check_digest
from pecl.files.typed_json import Text, decode


def check_adapter_file(path: str | Path) -> Path | None:
    """Check an adapter file against the result of its training, where that lies next to it.

    The result of `OUT/adapters/NAME.safetensors` is `OUT/NAME.json`. The result of a file elsewhere has its
    name with the suffix `.json`, as for shipped adapters.

    Returns:
        The result that names the file by its SHA-256; None if there is no result, or it names no file.

    Raises:
        DataError: the result is damaged.
        WeightsError: the result names another file, or the file cannot be read.
    """
    path = Path(path)
    in_results = path.parent.name == "adapters"
    neighbour = path.parent.parent / f"{path.stem}.json" if in_results else path.with_suffix(".json")
    named = _read_named(neighbour, in_results)
    if named is None:
        return None
    check_sha256(path, named, *not_the_adapter_of(neighbour))
    return neighbour


def _read_named(path: Path, must_be_result: bool) -> str | None:
    """Return the SHA-256 of the adapter in a result; None if there is no result, or it names no adapter."""
    try:
        document = load_json(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        if must_be_result:
            raise DataError(f"result {path} cannot be read ({error}); delete it and run it again") from error
        return None  # a file of the user's own under this name
    if not isinstance(document, dict) or "run_id" not in document:
        return None
    try:
        check_digest(document)
        adapter = document.get("adapter")
        return decode(Text | None, adapter.get("sha256") if isinstance(adapter, dict) else None, "adapter.sha256")
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}; delete the file and run it again") from error
