"""Adapter files of a folder, and those that are shipped: one row per file, with its sources and their terms."""

from pathlib import Path
from typing import Any

from pecl.adapters import ready
from pecl.adapters.formats.files import SUFFIX, UnknownAdapterError, check_adapter_file, load_adapter_file
from pecl.adapters.spec import describe
from pecl.config import ExperimentConfig
from pecl.errors import WeightsError
from pecl.export.card import terms_of, tower_terms, trained_on
from pecl.export.hub import INDEX, check_published
from pecl.results.result import read_result


def list_adapters(folder: Path) -> list[dict[str, Any]]:
    """Return a row per adapter file below `folder`, sorted by path.

    Raises:
        WeightsError: there is no such folder, it holds no adapter file, or a file is damaged or not the one that its
            result or its published folder names.
        DataError: the result of an adapter file is damaged.
    """
    if not folder.is_dir():
        raise WeightsError(f"{folder}: expected a folder of adapter files")
    published = {path: index for index in sorted(folder.rglob(INDEX)) for path in check_published(index.parent)}
    paths = sorted(path for path in folder.rglob(f"*{SUFFIX}") if ".state" not in path.parts)  # unfinished trainings
    if not paths:
        raise WeightsError(f"{folder} holds no adapter files (*{SUFFIX})")
    return [{"file": str(path), **_row(path, published.get(path))} for path in paths]


def shipped_adapters() -> list[dict[str, Any]]:
    """Return a row per adapter that the package ships; raise as `list_adapters`."""
    rows = []
    for profile in ready.ready_profiles():
        results = ready.ready_results(profile)
        for language, path in ready.ready_adapters(profile).items():
            rows.append({"name": f"{profile}:{language}", **_row(path, recorded=results.get(language))})
    return rows


def _row(path: Path, index: Path | None = None, recorded: dict[str, Any] | None = None) -> dict[str, Any]:
    try:
        file = load_adapter_file(path)
        language, adapter, result = file.language, describe(file.configs), file.named_by
    except UnknownAdapterError as error:
        language, adapter, result = error.language, f"unknown kind {error.kind}", check_adapter_file(path)
    trained: ExperimentConfig | None = None
    if recorded is not None:
        trained = ExperimentConfig.from_record(recorded["config"])
    elif result is not None and result.name != ready.RESULTS:
        trained = read_result(result).config
    named_by, sources = result or index, trained_on(trained) if trained else []
    return {
        "language": language,
        "adapter": adapter,
        "named by": named_by and named_by.name,
        "trained on": ", ".join(sources) or "not known",
        "terms": {name: terms_of(name) for name in sources} | ({"towers": tower_terms(trained)} if trained else {}),
    }
