"""`pecl export`: write towers and trained languages for sentence-transformers, open_clip, ONNX, PEFT and immich."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pecl.adapters.bank import AdapterBank
from pecl.adapters.choice import AdapterChoice, KnownAdapters
from pecl.adapters.formats.files import AdapterFile, merge_adapter
from pecl.adapters.spec import describe
from pecl.commands import options as cli
from pecl.config import Role, fields_of
from pecl.encoders.pairs import MINI
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import Towers, load_towers
from pecl.errors import ConfigError, WeightsError, not_none, shell_quoted, unknown
from pecl.files import check_absent
from pecl.language.languages import find_name, language_name

_TOWER_FLAGS = (fields_of(Role.TEXT_TOWER) | {"image_model"}) - {"device"}
_ADAPTER_HELP = f"adapter: {cli.ADAPTER_HELP}"
_action = cli.group("export", "pecl export sentence-transformers mini-cs --adapter cs", "format")


def _format(example: str, *arguments: cli.Argument) -> Callable[[cli.Run], cli.Run]:
    return _action(example, cli.path("target", "folder to write"), cli.config_flags(only=_TOWER_FLAGS), *arguments)


def _adapter(help: str = _ADAPTER_HELP, **options: Any) -> cli.Argument:
    return cli.argument("--adapter", help, dest="source", metavar="ADAPTER", **options)


@_format(
    "pecl export sentence-transformers mini-cs --adapter cs",
    _adapter(f"{_ADAPTER_HELP}; merged into the tower"),
    cli.switch("--text-only", "leave the image tower out"),
    cli.switch("--adapter-only", "write only the adapter; needs --base"),
    cli.argument("--base", "for --adapter-only: folder that this command wrote without --adapter, or hub id"),
)
def _sentence_transformers(parsed: argparse.Namespace) -> None:
    """Both towers in one folder, or an adapter.

    Write a folder that `sentence_transformers.SentenceTransformer(FOLDER)` opens: texts and images go through
    their own towers. With --adapter-only the folder holds only the adapter, and names the folder of the base
    encoder, --base, which is loaded with it.
    """
    from pecl.apps.export.sentence_transformers import export_adapter, export_towers

    if parsed.adapter_only and not (parsed.source and parsed.base):
        raise ConfigError("--adapter-only: expected --adapter ADAPTER and --base FOLDER with it")
    if parsed.base and not parsed.adapter_only:
        raise ConfigError("--base: expected --adapter-only with it; a whole tower needs no base")

    def write(towers: Towers, adapter: AdapterFile | None) -> Path:
        if parsed.adapter_only:
            return export_adapter(not_none(adapter, "adapter"), towers.text, parsed.target, parsed.base)
        return export_towers(_merged(towers, adapter), None if parsed.text_only else towers.image, parsed.target)

    _export(parsed, parsed.source, write, needs_adapter=parsed.adapter_only)


@_format("pecl export open-clip oc-cs --adapter cs", _adapter(f"{_ADAPTER_HELP}; merged into the tower"))
def _open_clip(parsed: argparse.Namespace) -> None:
    """Both towers as a local-dir: of open_clip.

    Write a folder that open_clip, and with it CLIP_benchmark, opens as local-dir:FOLDER. The folder holds its
    own absolute path, so it cannot be moved. open_clip cleans texts in its own way (ftfy, HTML entities).
    """
    from pecl.apps.export.open_clip import export_open_clip

    def write(towers: Towers, adapter: AdapterFile | None) -> Path:
        return export_open_clip(_merged(towers, adapter), towers.image, parsed.target)

    _export(parsed, parsed.source, write)


@_format(
    "pecl export onnx onnx-bank --slots --adapter cs --adapter de",
    cli.several(
        "--adapter", f"{_ADAPTER_HELP}; repeatable with --slots", "--adapters", dest="sources", metavar="ADAPTER"
    ),
    cli.switch("--slots", "one file for all adapters, with an input `slots`"),
    cli.switch("--int8", "also write the text tower in 8 bits"),
    cli.switch("--text-only", "leave the image tower out"),
)
def _onnx(parsed: argparse.Namespace) -> None:
    """Both towers as ONNX files, one language or many.

    Write onnx/model.onnx (texts), onnx/vision_model.onnx (images) and the tokenizer. With --slots one file
    holds the adapters of several languages, and its input `slots` selects the language of each text.
    """
    from pecl.apps.export.onnx import export_onnx

    def write(text: MultilingualTextEncoder | AdapterBank, towers: Towers) -> Path:
        return export_onnx(text, None if parsed.text_only else towers.image, parsed.target, parsed.int8)

    if not parsed.slots:
        if len(parsed.sources) > 1:
            raise ConfigError(f"--adapter: expected one without --slots, got {len(parsed.sources)}")
        name = parsed.sources[0] if parsed.sources else None
        return _export(parsed, name, lambda towers, adapter: write(_merged(towers, adapter), towers))

    known_adapters, towers = _known_and_towers(parsed)
    choices = [known_adapters.choose(name, None) for name in parsed.sources]
    paths = [choice.path for choice in choices if choice.path is not None]
    if not paths:
        raise ConfigError("--slots: expected --adapter ADAPTER, once per language")

    bank = AdapterBank.from_files(towers.text, paths)
    path = write(bank, towers)
    slots = ", ".join(f"{language} {slot}" for slot, language in enumerate(bank.languages))
    cli.print_text(f"{path}: {towers.text.name} with {describe(bank.single().configs)}, slots: {slots}")


@_format(
    "pecl export peft peft-cs --adapter cs --base mini-text",
    _adapter(required=True),
    cli.argument("--base", "folder that `pecl export sentence-transformers` wrote of the base encoder, or hub id"),
)
def _peft(parsed: argparse.Namespace) -> None:
    """An adapter in PEFT's format.

    Write an adapter as a folder that `peft.PeftModel.from_pretrained(encoder, FOLDER)` reads, naming a base
    that AutoModel can load. It holds lora, word_embeddings and layernorm; `pecl export sentence-transformers` also
    holds a head.
    """
    from pecl.apps.export.peft import export_peft

    def write(towers: Towers, adapter: AdapterFile | None) -> Path:
        return export_peft(not_none(adapter, "adapter"), towers.text, parsed.target, parsed.base)

    _export(parsed, parsed.source, write, needs_adapter=True)


def _export(
    parsed: argparse.Namespace,
    named: str | None,
    write: Callable[[Towers, AdapterFile | None], Path],
    needs_adapter: bool = False,
) -> None:
    """Write the towers with the adapter called `named`, if any, and print the result."""
    known_adapters, towers = _known_and_towers(parsed)
    choice = known_adapters.choose(named, None)
    if choice.path is None and needs_adapter:
        raise ConfigError("--adapter: expected an adapter, got none")

    adapter = choice.read(towers.text)
    path = write(towers, adapter)
    adapter_text = "" if adapter is None else f" with {describe(adapter.configs)}"
    cli.print_text(f"{path}: {towers.text.name}{adapter_text}; {choice.sentence}")


def _merged(towers: Towers, adapter: AdapterFile | None) -> MultilingualTextEncoder:
    return towers.text if adapter is None else merge_adapter(adapter, towers.text)


def _known_and_towers(parsed: argparse.Namespace) -> tuple[KnownAdapters, Towers]:
    check_absent(parsed.target)
    config = cli.config_of(parsed, _TOWER_FLAGS)
    towers = load_towers(config.profile, config.text_model, config.image_model)
    return KnownAdapters(config.profile, text_model=config.text_model), towers


@_action(
    "pecl export immich --tower XLM-Roberta-Large-Vit-B-32 --language cs --adapter cs.safetensors --out FOLDER",
    cli.argument("--tower", "immich's name of the model (Administration, Smart search)", metavar="NAME", required=True),
    cli.argument("--language", "language of the adapter", metavar="LANGUAGE", required=True),
    _adapter(),
    cli.argument("--out", "folder to write", metavar="FOLDER", required=True),
    cli.switch("--text-only", "leave visual/ out"),
    cli.config_flags(only=_TOWER_FLAGS - {"profile"}),
)
def _immich(parsed: argparse.Namespace) -> None:
    """A language for immich.

    Write the folder of one of immich's models with a language merged into its text tower. Photographs that immich
    has indexed need no new index. onnxruntime opens the new file, and its embeddings are compared with the tower's.
    """
    from pecl.apps.export.immich import MODELS, export_immich

    if parsed.tower not in MODELS:
        raise ConfigError(unknown("multilingual model of immich", parsed.tower, MODELS))

    check_absent(parsed.out)
    known_adapters, towers = _known_and_immich_towers(parsed)
    choice = _adapter_of_language(known_adapters, parsed)
    adapter = not_none(choice.read(towers.text), "adapter")
    if adapter.language is not None and find_name(parsed.language, [adapter.language]) is None:
        raise WeightsError(f"{adapter.path} is for {language_name(adapter.language)}, expected {parsed.language}")

    language = adapter.language or parsed.language
    merged = merge_adapter(adapter, towers.text)
    image = None if parsed.text_only else towers.image
    path = export_immich(merged, image, parsed.out, language=language, is_mclip=MODELS[parsed.tower].is_mclip)
    cli.print_text(
        f"{path}: {parsed.tower} with {describe(adapter.configs)} of {language_name(language)}; {choice.sentence}"
    )


def _known_and_immich_towers(parsed: argparse.Namespace) -> tuple[KnownAdapters, Towers]:
    from pecl.apps.export.immich import MODELS

    config = cli.config_of(parsed, _TOWER_FLAGS - {"profile"})
    model = MODELS[parsed.tower]
    text = config.text_model
    image = config.image_model

    profile = model.profile
    if profile is None:
        profile = MINI
        text = text or model.text
        image = image or model.image

    return KnownAdapters(profile, text_model=text), load_towers(profile, text, image)


def _adapter_of_language(known_adapters: KnownAdapters, parsed: argparse.Namespace) -> AdapterChoice:
    choice = known_adapters.choose(parsed.source, parsed.language)
    if choice.path is None:
        available = "no adapter is there"
        if known_adapters.paths:
            available = f"adapters are there for {', '.join(known_adapters.paths)}"

        text_model = shell_quoted(known_adapters.tower)
        raise ConfigError(
            f"--language: expected one with an adapter for {parsed.tower} ({available}), or --adapter FILE, got "
            f"{parsed.language}; `pecl distil --text-model {text_model} --language {parsed.language} --text FILE` "
            "trains one"
        )

    return choice
