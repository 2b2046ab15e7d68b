"""Publish adapters on the model hub or in a folder, fetch them from there, and list adapters with their terms.

A published folder holds a safetensors file per language, `README.md` (the model card, see `card`)
and `pecl_adapters.json`: the language, SHA-256, run and tower of each file. `pull` records the
commit that it fetched, and checks the SHA-256 and the tower of each file.
"""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError

from pecl.adapters import ready
from pecl.adapters.formats.files import SUFFIX, UnknownAdapterError, check_adapter_file, load_adapter_file
from pecl.adapters.formats.peft import WEIGHTS_FILE
from pecl.adapters.spec import describe
from pecl.apps.export.card import Published, describe_published, terms_of, tower_terms, trained_on, write_card
from pecl.config import ExperimentConfig
from pecl.encoders.loading.hub import TIMEOUT_SECONDS, explain
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import DataError, OutputError, WeightsError, setting
from pecl.files import check_absent, expanded, load_json, new_folder, sha256_file, write_json, write_text
from pecl.results.result import TrainingResult, collect, read_result, read_run, trainings, verify

INDEX, CARD = "pecl_adapters.json", "README.md"
_FORMAT = {"format": "pecl-adapters", "format_version": 1}


def push(
    sources: Sequence[str | Path],
    target: str,
    licence: str = "other",
    private: bool = False,
) -> str:
    """Publish adapters with their model card, and return `id@commit`, or the folder.

    Args:
        sources: adapter files of `pecl train`, or folders of its results, whose adapters are all taken.
        target: hub id such as `name/adapters`, or a folder to make such as `./adapters`; see `is_folder`.
        licence: licence of the adapters, as the hub writes it.
        private: whether a new repository on the hub is private.

    Raises:
        WeightsError, DataError: as `find_adapters`.
        OutputError: the folder exists already, or the hub refuses the upload.
    """
    adapters = find_adapters(sources)
    if is_folder(target):
        with new_folder(expanded(target)) as folder:
            _fill(folder, adapters, target, licence)
        return target

    api = HfApi()
    languages = ", ".join(adapter.language for adapter in adapters)
    with tempfile.TemporaryDirectory() as folder:
        _fill(Path(folder), adapters, target, licence)
        try:
            api.create_repo(target, exist_ok=True, private=private)
            done = api.upload_folder(
                repo_id=target, folder_path=folder, commit_message=f"Adapters of pecl: {languages}"
            )
        except (HFValidationError, HTTPError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise OutputError(f"cannot write {target} on {api.endpoint}: {reason} (`hf auth login` logs in)") from error

    return f"{target}@{done.oid}"


def pull(
    source: str,
    target: str | Path,
    tower: MultilingualTextEncoder | None = None,
) -> list[Path]:
    """Fetch published adapters into a new folder and return their files, sorted by language.

    Args:
        source: hub id, `id@revision` for one revision, or a folder that `push` wrote; see `is_folder`.
        target: the folder to make; an existing folder of the same source and revision is checked and used.
        tower: the text tower that the adapters must belong to; None skips this check.

    Raises:
        WeightsError: nothing can be fetched, a file is damaged, or the adapters belong to another tower.
        OutputError: `target` holds something else, or cannot be written.
    """
    target = Path(target)
    repository, _, revision = (source, "", "") if is_folder(source) else source.partition("@")
    if (target / INDEX).exists():
        index = _read_index(target)
        if index.get("source") != repository or revision not in ("", index.get("revision")):
            content = f"{index.get('source')}@{index.get('revision')}"
            raise OutputError(
                f"{target} holds {content} already, not {source}: choose another folder, or delete it first"
            )
        return check_published(target, tower)

    check_absent(target)
    folder, commit = (expanded(source), None) if is_folder(source) else _fetch(repository, revision)
    paths = check_published(folder, tower)

    with new_folder(target) as temporary_folder:
        for path in (folder / CARD, *paths):
            if path.exists():
                shutil.copyfile(path, temporary_folder / path.name)
        write_json(temporary_folder / INDEX, {**_read_index(folder), "source": repository, "revision": commit})

    return [target / path.name for path in paths]


def find_adapters(sources: Sequence[str | Path]) -> list[Published]:
    """Return the adapters that `sources` name with the runs that trained them, sorted by language.

    Raises:
        WeightsError: an adapter is missing or damaged or not the one that its result names, or they
            belong to different towers.
        DataError: a result is missing or damaged, a folder has no adapters, or two adapters are of one language.
    """
    adapters = sorted(
        (adapter for source in sources for adapter in _trained(Path(source))), key=lambda adapter: adapter.language
    )
    for adapter in adapters:
        verify(adapter.result, adapter.file.path)

    for adapter, next_adapter in pairwise(adapters):
        paths = f"{adapter.file.path} and {next_adapter.file.path}"
        if adapter.language == next_adapter.language:
            raise DataError(
                f"{paths} are both of {adapter.language}: expected one adapter per language; name the files, instead "
                f"of their folder, or choose by validation with {setting(best=True)}"
            )
        if adapter.file.fingerprint != next_adapter.file.fingerprint:
            raise WeightsError(f"{paths} were trained on different text towers: publish them apart")

    return adapters


def _trained(source: Path) -> list[Published]:
    """Return the adapters of a folder of results; or one adapter file, whose result lies next to its folder."""
    if source.is_dir():
        with_adapter = [result for result in trainings(collect([source])) if result.adapter_path.exists()]
        if not with_adapter:
            raise DataError(f"{source} holds no complete training with its adapter: give the folder of its results")
        return [Published(load_adapter_file(result.adapter_path), result) for result in with_adapter]

    file = load_adapter_file(source)
    path = source.absolute().parent.parent / f"{source.stem}.json"
    if not path.exists():
        raise DataError(
            f"{source}: its result {path} is missing, from which the card's figures are read: give the file in the "
            "folder of the results"
        )
    result = read_result(path)
    if not isinstance(result, TrainingResult):
        raise DataError(f"{source}: its result {path} is of an evaluation, expected a training")
    return [Published(file, replace(result, path=path))]


def _fill(folder: Path, adapters: Sequence[Published], target: str, licence: str) -> None:
    for adapter in adapters:
        shutil.copyfile(adapter.file.path, folder / adapter.name)
    described = [{**describe_published(adapter), "sha256": sha256_file(folder / adapter.name)} for adapter in adapters]
    write_text(folder / CARD, write_card(adapters, target, licence))
    write_json(folder / INDEX, {**_FORMAT, "adapters": described})


def is_folder(name: str) -> bool:
    """Return whether the source or target `name` is a folder, not a hub id.

    A hub id has exactly one slash, and neither the id nor its first part exists as a path here: a
    name that may be a path is never sent to the network.
    """
    is_path = name.startswith((".", "/", "~")) or name.count("/") != 1
    return is_path or os.path.exists(name) or os.path.isdir(name.partition("/")[0])


def _read_index(folder: Path) -> dict[str, Any]:
    path = folder / INDEX
    try:
        index = load_json(path)
        if {name: index[name] for name in _FORMAT} != _FORMAT:
            raise ValueError(f"its format is {index['format']!r} {index['format_version']!r}")
        for row in index["adapters"]:
            _ = row["language"], row["sha256"]
            if Path(row["file"]).name != row["file"]:
                raise ValueError(f"expected the name of a file in the folder, got {row['file']!r:.100}")
    except FileNotFoundError as error:
        raise WeightsError(
            f"{folder} lacks {INDEX}: expected adapters that `pecl adapters push` published, or an id of the hub"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path}: expected the index of published adapters ({error})") from error

    return index


def _fetch(repo_id: str, revision: str) -> tuple[Path, str | None]:
    try:
        commit = HfApi().model_info(repo_id, revision=revision or None, timeout=TIMEOUT_SECONDS).sha
        patterns = ["*.safetensors", CARD, INDEX]
        folder = snapshot_download(repo_id, revision=commit, allow_patterns=patterns, etag_timeout=TIMEOUT_SECONDS)
    except HFValidationError as error:
        raise WeightsError(f"{repo_id!r} is neither a folder nor a hub id (SOURCE)") from error
    except (HTTPError, OSError) as error:
        raise WeightsError(explain(error, repo_id)) from error

    return Path(folder), commit


def check_published(folder: Path, tower: MultilingualTextEncoder | None = None) -> list[Path]:
    """Return the files of a published folder, each compared with its SHA-256, its language and the tower, if any.

    Raise WeightsError if a file or the index is missing or damaged, or the adapters belong to another tower.
    """
    paths = []
    for row in _read_index(folder)["adapters"]:
        paths.append(folder / row["file"])
        language = load_adapter_file(paths[-1], tower).language
        if (language, sha256_file(paths[-1])) != (row["language"], row["sha256"]):
            raise WeightsError(f"{paths[-1]} is not the file that {INDEX} names: pull it again, into another folder")
    return paths


def _is_pecls(path: Path) -> bool:
    """Return whether a file is neither the state of an unfinished training nor in PEFT's folder of an adapter."""
    return ".state" not in path.parts and path.name != WEIGHTS_FILE


def list_adapters(folder: Path) -> list[dict[str, Any]]:
    """Return a row per adapter file below `folder`, sorted by path.

    Raises:
        WeightsError: there is no such folder, it holds no adapter file, or a file is damaged or not
            the one that its result or its published folder names.
        DataError: the result of an adapter file is damaged.
    """
    if not folder.is_dir():
        raise WeightsError(f"{folder}: expected a folder of adapter files")
    published = {path: index for index in sorted(folder.rglob(INDEX)) for path in check_published(index.parent)}
    paths = sorted(path for path in folder.rglob(f"*{SUFFIX}") if _is_pecls(path))
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


def _row(
    path: Path,
    index: Path | None = None,
    recorded: dict[str, Any] | None = None,
) -> dict[str, Any]:
    try:
        file = load_adapter_file(path)
        language = file.language
        adapter = describe(file.configs)
        result = file.named_by
    except UnknownAdapterError as error:
        language = error.language
        adapter = f"unknown kind {error.kind}"
        result = check_adapter_file(path)

    config: ExperimentConfig | None = None
    if recorded is not None:
        config = ExperimentConfig.from_record(recorded["config"])
    elif result is not None and result.name != ready.RESULTS:
        config = read_run(result).config

    named_by = result or index
    sources = trained_on(config) if config else []
    return {
        "language": language,
        "adapter": adapter,
        "named by": named_by and named_by.name,
        "trained on": ", ".join(sources) or "not known",
        "terms": {name: terms_of(name) for name in sources} | ({"towers": tower_terms(config)} if config else {}),
    }
