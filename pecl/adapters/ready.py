"""Ready adapters, which ship with the package: one file per language in `shipped/<profile>`, and their results.

`tools/make_ready_adapters.py` makes them from the results of `pecl distil`. This module only finds files, without
torch, so that commands that list languages stay quick; `pecl.load_bank` reads them. Each file is compared with its
result whenever it is loaded: `formats.files.load_adapter_file` calls `check_shipped`.
"""

from functools import lru_cache
from pathlib import Path
from typing import Any

from pecl.errors import DataError, WeightsError, not_the_adapter_of
from pecl.files import check_sha256, parse_json
from pecl.files.digests import check_digest

SHIPPED = Path(__file__).with_name("shipped")
RESULTS = "results.jsonl"  # one file: a wheel would compress each result by itself, to three times the size
ALL = "all"  # all languages, in place of their names
PLAIN = "none"  # the base encoder, in place of the name of an adapter


def ready_adapters(profile: str = "mini") -> dict[str, Path]:
    """Return the adapter file of each language that is shipped for a profile; none for a profile without any."""
    return {path.stem: path for path in sorted((SHIPPED / profile).glob("*.safetensors"))}


def ready_profiles() -> list[str]:
    """Return the profiles for which adapters are shipped."""
    return sorted(folder.name for folder in SHIPPED.iterdir() if ready_adapters(folder.name))


def ready_results(profile: str = "mini") -> dict[str, dict[str, Any]]:
    """Return of each shipped adapter of a profile, by language: run id, config, data, towers and the adapter."""
    return read_results(SHIPPED / profile / RESULTS)


def read_results(path: Path) -> dict[str, dict[str, Any]]:
    """Return the results in a file, one per line with its SHA-256, by language. Raise DataError for a damaged line."""
    results = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        try:
            result = parse_json(line)
            check_digest(result, needed=True)
            results[result["config"]["language"]] = result
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path}, line {number} is damaged ({error}); install pecl again") from error
    return results


def check_shipped(path: Path) -> Path | None:
    """Compare a file in `SHIPPED` with the result of its language, which is its name.

    Return the file of results; None for an adapter file elsewhere. Raise WeightsError if there is no such result, or
    the SHA-256 differs.
    """
    results = path.with_name(RESULTS)
    if path.parent.parent.resolve() != SHIPPED.resolve() or not results.exists():
        return None
    shipped = _shipped_sha256(results)
    if path.stem not in shipped:
        raise WeightsError(f"{path} was not shipped: {results} lacks its result; move it away")
    check_sha256(path, shipped[path.stem], *not_the_adapter_of(results))
    return results


@lru_cache(maxsize=4)
def _shipped_sha256(results: Path) -> dict[str, str]:
    """Return language -> SHA-256 of its adapter file."""
    return {language: result["adapter"]["sha256"] for language, result in read_results(results).items()}
