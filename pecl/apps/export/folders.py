"""Write a text tower as a folder in sentence-transformers' layout, which that library and pecl itself can load.

A folder lists modules, each with a folder of its own. All are of the library's own classes, so a
reader need not trust any code. Source: sentence-transformers' documentation, "Creating Custom
Models"; the names of classes and settings are those that version 6 writes.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from pecl.apps.export import contract
from pecl.encoders.loading.sentence_transformers import ADDED_BY_EXPORT, CLEAN, TRANSLITERATES, Normalize
from pecl.encoders.loading.text import load_text_checkpoint
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, not_none
from pecl.files import checked_folder, write_json, write_tensors

# The modules' classes in the library
CLASSES = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
    "Normalize": "sentence_transformers.base.modules.normalize.Normalize",
    "Router": "sentence_transformers.base.modules.router.Router",
}

# Sizes of an image half without use: transformers' class of both halves needs one
_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "image_size", "patch_size")
_NO_PICTURES = dict.fromkeys(_SIZES, 1)
_TOLERANCE = 1e-5  # for W pinv(W) b against b, relative to the largest |b|


class Part(NamedTuple):
    """A module of the layout: the name of its class, and a function that writes its files into its folder."""

    kind: str
    write: Callable[[Path], object]


def save_text_encoder(tower: MultilingualTextEncoder, folder: str | Path) -> Path:
    """Write `tower` to `folder` and return the folder; `load_text_encoder(folder)` gives equal embeddings.

    Raises:
        ConfigError: an adapter is attached (merge it first), or the head has a layer that the
            layout cannot hold.
        OutputError: the folder exists already, or cannot be written.
        RunError: sentence-transformers, or pecl, would embed a text differently from the tower.
    """
    parts = text_parts(tower)
    with checked_folder(folder, partial(check_folder, tower)) as temporary_folder:
        write_layout(tower, parts, temporary_folder)
    return Path(folder)


def check_folder(tower: MultilingualTextEncoder, folder: Path, *, by_pecl: bool = True) -> None:
    """Raise RunError unless pecl and sentence-transformers open a folder and embed texts as the tower does."""
    if by_pecl:
        encode = load_text_checkpoint(folder).encode_text
        contract.check_equal("pecl", encode, tower.encode_text, contract.texts_for(tower))

    if contract.is_there("sentence-transformers", "sentence_transformers"):
        from sentence_transformers import SentenceTransformer

        with contract.opening("sentence-transformers"):
            model = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        embed = partial(model.encode, convert_to_tensor=True, show_progress_bar=False)
        texts = contract.texts_for(tower, pads_by_token=tower.counts_padding)
        contract.check_equal("sentence-transformers", embed, tower.encode_text, texts)
        contract.write_card(folder, "sentence-transformers", tower, embed, tower.encode_text)


def text_parts(tower: MultilingualTextEncoder) -> list[Part]:
    """Return the modules of a text tower: Transformer, Pooling, and the head's; or all of them as one Transformer."""
    if tower.adapter is not None:
        raise ConfigError("the text tower has an adapter: merge it, or remove it, before saving the tower")
    if tower.family is not None and tower.family.whole is not None:
        return [Part("Transformer", partial(_write_whole, tower)), UNIT_LENGTH]
    return [Part("Transformer", partial(_write_encoder, tower)), *after_encoder(tower)]


def after_encoder(tower: MultilingualTextEncoder) -> list[Part]:
    """Return the modules after the encoder: Pooling, those of the head, and the one that scales to length 1."""
    width = tower.backbone.config.hidden_size
    settings = {"embedding_dimension": width, "pooling_mode": tower.pooling, "include_prompt": True}
    return [small_part("Pooling", settings), *head_parts(tower.head), UNIT_LENGTH]


