"""Adapter files of a folder: each is compared with the result that names it, and has its sources and their terms."""

from dataclasses import dataclass, replace
from pathlib import Path

from pecl.adapters import ready
from pecl.adapters.formats.convert import SUFFIX
from pecl.adapters.formats.files import UnknownAdapterError, check_adapter_file, load_adapter_file
from pecl.adapters.spec import describe
from pecl.config import ExperimentConfig
from pecl.errors import DataError, WeightsError
from pecl.export.hub import INDEX, check_published
from pecl.export.terms import terms_of, tower_terms, trained_on
from pecl.files import load_json
from pecl.results.required import decode_config


@dataclass(frozen=True)
class Listed:
    """An adapter file of a folder."""

    path: Path
    language: str | None
    adapter: str  # its spec, or `unknown kind` and the name of a kind that is not registered
    named_by: Path | None  # the result, or the index of a published folder, that names the file by its SHA-256
    config: ExperimentConfig | None  # of the training, where `named_by` is its result

    @property
    def sources(self) -> str:
        """Sources that it was trained on, or `not known`."""
        return ", ".join(trained_on(self.config)) if self.config else "not known"

    @property
    def terms(self) -> dict[str, str]:
        """Terms of these sources and of the towers, by name; none where the training is not known."""
        if self.config is None:
            return {}
        return {name: terms_of(name) for name in trained_on(self.config)} | {"towers": tower_terms(self.config)}


def list_adapters(folder: Path) -> list[Listed]:
    """Return the adapter files below `folder`, sorted by path.

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
    return [_listed(path, published.get(path)) for path in paths]


def shipped_adapters() -> dict[str, Listed]:
    """Return the adapters that the package ships, by name, such as `mini:cs`.

    Raises:
        WeightsError: a file is damaged, has no result, or is not the one that its result names.
        DataError: a line of the file of results is damaged.
    """
    found: dict[str, Listed] = {}
    for profile in ready.ready_profiles():
        results = ready.ready_results(profile)
        for language, path in ready.ready_adapters(profile).items():
            listed = _listed(path, None)  # refuses a file that `results` do not name
            found[f"{profile}:{language}"] = replace(
                listed, config=decode_config(results[language]["config"], "config")
            )
    return found


def _listed(path: Path, index: Path | None) -> Listed:
    try:
        file = load_adapter_file(path)
        language, adapter, result = file.language, describe(file.configs), file.named_by
    except UnknownAdapterError as error:
        language, adapter, result = error.language, f"unknown kind {error.kind}", check_adapter_file(path)
    own = None if result is None or result.name == ready.RESULTS else _config(result)
    return Listed(path, language, adapter, result or index, own)


def _config(result: Path) -> ExperimentConfig:
    try:
        return decode_config(load_json(result)["config"], "config")
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DataError(f"result {result} is damaged ({error}); run it again") from error
