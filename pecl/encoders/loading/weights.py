"""Read the weights of a checkpoint folder, and build a transformers model of them.

Weights are one file or shards, safetensors or `.bin`, and are memory-mapped. The name and shape of
each weight are checked; a WeightsError names the damage.
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors.torch import load_file
from torch import nn

from pecl.encoders.memory import check_memory
from pecl.errors import WeightsError, one_line, suggest
from pecl.files import load_json, open_regular

if TYPE_CHECKING:  # its import takes a second, and `adapters/formats` imports this module
    from transformers import PretrainedConfig, PreTrainedModel

# Names of weight files, preferred format first; an index lists the shards.
WEIGHT_FILES = (
    re.compile(r"model(-\d+-of-\d+)?\.safetensors(\.index\.json)?"),
    re.compile(r"pytorch_model(-\d+-of-\d+)?\.bin(\.index\.json)?"),
)
SINGLE_FILES = ("model.safetensors", "pytorch_model.bin")
GIT_LFS_POINTER = b"version https://git-lfs"


def read_json(path: Path) -> dict[str, Any]:
    """Return the object that a JSON file of a checkpoint holds."""
    try:
        document = load_json(path)
    except FileNotFoundError as error:
        raise WeightsError(f"{path.parent} lacks {path.name}: expected the folder of a whole checkpoint") from error
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path}: expected JSON ({error}): the file is damaged or cut short") from error

    if not isinstance(document, dict):
        raise WeightsError(f"{path} holds a {type(document).__name__}, expected an object with keys")
    return document


def weight_files(folder: Path) -> list[Path]:
    """Return the files that hold the weights of `folder`."""
    for name in SINGLE_FILES:
        if (folder / name).exists():
            return [folder / name]

        index = folder / f"{name}.index.json"
        if index.exists():
            try:
                shards = sorted({os.path.basename(shard) for shard in read_json(index)["weight_map"].values()})
            except (KeyError, TypeError, AttributeError):
                shards = []
            if not shards:
                raise WeightsError(f"{index}: expected a weight_map, files by the names of weights")
            # which never raises
            missing = [shard for shard in shards if not os.path.exists(folder / shard)]
            if missing:
                raise WeightsError(
                    f"{folder} lacks {len(missing)} of the {len(shards)} shards that {index.name} names, "
                    f"{_first(missing)}: fetch the missing files"
                )
            return [folder / shard for shard in shards]

    raise WeightsError(
        f"{folder} holds no weights: expected {' or '.join(SINGLE_FILES)}, or shards with an index; "
        "fetch the whole checkpoint"
    )


def read_state_dict(folder: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of a checkpoint folder by name, memory-mapped, without old transformers' `position_ids`."""
    state: dict[str, torch.Tensor] = {}
    for path in weight_files(folder):
        state.update(read_tensors(path))
    return {name: tensor for name, tensor in state.items() if not name.endswith("position_ids")}


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors of one safetensors or `.bin` file by name, memory-mapped; code in a pickle is never run."""
    try:
        with open_regular(path) as file:
            if file.read(len(GIT_LFS_POINTER)) == GIT_LFS_POINTER:
                raise WeightsError(f"{path} is a Git LFS pointer, not the weights: run `git lfs pull` in its folder")
        if path.suffix == ".safetensors":
            return load_file(path)
        # Only the zip format, torch's since 1.6, can be mapped.
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except WeightsError:
        raise
    except pickle.UnpicklingError as error:  # torch's own words would advise to run the file's code
        raise WeightsError(f"{path} is damaged, or holds more than tensors, which is never loaded") from error
    except Exception as error:  # a damaged file makes safetensors and torch raise many kinds
        reason = first_line(error).partition(". ")[0]
        raise WeightsError(f"{path} is damaged or cut short ({reason}): delete it and fetch it again") from error

    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise WeightsError(f"{path}: expected a state dict, tensors by name")
    return state


def below(state: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with `prefix`, under the rest of their names."""
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def take_linear(
    state: dict[str, torch.Tensor],
    name: str,
    source: Path,
    dtype: torch.dtype,
) -> nn.Linear:
    """Return the linear layer of the tensors `<name>.weight` (D, d) and, if present, `<name>.bias` (D,)."""
    weight = state.get(f"{name}.weight")
    bias = state.get(f"{name}.bias")
    if weight is None:
        raise WeightsError(f"{source} lacks the weight {name}.weight")

    if weight.ndim != 2 or (bias is not None and bias.shape != weight.shape[:1]):
        shapes = f"{tuple(weight.shape)} and {None if bias is None else tuple(bias.shape)}"
        raise WeightsError(f"{source}: {name} has weight and bias of shapes {shapes}, expected (D, d) and (D,)")

    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.to(dtype))
    if bias is not None:
        layer.bias = nn.Parameter(bias.to(dtype))
    return layer


