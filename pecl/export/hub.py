"""Adapters published on the model hub, or in a folder, and fetched from there: `push` and `pull`.

A published folder holds a safetensors file for each language, `README.md` (the model card) and `pecl_adapters.json`,
which ends in its own digest: which file is for which language, its SHA-256, and the tower that it belongs to. `pull`
pins the commit that it fetched, checks each file, and checks that the tower is the one that the adapters were trained
on.
"""

import logging
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError

from pecl.adapters.formats.files import AdapterFile, load_adapter_file
from pecl.encoders.loading.hub import TIMEOUT_SECONDS, explain
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import DataError, OutputError, WeightsError
from pecl.export.card import Published, describe_published, write_card
from pecl.files import check_absent, is_sha256, load_json, new_folder, sha256_file, write_json, write_text
from pecl.files.digests import DIGEST, check_digest, with_digest
from pecl.results.result import Result, collect, read_result
from pecl.results.verify import verify

logger = logging.getLogger(__name__)

INDEX = "pecl_adapters.json"
_FORMAT = "pecl-adapters"
CARD = "README.md"
OPTION = "SOURCE"
HUB = "hub:"  # before an id of the model hub that could also be a path
_FILE = re.compile(r"[\w-]+\.safetensors")


def push(sources: Sequence[str | Path], target: str, licence: str = "other", private: bool = False) -> str:
    """Publish adapters with their model card, and return `id@commit`, or the folder.

    Args:
        sources: adapter files of `pecl train`, or folders of its results, whose adapters are all taken.
        target: hub id such as `name/adapters`, or a folder to make such as `./adapters`; see `is_folder`.
        licence: licence of the adapters, as the hub writes it.
        private: whether only the owner sees a hub id that is new.

    Raises:
        WeightsError, DataError: as `find_adapters`.
        OutputError: the folder exists already, or the hub does not take it.
    """
    adapters = find_adapters(sources)
    if is_folder(target):
        with new_folder(Path(target).expanduser()) as folder:
            _fill(folder, adapters, target, licence)
        return target
    target = target.removeprefix(HUB)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _fill(folder, adapters, target, licence)
        api = HfApi()
        try:
            api.create_repo(target, exist_ok=True, private=private)
            languages = ", ".join(one.language for one in adapters)
            message = f"Adapters of pecl: {languages}"
            done = api.upload_folder(repo_id=target, folder_path=folder, commit_message=message)
        except HFValidationError as error:
            raise OutputError(f"{target!r} is neither a hub id such as name/adapters nor a path such as ./x") from error
        except (HTTPError, OSError) as error:
            reason = " ".join(str(error).split())[:200]
            raise OutputError(f"cannot write {target} on {api.endpoint}: {reason} (`hf auth login` logs in)") from error
    return f"{target}@{done.oid}"


def pull(source: str, target: str | Path, tower: MultilingualTextEncoder | None = None) -> list[Path]:
    """Fetch published adapters into a new folder and return their files, sorted by language.

    Args:
        source: hub id, `id@revision` for one state of it, or a folder that `push` wrote; see `is_folder`.
        target: the folder to make; an existing folder of the same source and revision is checked and used.
        tower: the text tower that they are to be used on; None leaves it unchecked.

    Raises:
        WeightsError: nothing can be fetched, a file is damaged, or the adapters belong to another tower.
        OutputError: `target` holds something else, or cannot be written.
    """
    target = Path(target)
    if (target / INDEX).exists():
        return check_published(target, tower, same_as=source)
    check_absent(target)
    if is_folder(source):
        folder, pinned = Path(source).expanduser(), {"source": str(source), "revision": None}
    else:
        folder, pinned = _fetch(source.removeprefix(HUB))
    paths = check_published(folder, tower)
    with new_folder(target) as made:
        for path in (folder / CARD, *paths):
            if path.exists():
                shutil.copyfile(path, made / path.name)
        write_json(made / INDEX, with_digest({**read_index(folder), **pinned}))
    return [target / path.name for path in paths]


def find_adapters(sources: Sequence[str | Path]) -> list[Published]:
    """Return the adapters that `sources` name with the runs that trained them, sorted by language.

    Raises:
        WeightsError: an adapter is missing or damaged or not the one that its result names, or they belong to
            different towers.
        DataError: a result is missing or damaged or lacks its digest, a recall is not that of its ranks, a folder has
            no adapters, or two adapters are of one language.
    """
    found: list[Published] = []
    for source in map(Path, sources):
        if source.is_dir():
            found += [Published(load_adapter_file(one.adapter_path), one) for one in _trained(source)]
        else:
            file = load_adapter_file(source)
            found.append(Published(file, _result_of(file)))
    for one in found:
        verify(one.result, one.file.path)
    found.sort(key=lambda one: one.language)
    for one, other in pairwise(found):
        if one.language == other.language:
            raise DataError(
                f"{one.file.path} and {other.file.path} are both of {one.language}: expected one adapter per language; "
                "name the files, instead of their folder, or choose by validation (--best)"
            )
        if one.file.fingerprint != other.file.fingerprint:
            raise WeightsError(
                f"{one.file.path} and {other.file.path} were trained on different text towers: publish them apart"
            )
    return found


