"""Read and write adapters of every format: pecl's own files, PEFT's folders, checkpoints of OpenDelta."""

from collections.abc import Sequence
from pathlib import Path

from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import AdapterFile, check_values, load_adapter_file, save_adapter
from pecl.adapters.formats.opendelta import from_opendelta_state_dict, infer_configs, load_released_checkpoint
from pecl.adapters.formats.peft import read_peft, write_peft
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.merge import merge_slot
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError

SUFFIX = ".safetensors"


def read_adapter(
    path: str | Path,
    tower: MultilingualTextEncoder,
    language: str | None = None,
    configs: Sequence[AdapterConfig] | None = None,
) -> AdapterFile:
    """Read an adapter for `tower`: a folder is PEFT's, a `.safetensors` file pecl's, any other file OpenDelta's.

    Formats other than pecl's name neither the tower, which you must pass, nor the language. `configs` are for an
    OpenDelta checkpoint, which says little of its kinds and options (see `infer_configs`). Raise WeightsError for an
    adapter that is damaged or does not fit `tower`.
    """
    path = Path(path)
    is_folder = path.is_dir()
    if configs is not None and (is_folder or path.suffix == SUFFIX):
        raise ConfigError(f"{path} already contains its configuration; remove --adapter")
    if path.suffix == SUFFIX and not is_folder:
        file = load_adapter_file(path, tower)
        language = language or file.language
        found, state = file.configs, file.state
    elif is_folder:
        found, state = read_peft(path, tower)
    else:
        kind, state = from_opendelta_state_dict(load_released_checkpoint(path))
        check_values(path, state)
        found = tuple(configs) if configs is not None else infer_configs(kind, state)
    adapter = attach(tower, found, seeds=())
    try:
        adapter.check_state(state)
    except WeightsError as error:
        raise WeightsError(f"{path} does not fit the text tower {tower.name}: {error}") from error
    finally:
        adapter.remove()
    return AdapterFile(path, language, found, state, tower.name, tower.fingerprint)


def write_adapter(path: str | Path, adapter: AdapterFile, tower: MultilingualTextEncoder) -> Path:
    """Write an adapter: to a `.safetensors` file in pecl's format, to any other path as a folder in PEFT's."""
    path = Path(path)
    if path.suffix == SUFFIX:
        if adapter.language is None:
            raise ConfigError(f"{adapter.path} does not say what language it is for, which {path} must: name it")
        return save_adapter(path, adapter.state, adapter.configs, adapter.language, tower)
    from pecl.encoders.export import exported_folder  # transformers, which takes seconds

    with exported_folder(path, None) as folder:
        write_peft(folder, adapter.state, adapter.configs, tower)
    return path


def merge_adapter(adapter: AdapterFile, tower: MultilingualTextEncoder) -> MultilingualTextEncoder:
    """Return a plain tower with an adapter in its weights, for texts of its language; `tower` stays as it is.

    Raise WeightsError, which says why, for a kind of adapter that cannot be merged.
    """
    attached = attach(tower, adapter.configs)
    try:
        attached.load_slot_state(0, adapter.state)
        merged = merge_slot(attached, 0)
    finally:
        attached.remove()
    merged.language = adapter.language
    return merged
