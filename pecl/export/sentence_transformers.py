"""Folders that `sentence_transformers.SentenceTransformer(folder)` opens: both towers, text only, or an adapter only.

Both towers lie in one Router, which sends texts through the text tower and pictures through the image tower. Text only
has its encoder at the root, where AutoModel and servers of embeddings look for it. An adapter only names the encoder
that it belongs to; a head, which it changes behind the encoder, is written whole.
"""

from pathlib import Path

from pecl.adapters.formats.convert import merge_adapter
from pecl.adapters.formats.files import AdapterFile
from pecl.encoders.export import (
    CLASSES,
    Part,
    after_encoder,
    exported_folder,
    part_folders,
    text_parts,
    write_encoder_settings,
    write_modules,
    write_parts,
    write_prompts,
)
from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import check_pair
from pecl.errors import ConfigError
from pecl.export.image_parts import image_parts
from pecl.export.peft import write_encoder_adapter
from pecl.files import write_json

ROUTES = {"text": "(None, 'text')", "image": "(None, 'image')"}  # route -> (task, modality) as the library spells it


def export_towers(text: MultilingualTextEncoder, image: ImageEncoder | None, target: str | Path) -> Path:
    """Write a text tower, an adapter merged into it, and perhaps an image tower as a folder of sentence-transformers.

    Raises:
        ConfigError: a tower has a layer that the layout cannot hold.
        WeightsError: the towers differ in width.
        OutputError: `target` exists already or cannot be written.
    """
    routes = {"text": text_parts(text)}
    if image is not None:
        check_pair(text, image)
        routes["image"] = image_parts(image)
    with exported_folder(target) as folder:
        if image is None:
            write_parts(routes["text"], folder)
            write_modules(part_folders(routes["text"]), folder)
        else:
            _write_router(routes, folder)
        write_prompts(text.text_prefix, folder)
    return Path(target)


def _write_router(routes: dict[str, list[Part]], folder: Path) -> None:
    structure: dict[str, list[str]] = {}
    types: dict[str, str] = {}
    for route, parts in routes.items():
        structure[route] = [f"{route}_{i}_{part.kind}" for i, part in enumerate(parts)]
        for place, part in zip(structure[route], parts, strict=True):
            part.write(folder / place)
            types[place] = CLASSES[part.kind]
    document = {
        "types": types,
        "structure": structure,
        "parameters": {
            "default_route": "text",
            "allow_empty_key": True,
            "route_mappings": {ROUTES[route]: route for route in routes},
        },
    }
    write_json(folder / "router_config.json", document)
    write_modules({"": "Router"}, folder)


def export_adapter(adapter: AdapterFile, tower: MultilingualTextEncoder, target: str | Path, base: str | Path) -> Path:
    """Write one adapter as a folder of sentence-transformers, whose encoder is that of `base`.

    `base` is a folder that `export_towers` wrote of the plain `tower`, or a hub id.

    Raises:
        ConfigError: the adapter has other parts than LoRA, LayerNorms and a head; the sentence names them.
        WeightsError: `base` holds another tower.
        OutputError: `target` exists already or cannot be written.
    """
    if tower.family is not None and tower.family.whole is not None:
        raise ConfigError(
            f"an adapter on {tower.backbone.config.model_type} cannot be written without its tower, which "
            "sentence-transformers reads as one model of both halves: leave --adapter-only out"
        )
    merged = merge_adapter(adapter, tower)
    parts = after_encoder(merged)
    with exported_folder(target) as folder:
        encoder = write_encoder_adapter(folder, adapter, tower, base)
        write_encoder_settings(tower, folder, tokenizer=None if tower.names_languages else encoder)
        places = part_folders([Part("Transformer", lambda _: None), *parts])
        for place, part in zip(list(places)[1:], parts, strict=True):
            part.write(folder / place)
        write_prompts(merged.text_prefix, folder)
        write_modules(places, folder)
    return Path(target)
