"""Adapters of every format: pecl's own files, PEFT's folders, checkpoints of OpenDelta.

A file of pecl holds the parameters of one adapter of one language in safetensors. Its header has everything else that
is needed to use them: format and version, language, configs as JSON and as a spec, name and fingerprint of the tower
that it was trained on, and the pairs that trained it. Files that the package ships have parameters in few bits, see
`packed`. A file holds no code.

The result of a training has the SHA-256 of its adapter file. A file in a folder of results, or among the shipped
adapters, is compared with it whenever it is loaded, so that swapped files are never used.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from pecl.adapters.adapter import Adapter, attach, check_finite
from pecl.adapters.formats.opendelta import from_opendelta_state_dict, infer_configs, load_released_checkpoint
from pecl.adapters.formats.packed import CODES, LAYOUT, unpack
from pecl.adapters.formats.peft import is_plain_lora, read_peft, write_peft
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.merge import merge_slot
from pecl.adapters.ready import check_shipped
from pecl.adapters.spec import KINDS, OF_ENGINES, configs_from_json, configs_to_json, describe
from pecl.adapters.training_pairs import TrainingPairs
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, DataError, WeightsError, not_the_adapter_of, setting
from pecl.files import (
    DamagedFileError,
    check_sha256,
    checked_folder,
    load_json,
    parse_json,
    read_tensors,
    write_tensors,
)
from pecl.files.digests import check_digest

SUFFIX = ".safetensors"
FORMAT = "pecl-adapter"
FORMAT_VERSION = 1
_LANGUAGE = re.compile(r"[\w .,'()-]{1,80}")  # never a path
# configs, tensors, and number of trained parameters; None if all are trained
_Contents = tuple[tuple[AdapterConfig, ...], dict[str, torch.Tensor], int | None]


@dataclass(frozen=True)
class AdapterFile:
    """The content of an adapter file, and the text tower that it was trained on."""

    path: Path  # when it was read
    language: str | None  # None if its format does not state one
    configs: tuple[AdapterConfig, ...]
    state: dict[str, torch.Tensor]  # parameters by name, as `Adapter.slot_state` gives them
    tower_name: str
    fingerprint: str  # of the tower
    named_by: Path | None = None  # the result, or the shipped file of results, that has its SHA-256
    training_pairs: TrainingPairs | None = None  # None if the file does not state them
    trainable: int | None = None  # number of trained parameters; None if all parameters of the state are trained

    def check_tower(self, tower: MultilingualTextEncoder) -> None:
        """Raise WeightsError with both towers unless the adapter was trained on `tower`."""
        if self.fingerprint != tower.fingerprint:
            raise WeightsError(
                f"adapter {self.path} was trained on another text tower: on {self.tower_name} "
                f"(fingerprint {self.fingerprint[:12]}), not on {tower.name} ({tower.fingerprint[:12]})"
            )


class UnknownAdapterError(WeightsError):
    """An adapter file is sound, but its kind is not registered in this process."""

    def __init__(self, path: Path, language: str | None, kind: object) -> None:
        super().__init__(
            f"adapter file {path} is of the kind {kind!r}, which is not known here: expected the plug-in that "
            f"registers it, as in {setting(plugin='my.py')}"
        )
        self.language, self.kind = language, kind


def save_adapter(
    path: str | Path,
    state: Mapping[str, torch.Tensor],
    configs: Sequence[AdapterConfig],
    language: str,
    tower: MultilingualTextEncoder,
    training_pairs: TrainingPairs | None = None,
    trainable: int | None = None,
) -> Path:
    """Write an adapter file with the state of a slot, atomically. Raise OutputError if it cannot be written.

    `trainable` is the number of trained parameters, None if all of the state are trained.
    """
    metadata = {
        "format": FORMAT,
        "format_version": str(FORMAT_VERSION),
        "language": language,
        "configs": json.dumps(configs_to_json(configs)),
        "spec": describe(configs),
        "tower_name": tower.name,
        "tower_fingerprint": tower.fingerprint,
    }
    if training_pairs is not None:
        metadata["training_pairs"] = json.dumps(training_pairs.to_json())
    if trainable is not None:
        metadata["trainable"] = str(trainable)

    return write_tensors(path, state, metadata)


def load_adapter_file(path: str | Path, tower: MultilingualTextEncoder | None = None) -> AdapterFile:
    """Read an adapter file, and check that it was made for `tower` if one is given.

    Raises:
        UnknownAdapterError: it is of a kind that is not registered.
        WeightsError: the file is missing, damaged, no adapter, of a newer format, made for another tower, or not the
            one that the result of its training names, or a parameter is not finite.
        DataError: the result of its training is damaged.
    """
    path = Path(path)
    state, header = _read_file(path)

    try:
        adapter = _adapter_of(path, state, header)
    except WeightsError:
        raise
    except (KeyError, TypeError, ValueError) as error:  # ConfigError and JSON's error are ValueErrors
        raise WeightsError(f"adapter file {path} has a damaged header: {error}") from error

    check_finite(adapter.state, path)
    adapter = replace(adapter, named_by=check_adapter_file(path))
    if tower is not None:
        adapter.check_tower(tower)
    return adapter


def _read_file(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors and the header of an adapter file of pecl."""
    try:
        state, header = read_tensors(path)
    except FileNotFoundError as error:
        raise WeightsError(f"adapter file {path} is missing") from error
    except DamagedFileError as error:
        raise WeightsError(f"adapter file {path} is damaged or no safetensors file ({error}); copy it again") from error
    except OSError as error:
        raise WeightsError(f"cannot read adapter file {path}: {error.strerror or error}") from error

    if header.get("format") != FORMAT:
        raise WeightsError(f"{path}: expected an adapter file of pecl, got another safetensors file")
    return state, header


