"""Check that the adapter file of a training is the one that its result names."""

from pathlib import Path

from pecl.errors import WeightsError, not_the_adapter_of
from pecl.files import check_sha256
from pecl.results.result import Result


def verify(result: Result, adapter: Path | None = None) -> None:
    """Refuse a training unless `adapter`, by default `result.adapter_path`, is the file that it names by its SHA-256.

    Raises:
        WeightsError: it names none, or the file is missing or another.
    """
    if result.adapter.sha256 is None:
        raise WeightsError(f"{where(result)} does not name its adapter file by its SHA-256; run it again")
    check_sha256(adapter or result.adapter_path, result.adapter.sha256, *not_the_adapter_of(where(result)))


def where(result: Result) -> str:
    """Return the name of a result in messages."""
    return f"run {result.run_id}" + (f" ({result.path})" if result.path else "")
