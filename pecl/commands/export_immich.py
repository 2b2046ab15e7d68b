"""`pecl export immich`: a language in the textual model that immich's machine learning service loads."""

import argparse
from typing import Any

from pecl.adapters.choice import AdapterChoice, KnownAdapters
from pecl.adapters.formats.convert import merge_adapter
from pecl.adapters.spec import describe
from pecl.commands.options import (
    ADAPTER_HELP,
    add_command,
    add_config_flags,
    add_path,
    add_switch,
    config_of,
    print_text,
)
from pecl.config import Role, fields_of
from pecl.encoders.pairs import MINI
from pecl.encoders.towers import Towers, load_towers
from pecl.errors import ConfigError, WeightsError, not_none, unknown
from pecl.files import check_absent
from pecl.languages import find_name, language_name

_FLAGS = (fields_of(Role.TEXT_TOWER) | {"image_model"}) - {"device", "profile"}


def add_parser(formats: Any) -> None:
    """Add the format."""
    about = (
        "Write the folder of one of immich's models with a language in its text tower, or replace the textual model\n"
        "in immich's cache. Photographs that immich has indexed stay as they are. Before anything is replaced,\n"
        "onnxruntime opens the new file, and its embeddings are compared with the tower's."
    )
    example = (
        "pecl export immich --tower XLM-Roberta-Large-Vit-B-32 --language cs --adapter cs.safetensors --out FOLDER"
    )
    summary = "a language for immich: a model's folder, or its cache"
    parser = add_command(formats, "immich", example, about, summary=summary)
    parser.add_argument("--tower", metavar="NAME", help="immich's name of the model (Administration, Smart search)")
    parser.add_argument("--language", metavar="LANGUAGE", help="language of the adapter")
    parser.add_argument("--adapter", dest="source", metavar="ADAPTER", help=f"adapter: {ADAPTER_HELP}")
    place = parser.add_mutually_exclusive_group(required=True)
    add_path(place, "--out", "folder to write", "FOLDER")
    add_path(place, "--replace", "folder of the model in immich's cache, to replace in", "CACHE")
    add_path(place, "--restore", "folder of a model in which to restore the former file", "CACHE")
    add_switch(parser, "--text-only", "leave visual/ out")
    add_config_flags(parser, only=_FLAGS)
    parser.set_defaults(run=_run)


def _run(parsed: argparse.Namespace) -> int:
    from pecl.export.immich import MODELS, export_immich
    from pecl.export.immich_cache import model_folder, replace_textual, restore_textual

    if parsed.restore is not None:
        print_text(f"{restore_textual(parsed.restore)}: as before")
        return 0
    if parsed.tower is None or parsed.language is None:
        raise ConfigError("--tower, --language: expected both with --out and --replace")
    if parsed.tower not in MODELS:
        raise ConfigError(unknown("multilingual model of immich", parsed.tower, MODELS))
    if parsed.out is not None:
        check_absent(parsed.out)
    else:
        model_folder(parsed.replace)
    known, towers = _known_and_towers(parsed)
    choice = _choice(known, parsed)
    adapter = not_none(choice.read(towers.text), "adapter")
    if adapter.language is not None and find_name(parsed.language, [adapter.language]) is None:
        raise WeightsError(f"{adapter.path} is for {language_name(adapter.language)}, expected {parsed.language}")
    language = adapter.language or parsed.language
    merged = merge_adapter(adapter, towers.text)
    if parsed.out is not None:
        image = None if parsed.text_only else towers.image
        is_mclip = MODELS[parsed.tower].is_mclip
        path = export_immich(merged, image, parsed.out, language=language, is_mclip=is_mclip)
    else:
        path = replace_textual(merged, towers.text, parsed.tower, parsed.replace, language)
    print_text(
        f"{path}: {parsed.tower} with {describe(adapter.configs)} of {language_name(language)}; {choice.sentence}"
    )
    return 0


def _known_and_towers(parsed: argparse.Namespace) -> tuple[KnownAdapters, Towers]:
    from pecl.export.immich import MODELS

    config = config_of(parsed, _FLAGS)
    model, text, image = MODELS[parsed.tower], config.text_model, config.image_model
    profile = model.profile
    if profile is None:
        profile, text, image = MINI, text or model.text, image or model.image
    return KnownAdapters(profile, text_model=text), load_towers(profile, text, image)


def _choice(known: KnownAdapters, parsed: argparse.Namespace) -> AdapterChoice:
    """Return the named adapter, or that of the language; raise ConfigError if there is none."""
    choice = known.choose(parsed.source, parsed.language)
    if choice.path is None:
        there = f"adapters are there for {', '.join(known.languages)}" if known.languages else "no adapter is there"
        raise ConfigError(
            f"--language: expected one with an adapter for {parsed.tower} ({there}), or --adapter FILE, got "
            f"{parsed.language}; `pecl distil --text-model {known.tower} --language {parsed.language} --text FILE` "
            "trains one"
        )
    return choice