def _adapter_of(path: Path, state: dict[str, torch.Tensor], header: Mapping[str, str]) -> AdapterFile:
    """Return the adapter that a file holds; raise KeyError, TypeError or ValueError for a damaged header."""
    version = header["format_version"]
    if int(version) > FORMAT_VERSION:
        raise WeightsError(
            f"adapter file {path} has format {version}, this version of pecl reads up to {FORMAT_VERSION}: upgrade pecl"
        )

    if int(version) < 1:
        raise ValueError(f"format_version: expected at least 1, got {version}")
    if not _LANGUAGE.fullmatch(header["language"]):
        raise ValueError(f"language: expected the code or name of a language, got {header['language'][:80]!r}")

    document: Any = parse_json(header["configs"])
    kinds = [config["kind"] for config in document]
    for kind in kinds:
        if kind not in (*KINDS, *OF_ENGINES):
            raise UnknownAdapterError(path, header["language"], kind)

    training_pairs = header.get("training_pairs")
    trainable = header.get("trainable")
    return AdapterFile(
        path=path,
        configs=configs_from_json(document),
        state=unpack(state) if set(state) == {CODES, LAYOUT} else state,
        language=header["language"],
        tower_name=header["tower_name"],
        fingerprint=header["tower_fingerprint"],
        training_pairs=None if training_pairs is None else TrainingPairs.from_json(parse_json(training_pairs)),
        trainable=None if trainable is None else int(trainable),
    )


def check_adapter_file(path: str | Path) -> Path | None:
    """Check the SHA-256 of an adapter file against the result of its training, and return the result's path.

    The result of `OUT/adapters/NAME.safetensors` is `OUT/NAME.json`; a shipped file has its result in a line of
    `results.jsonl` next to it. Return None if there is no result, or it names no adapter. Raise WeightsError for
    another SHA-256, DataError for a damaged result.
    """
    path = Path(os.path.abspath(path))  # a file of the working folder has no parent otherwise
    if path.parent.name != "adapters":
        return check_shipped(path)

    result = path.parent.parent / f"{path.stem}.json"
    try:
        document = load_json(result)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise DataError(f"result {result} cannot be read ({error}); delete it and run it again") from error
    if not isinstance(document, dict) or "run_id" not in document:
        return None

    try:
        check_digest(document)
    except ValueError as error:
        raise DataError(f"{result} is damaged: {error}; delete the file and run it again") from error

    sha256 = (document.get("adapter") or {}).get("sha256")
    if sha256 is None:
        return None
    check_sha256(path, sha256, *not_the_adapter_of(result))
    return result