def head_parts(head: nn.Module) -> list[Part]:
    """Return the modules that a tower's head needs: a Dense for each linear layer with its activation, Normalize."""
    parts: list[Part] = []
    settings: dict[str, Any] = {}  # of the last linear layer
    for layer in head if isinstance(head, nn.Sequential) else [head]:
        if isinstance(layer, nn.Linear):
            settings = {
                "in_features": layer.in_features,
                "out_features": layer.out_features,
                "bias": layer.bias is not None,
                "activation_function": "torch.nn.modules.linear.Identity",
            }
            tensors = {f"linear.{name}": tensor for name, tensor in layer.state_dict().items()}
            parts.append(small_part("Dense", settings, tensors))
        elif isinstance(layer, Normalize):
            parts.append(small_part("Normalize", {}))
        elif parts and parts[-1].kind == "Dense" and isinstance(layer, nn.Tanh | nn.GELU | nn.ReLU):
            settings["activation_function"] = f"torch.nn.modules.activation.{type(layer).__name__}"
        elif not isinstance(layer, nn.Identity):
            raise ConfigError(f"sentence-transformers' layout has no place for a {type(layer).__name__} in a head")

    return parts


def small_part(
    kind: str,
    settings: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor] | None = None,
) -> Part:
    """Return a module with settings and, if given, tensors; both are read when the module is written."""

    def write(folder: Path) -> None:
        write_json(folder / "config.json", settings)
        if tensors is not None:
            write_tensors(folder / "model.safetensors", tensors, {"format": "pt"})

    return Part(kind, write)


UNIT_LENGTH = small_part("Normalize", ADDED_BY_EXPORT)  # `load_text_encoder` leaves it out of the tower


def write_layout(tower: MultilingualTextEncoder, parts: Sequence[Part], folder: Path) -> None:
    """Write the modules of `tower`, each into its folder, and the two lists of `write_modules`.

    The first lies at the root, where AutoModel and embedding servers look for an encoder.
    """
    places = {f"{i}_{part.kind}" if i else "": part for i, part in enumerate(parts)}
    for subfolder, part in places.items():
        part.write(folder / subfolder)
    write_modules(tower, {subfolder: part.kind for subfolder, part in places.items()}, folder)


def _write_encoder(tower: MultilingualTextEncoder, folder: Path) -> None:
    """Write a text tower's backbone and tokenizer as a Transformer module."""
    tower.written_backbone().save_pretrained(folder)
    contract.portable_tokenizer(tower).save_pretrained(folder)
    write_encoder_settings(tower, folder)


def _write_whole(tower: MultilingualTextEncoder, folder: Path) -> None:
    """Write a text tower as the text half of transformers' model of both halves.

    The image half is as small as possible, and all zeros. A tower that attends to padding gets all
    positions, and no mask.
    """
    from transformers import CLIPImageProcessor, CLIPProcessor  # seconds, which only this kind of tower needs

    family = not_none(tower.family, "family")
    config = copy.deepcopy(tower.backbone.config)
    whole: Any = not_none(family.whole, "class of both halves")
    width = tower.embedding_dim
    config.projection_size = width
    config.projection_dim = width
    whole_config = whole.config_class(text_config=config.to_dict(), vision_config=_NO_PICTURES, projection_dim=width)
    with torch.device("meta"):
        shapes = whole(whole_config).state_dict()

    if not isinstance(tower.head, nn.Linear | nn.Identity):
        raise ConfigError(f"a {type(tower.head).__name__} as head cannot be written: expected one linear layer")

    backbone = tower.backbone
    # the identity, if the tower has no head
    projection = tower.head.state_dict() or {"weight": torch.eye(width)}
    prefix = family.projection if f"{family.projection}.weight" in shapes else f"text_model.{family.projection}"
    if "bias" in projection and f"{prefix}.bias" not in shapes:
        backbone, projection["weight"] = fold_bias(tower)
        del projection["bias"]

    state = {f"text_model.{name}": tensor for name, tensor in backbone.state_dict().items()}
    state |= {f"{prefix}.{name}": tensor for name, tensor in projection.items()}
    values = {name: state.get(name, torch.zeros(shape.shape)).to(tower.dtype) for name, shape in shapes.items()}
    whole_config.architectures = [whole.__name__]
    whole_config.dtype = tower.dtype
    whole_config.save_pretrained(folder)
    write_tensors(folder / "model.safetensors", values, {"format": "pt"})
    settings = transformer_settings("text", "pooler_output", "sentence_embedding", "get_text_features")
    settings["max_seq_length"] = tower.max_length
    if family.is_fixed:
        padded = {"padding": "max_length", "max_length": tower.positions, "return_attention_mask": False}
        settings["processing_kwargs"] = {"text": padded}

    tokenizer = contract.portable_tokenizer(tower)
    # the library asks for both
    CLIPProcessor(CLIPImageProcessor(), tokenizer).save_pretrained(folder)
    write_json(folder / "sentence_bert_config.json", settings)


