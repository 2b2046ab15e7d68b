"""Write a text tower as a folder in sentence-transformers' layout, which that library and pecl itself can load.

Source: sentence-transformers' documentation, "Creating Custom Models"; `sentence_transformers` reads the same.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pecl.encoders.loading.sentence_transformers import Normalize
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, OutputError
from pecl.files import write_json, write_tensors

Module = tuple[str, dict[str, object], dict[str, torch.Tensor]]  # kind, settings, tensors


def save_text_encoder(tower: MultilingualTextEncoder, folder: str | Path) -> Path:
    """Write `tower`, which `load_text_encoder(folder)` then loads with equal embeddings.

    Raises:
        ConfigError: an adapter is attached (merge it first), or the head has a layer that the layout cannot hold.
        OutputError: the folder exists already, or cannot be written.
    """
    folder = Path(folder)
    if tower.adapter is not None:
        raise ConfigError("the text tower has an adapter: merge it, or remove it, before saving the tower")
    if folder.exists():
        raise OutputError(f"{folder} exists already: choose another folder, or delete it first")
    heads = _head_modules(tower.head)
    names = ["Transformer", "Pooling", *(kind for kind, _, _ in heads)]
    folders = [folder / f"{i}_{name}" for i, name in enumerate(names)]
    width = tower.backbone.config.hidden_size
    pooling = {"word_embedding_dimension": width, "pooling_mode": tower.pooling, "include_prompt": True}
    _write_encoder(tower, folders[0])
    write_json(folders[1] / "config.json", pooling)
    for path, (_, settings, tensors) in zip(folders[2:], heads, strict=True):
        write_json(path / "config.json", settings)
        if tensors:
            write_tensors(path / "model.safetensors", tensors, {"format": "pt"})
    prompts = {"text": tower.text_prefix} if tower.text_prefix else {}
    settings = {"prompts": prompts, "default_prompt_name": "text" if prompts else None}
    write_json(folder / "config_sentence_transformers.json", settings)
    modules = [
        {"idx": i, "name": str(i), "path": path.name, "type": f"sentence_transformers.models.{name}"}
        for i, (name, path) in enumerate(zip(names, folders, strict=True))
    ]
    # Last: without this file the folder is not a model, so one that was cut short is never taken for whole.
    write_json(folder / "modules.json", modules)
    return folder


def _write_encoder(tower: MultilingualTextEncoder, folder: Path) -> None:
    try:
        tower.backbone.save_pretrained(folder)
        tower.tokenizer.save_pretrained(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": tower.max_length})


def _head_modules(head: nn.Module) -> list[Module]:
    """Return the modules of the layout that the head needs."""
    layers = list(head) if isinstance(head, nn.Sequential) else [head]
    modules: list[Module] = []
    for layer in layers:
        if isinstance(layer, nn.Identity):
            continue
        if isinstance(layer, nn.Linear):
            settings = {
                "in_features": layer.in_features,
                "out_features": layer.out_features,
                "bias": layer.bias is not None,
                "activation_function": "torch.nn.modules.linear.Identity",
            }
            modules.append(("Dense", settings, {f"linear.{name}": t for name, t in layer.state_dict().items()}))
        elif isinstance(layer, Normalize):
            modules.append(("Normalize", {}, {}))
        elif modules and modules[-1][0] == "Dense" and isinstance(layer, nn.Tanh | nn.GELU | nn.ReLU):
            modules[-1][1]["activation_function"] = f"torch.nn.modules.activation.{type(layer).__name__}"
        else:
            raise ConfigError(
                f"a head with a {type(layer).__name__} cannot be written in sentence-transformers' layout"
            )
    return modules