def _trained(folder: Path) -> list[Result]:
    trained = [one for one in collect([folder]) if one.kind == "train" and one.status == "complete"]
    if not (found := [one for one in trained if one.adapter_path.exists()]):
        raise DataError(f"{folder} holds no complete training with its adapter: give the folder that `--out` named")
    return found


def _result_of(file: AdapterFile) -> Result:
    """Return the run of an adapter file; its result lies next to the folder."""
    path = file.path.parent.parent / f"{file.path.stem}.json"
    if not path.exists():
        raise DataError(
            f"{file.path}: its result {path} is missing, from which the card's figures are read: give the file in the "
            "folder that `pecl train --out` named"
        )
    return replace(read_result(path), path=path)


def _fill(folder: Path, adapters: Sequence[Published], target: str, licence: str) -> None:
    for one in adapters:
        shutil.copyfile(one.file.path, folder / one.name)
        verify(one.result, folder / one.name)  # verify the copy: the file may have been replaced since it was found
    described = [{**describe_published(one), "sha256": sha256_file(folder / one.name)} for one in adapters]
    write_text(folder / CARD, write_card(adapters, target, licence))
    write_json(folder / INDEX, with_digest({"format": _FORMAT, "format_version": 1, "adapters": described}))


def is_folder(name: str | Path) -> bool:
    """Say whether a push or pull names a folder, not a model of the hub.

    An id of the hub has one slash. A name that begins with a dot, slash or tilde is a path, and so is one that is
    there, or whose first part is a folder that is there: nothing is sent to a network where a path can be meant.
    `hub:` before a name says that it is an id.
    """
    text = str(name)
    if text.startswith(HUB):
        return False
    if text.startswith((".", "/", "~")) or text.count("/") != 1 or os.path.exists(text):  # False for any name
        return True
    if os.path.isdir(first := text.partition("/")[0]):
        logger.info("%s is a path, since the folder %s is here; the hub's model is named %s%s", text, first, HUB, text)
        return True
    return False


def read_index(folder: Path) -> dict[str, Any]:
    """Return the index of a published folder, checked and without its digest; raise WeightsError for a wrong one."""
    path = folder / INDEX
    try:
        index = load_json(path)
        if index["format"] != _FORMAT:
            raise ValueError(f"its format is {index['format']!r}")
        if index["format_version"] != 1:
            raise WeightsError(
                f"{path} has format {index['format_version']!r}, this version of pecl reads 1: upgrade pecl"
            )
        _check_entries(index["adapters"])
        check_digest(index, needed=True)
    except WeightsError:
        raise
    except FileNotFoundError as error:
        raise WeightsError(
            f"{folder} lacks {INDEX}: expected adapters that `pecl adapters push` published (an id of the hub: {HUB}ID)"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{path}: expected the index of published adapters ({error})") from error
    return {key: value for key, value in index.items() if key != DIGEST}


def _check_entries(entries: list[Any]) -> None:
    """Raise ValueError unless each entry names a file, its language and its SHA-256, no two of one language."""
    if not entries:
        raise ValueError("it lists no adapter")
    for one in entries:
        if not isinstance(one["file"], str) or not _FILE.fullmatch(one["file"]):
            raise ValueError(f"{one['file']!r} is not the name of an adapter file")
        if not isinstance(one["language"], str) or not is_sha256(one["sha256"]):
            raise ValueError(f"{one['file']} has no language or no SHA-256")
    for name in ("file", "language"):
        if len({one[name] for one in entries}) < len(entries):
            raise ValueError(f"it lists a {name} twice")


def _fetch(source: str) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a hub repository, and its commit."""
    repo_id, _, revision = source.partition("@")
    try:
        commit = HfApi().model_info(repo_id, revision=revision or None, timeout=TIMEOUT_SECONDS).sha
        patterns = ["*.safetensors", CARD, INDEX]
        folder = snapshot_download(repo_id, revision=commit, allow_patterns=patterns, etag_timeout=TIMEOUT_SECONDS)
    except HFValidationError as error:
        raise WeightsError(f"{source!r} is neither a folder nor a hub id ({OPTION})") from error
    except (HTTPError, OSError) as error:
        raise WeightsError(explain(error, source, OPTION)) from error
    return Path(folder), {"source": repo_id, "revision": commit}


def check_published(
    folder: Path, tower: MultilingualTextEncoder | None = None, same_as: str | None = None
) -> list[Path]:
    """Return the files of a published folder, each checked against its hash, its language and the tower, if any.

    Raises:
        WeightsError: a file or the index is missing or damaged, or the adapters belong to another tower.
        OutputError: the folder was not pulled from the source `same_as`.
    """
    index = read_index(folder)
    if same_as is not None:
        named = same_as.removeprefix(HUB)
        repo_id, _, revision = (named, "", "") if is_folder(same_as) else named.partition("@")
        if index.get("source") != repo_id or (revision and index.get("revision") != revision):
            held = f"{index.get('source')}@{index.get('revision')}"
            raise OutputError(
                f"{folder} holds {held} already, not {same_as}: choose another folder, or delete it first"
            )
    paths = [folder / one["file"] for one in index["adapters"]]
    for path, one in zip(paths, index["adapters"], strict=True):
        file = load_adapter_file(path, tower)
        if sha256_file(path) != one["sha256"] or file.language != one["language"]:
            raise WeightsError(f"{path} is not the file that {INDEX} names: pull it again, into another folder")
    return paths