def fold_bias(tower: MultilingualTextEncoder) -> tuple[Any, torch.Tensor]:
    """Return the backbone with the head's bias in its last LayerNorm, and the head's weight (D, d).

    Each pooling passes a constant on, so with c = pinv(W) b, W pool(h + c) = W pool(h) + b.
    Raise ConfigError unless that is exact, which takes a W of full row rank.
    """
    head: Any = tower.head
    if head.bias is None:
        return tower.written_backbone(), head.weight

    weight, bias = (parameter.detach().double() for parameter in (head.weight, head.bias))  # (D, d), (D,)
    constant = torch.linalg.pinv(weight) @ bias  # (d,)
    if float((weight @ constant - bias).abs().max()) > _TOLERANCE * float(bias.abs().max()):
        expected = f"a linear layer of full row rank, got one of shape {tuple(weight.shape)}"
        raise contract.refused(tower, "a package whose projection has no bias", expected)

    backbone = copy.deepcopy(tower.written_backbone())
    family = not_none(tower.family, "family")
    top = f"{family.layers}.{len(family.layers_of(backbone)) - 1}.{family.in_layer['output_norm']}"
    norm: Any = backbone.get_submodule(family.final_norm or top)
    norm.bias.data = (norm.bias.double() + constant).to(norm.bias)

    return backbone, head.weight


def write_encoder_settings(
    tower: MultilingualTextEncoder,
    folder: Path,
    tokenizer: str | None = None,
) -> None:
    """Write the settings of the Transformer module: its output, longest text in tokens, and `tokenizer` if given."""
    settings = transformer_settings("text", "last_hidden_state", "token_embeddings")
    settings["max_seq_length"] = tower.max_length
    options = encoder_options(tower)
    if options:
        settings["model_kwargs"] = options

    if tokenizer is not None:
        settings["tokenizer_name_or_path"] = tokenizer
    write_json(folder / "sentence_bert_config.json", settings)


def encoder_options(tower: MultilingualTextEncoder) -> dict[str, bool]:
    """Return the options of `AutoModel` for a tower's encoder: no pooler, if the class could have one."""
    accepted = inspect.signature(type(tower.written_backbone()).__init__).parameters
    return {"add_pooling_layer": False} if "add_pooling_layer" in accepted else {}


def transformer_settings(
    modality: str,
    output: str,
    name: str,
    method: str = "forward",
) -> dict[str, Any]:
    """Return a Transformer module's settings: modality, output and method of the model, and the output's name."""
    return {
        "transformer_task": "feature-extraction",
        "modality_config": {modality: {"method": method, "method_output_name": output}},
        "module_output_name": name,
    }


def write_modules(tower: MultilingualTextEncoder, kinds: Mapping[str, str], folder: Path) -> None:
    """Write the list of modules from `kinds`, the kind of each by its folder, and the file of prompts.

    The default prompt is the tower's prefix. The prompts `query` and `document` are the same, since
    the library's `encode_query` and `encode_document` use these, which are empty by default. pecl
    reads from this file, too, how the tower cleans and transliterates texts.
    """
    prompts = dict.fromkeys(("text", "query", "document"), tower.text_prefix) if tower.text_prefix else {}
    settings = {"prompts": prompts, "default_prompt_name": "text" if prompts else None, "similarity_fn_name": "cosine"}
    write_json(
        folder / "config_sentence_transformers.json",
        settings | {CLEAN: tower.clean, TRANSLITERATES: tower.transliterates},
    )
    modules = [
        {"idx": i, "name": str(i), "path": subfolder, "type": CLASSES[kind]}
        for i, (subfolder, kind) in enumerate(kinds.items())
    ]
    write_json(folder / "modules.json", modules)