def check_names(
    missing: Iterable[str],
    surplus: Iterable[str],
    source: Path,
    architecture: str,
) -> None:
    """Raise WeightsError with the first few names of both lists, unless both are empty."""
    missing = sorted(missing)
    surplus = sorted(surplus)
    problems = [f"lacks {len(missing)} weights ({_first(missing)})"] if missing else []
    if surplus:
        problems.append(f"has {len(surplus)} weights too many ({_first(surplus)})")
    if problems:
        raise WeightsError(f"{source} does not fit {architecture}: it {' and '.join(problems)}")


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def read_config(folder: Path) -> PretrainedConfig:
    """Return the config of a transformers checkpoint."""
    from transformers import CONFIG_MAPPING

    values = read_json(folder / "config.json")
    model_type = str(values.pop("model_type", None))
    if model_type not in CONFIG_MAPPING:
        raise WeightsError(
            f"{folder / 'config.json'} has the model_type {model_type!r}, which transformers does not have"
            f"{suggest(model_type, CONFIG_MAPPING.keys())}"
        )

    try:
        with _quiet_transformers():
            return CONFIG_MAPPING[model_type].from_dict(values)
    except Exception as error:  # transformers has checks of its own for each architecture
        raise WeightsError(f"{folder / 'config.json'}: expected a config of {model_type}: {one_line(error)}") from error


def build_model(
    model_class: type[PreTrainedModel],
    config: PretrainedConfig,
    state: dict[str, torch.Tensor],
    source: Path,
    dtype: torch.dtype,
    *,
    prefix: str = "",
) -> PreTrainedModel:
    """Return a model of `config` with the weights of `state`; weights of type `dtype` are shared, not copied.

    A pooler is left out, in the model and in the state: pecl pools the tokens itself. `state` has
    the model's names. A WeightsError names `source`, a folder or file, and puts `prefix` before the
    names, as the checkpoint does.
    """
    check_memory(state, dtype, source)
    with _quiet_transformers():
        loaded = model_class.from_pretrained(
            None,
            config=config,
            state_dict={name: tensor for name, tensor in state.items() if not name.startswith("pooler.")},
            dtype=dtype,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
        )

    model, info = cast("tuple[Any, dict[str, Any]]", loaded)
    missing = {prefix + name for name in info["missing_keys"] if not name.startswith("pooler.")}
    surplus = {prefix + name for name in info["unexpected_keys"]}
    check_names(missing, surplus, source, f"{model_class.__name__} of its config")

    mismatched = sorted(info["mismatched_keys"])
    if mismatched:
        name, shape, expected = mismatched[0]
        raise WeightsError(
            f"{source}: weight {prefix}{name} has shape {tuple(shape)}, expected {tuple(expected)} by its config "
            f"({len(mismatched)} such weights)"
        )

    if getattr(model, "pooler", None) is not None:
        model.pooler = None
    return model.eval()


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """Silence transformers' progress bars and warnings. `build_model` raises an error for missing weights itself.

    One warning is about SigLIP 2's published config, whose token ids are not its tokenizer's; pecl
    does not use them.
    """
    from transformers.utils import logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    has_bars = transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()

    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if has_bars:
            transformers_logging.enable_progress_bar()