def read_adapter(
    path: str | Path,
    tower: MultilingualTextEncoder,
    language: str | None = None,
    configs: Sequence[AdapterConfig] | None = None,
) -> AdapterFile:
    """Read an adapter for `tower`: a folder is PEFT's, a `.safetensors` file pecl's, any other file OpenDelta's.

    Only pecl's format names the tower and the language: for another format, pass the tower it was trained on. `configs`
    are for an OpenDelta checkpoint, which records few of its options (see `infer_configs`). Raise WeightsError for an
    adapter that is damaged or does not fit `tower`, ConfigError for `configs` with another format.
    """
    path = Path(path)
    is_folder = path.is_dir()
    if configs is not None and (is_folder or path.suffix == SUFFIX):
        raise ConfigError(f"{path} already contains its configuration; leave {setting('adapter')} out")

    if path.suffix == SUFFIX and not is_folder:
        file = load_adapter_file(path, tower)
        file = replace(file, language=language or file.language, tower_name=tower.name, named_by=None)
    else:
        file_configs, state, trainable = _read_folder(path, tower) if is_folder else _read_opendelta(path, configs)
        file = AdapterFile(path, language, file_configs, state, tower.name, tower.fingerprint, trainable=trainable)

    with naming(path, tower):
        adapter = attach(tower, file.configs, seeds=())
        try:
            adapter.check_state(file.state)
            return replace(file, configs=adapter.file_configs)
        finally:
            adapter.remove()


@contextmanager
def naming(path: Path | None, tower: MultilingualTextEncoder) -> Iterator[None]:
    """Name the adapter file `path` in an error of the body that its content causes, which is a WeightsError then."""
    try:
        yield
    except (ConfigError, WeightsError) as error:
        if path is None or str(path) in str(error):
            raise
        raise WeightsError(f"{path} does not fit the text tower {tower.name}: {error}") from error


def _read_folder(path: Path, tower: MultilingualTextEncoder) -> _Contents:
    """Read PEFT's folder: plain LoRA as pecl's own kind, any other method as one of the engine peft."""
    if is_plain_lora(path):
        return *read_peft(path, tower), None
    from pecl.adapters.peft.folder import read_method  # needs PEFT

    return read_method(path, tower)


def _read_opendelta(path: Path, configs: Sequence[AdapterConfig] | None) -> _Contents:
    """Read OpenDelta's checkpoint, whose options are `configs` or those that its tensors show."""
    kind, state = from_opendelta_state_dict(load_released_checkpoint(path))
    check_finite(state, path)
    return tuple(configs) if configs is not None else infer_configs(kind, state), state, None


def write_adapter(path: str | Path, adapter: AdapterFile, tower: MultilingualTextEncoder) -> Path:
    """Write an adapter to `path`: a `.safetensors` file is pecl's format, any other path a folder in PEFT's."""
    path = Path(path)
    if path.suffix == SUFFIX:
        if adapter.language is None:
            raise ConfigError(
                f"{adapter.path} does not state its language, which {path} needs: pass {setting('language')}"
            )
        return save_adapter(
            path,
            adapter.state,
            adapter.configs,
            adapter.language,
            tower,
            adapter.training_pairs,
            adapter.trainable,
        )

    with checked_folder(path, None) as folder:
        write_peft(folder, adapter.state, adapter.configs, tower)
    return path


def merge_adapter(adapter: AdapterFile, tower: MultilingualTextEncoder) -> MultilingualTextEncoder:
    """Return a base encoder with an adapter merged into its weights, for texts of its language; `tower` stays as it is.

    Raise WeightsError with the reason for a kind of adapter that cannot be merged.
    """
    with attached(adapter, tower) as attached_adapter:
        merged = merge_slot(attached_adapter, 0)
    merged.language = adapter.language
    return merged


@contextmanager
def attached(adapter: AdapterFile, tower: MultilingualTextEncoder) -> Iterator[Adapter]:
    """Attach an adapter with its parameters in slot 0; it is removed at the end."""
    attached_adapter = attach(tower, adapter.configs)
    try:
        attached_adapter.load_slot_state(0, adapter.state)
        yield attached_adapter
    finally:
        attached_adapter.remove()
