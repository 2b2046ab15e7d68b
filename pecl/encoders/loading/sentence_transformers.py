"""The folder layout of sentence-transformers, read without the package.

`modules.json` lists an encoder (Transformer), a Pooling, and optionally Dense layers and a
Normalize, each with a folder of its own; or only a Router, whose own file lists those of its route
for texts. Source: the library's documentation, "Creating Custom Models".
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from pecl.encoders.cleaning import CLEANINGS
from pecl.encoders.loading.weights import check_names, read_json, read_state_dict, take_linear
from pecl.encoders.pooling import POOLINGS
from pecl.errors import WeightsError, unknown
from pecl.files import load_json

# Older settings of a Pooling have one flag per mode.
POOLING_FLAGS = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "lasttoken",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
# Settings of the Normalize that an export of pecl appends; it is not part of the tower
ADDED_BY_EXPORT = {"added_by_export": True}
# In the file of prompts: the name of a tower's cleaning of texts, and whether the tower transliterates texts
CLEAN, TRANSLITERATES = "pecl_clean", "pecl_transliterates"
# The activations of dense layers by the names of their classes
ACTIVATION_LAYERS = {layer.__name__: layer for layer in (nn.Identity, nn.GELU, nn.ReLU, nn.SiLU, nn.Tanh)}


class Normalize(nn.Module):
    """Scales embeddings to length 1."""

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """Map (B, D) to (B, D)."""
        return F.normalize(embeddings, dim=-1)


def read_layout(folder: Path, dtype: torch.dtype) -> tuple[Path, dict[str, Any]]:
    """Return the folder of a sentence-transformers model's encoder, and the tower's arguments in the model's files.

    `pooling` and `head`, or `clean`, are left out if the encoder's own checkpoint has them. Raise
    WeightsError for a layout that is not supported.
    """
    modules = _modules(folder)
    encoder = modules[0][1]
    pooling = modules[1][1] if modules[1:] and modules[1][0] == "Pooling" else None
    settings_file = encoder / "sentence_bert_config.json"
    # `Path.exists` raises for long names
    settings = read_json(settings_file) if os.path.exists(settings_file) else {}
    if settings.get("do_lower_case"):
        raise WeightsError(f"{settings_file}: do_lower_case is not supported; use a tokenizer that lowers the case")

    prompts = folder / "config_sentence_transformers.json"
    prompt_settings = read_json(prompts) if prompts.exists() else {}
    if prompt_settings.get("truncate_dim"):
        raise WeightsError(f"{prompts}: truncate_dim is not supported: expected embeddings of the whole width (null)")

    prompt_of = prompt_settings.get("prompts")
    clean = prompt_settings.get(CLEAN)
    prefix = ""
    if isinstance(prompt_of, dict):
        prefix = str(prompt_of.get(str(prompt_settings.get("default_prompt_name")), ""))

    if clean and clean not in CLEANINGS:
        raise WeightsError(f"{prompts}: {unknown('cleaning of texts', str(clean), CLEANINGS)}")

    around: dict[str, Any] = {"text_prefix": prefix, "longest": settings.get("max_seq_length")}
    around["transliterates"] = prompt_settings.get(TRANSLITERATES) is True
    around |= {} if clean is None else {"clean": clean}
    if pooling is not None:
        around |= {"pooling": _pooling(pooling / "config.json", prefix), "head": _head(modules[2:], folder, dtype)}
    return encoder, around


def encoder_folder(folder: Path) -> Path:
    """Return the folder of the encoder's checkpoint: `folder` itself, or the one in its list of modules."""
    return _modules(folder)[0][1] if (folder / "modules.json").exists() else folder


def _modules(folder: Path) -> list[tuple[str, Path]]:
    """Return the modules' class names and folders, in order; for a Router, those of its route for texts."""
    path = folder / "modules.json"
    modules = _listed(path, lambda entries: [(entry["type"], entry["path"]) for entry in entries])
    if [name for name, _ in modules] == ["Router"]:
        path = modules[0][1] / "router_config.json"
        modules = _listed(path, lambda document: [(document["types"][p], p) for p in document["structure"]["text"]])

    names = [name for name, _ in modules]
    config = modules[0][1] / "config.json" if names[:1] == ["Transformer"] else ""
    # with pooling and head
    is_whole = os.path.exists(config) and "text_config" in read_json(Path(config))
    if names[:2] != ["Transformer", "Pooling"] and not (is_whole and {*names[1:]} <= {"Normalize"}):
        module_names = ", ".join(names) or "nothing"
        raise WeightsError(f"{path} lists {module_names}: expected a Transformer, then a Pooling")

    return modules


def _listed(
    path: Path,
    entries_of: Callable[[Any], list[tuple[str, str]]],
) -> list[tuple[str, Path]]:
    """Return the class name and folder of each module that the file `path` lists; folders are relative to it."""
    try:
        return [(kind.split(".")[-1], path.parent / folder) for kind, folder in entries_of(load_json(path))]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise WeightsError(f"{path}: expected a list of sentence-transformers modules ({error})") from error


def _pooling(path: Path, text_prefix: str) -> str:
    settings = read_json(path)
    modes = settings.get("pooling_mode") or [mode for flag, mode in POOLING_FLAGS.items() if settings.get(flag)]
    modes = [str(mode) for mode in modes] if isinstance(modes, list) else [str(modes)]
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise WeightsError(f"{path}: {unknown('pooling', '+'.join(modes), POOLINGS)}")
    if text_prefix and not settings.get("include_prompt", True):
        raise WeightsError(f"{path}: a prompt that is left out of the pooling (include_prompt) is not supported")
    return modes[0]


def _head(modules: list[tuple[str, Path]], folder: Path, dtype: torch.dtype) -> nn.Module | None:
    layers: list[nn.Module] = []
    for name, path in modules:
        settings = path / "config.json"  # other tools may write none for a Normalize
        if name == "Dense":
            activation = str(read_json(settings).get("activation_function", "torch.nn.Tanh")).split(".")[-1]
            if activation not in ACTIVATION_LAYERS:  # the library's default is Tanh
                raise WeightsError(f"{settings}: {unknown('activation_function', activation, ACTIVATION_LAYERS)}")
            state = read_state_dict(path)
            check_names((), state.keys() - {"linear.weight", "linear.bias"}, path, "Dense")
            layers.append(take_linear(state, "linear", path, dtype))
            layers += [] if activation == "Identity" else [ACTIVATION_LAYERS[activation]()]
        elif name == "Normalize":
            is_added = os.path.exists(settings) and read_json(settings) == ADDED_BY_EXPORT
            layers += [] if is_added else [Normalize()]
        else:
            raise WeightsError(f"{folder / 'modules.json'}: {unknown('module', name, ('Dense', 'Normalize'))}")

    if len(layers) <= 1:
        return layers[0] if layers else None
    return nn.Sequential(*layers)
