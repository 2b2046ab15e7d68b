"""`pecl adapters`: list kinds or files, show, convert, merge into a tower, publish and fetch adapters."""

import argparse
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModel

from pecl.adapters import engines
from pecl.adapters.adapter import attach
from pecl.adapters.formats.files import (
    SUFFIX,
    AdapterFile,
    load_adapter_file,
    merge_adapter,
    read_adapter,
    write_adapter,
)
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.spec import PRESETS, configs_to_json, describe, parse_adapter
from pecl.apps.export.folders import save_text_encoder
from pecl.apps.export.hub import list_adapters, pull, push, shipped_adapters
from pecl.commands import options as cli
from pecl.config import ENGINES, Role, fields_of
from pecl.encoders.loading.text import base_config
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_towers
from pecl.errors import ConfigError, DataError
from pecl.files import check_absent
from pecl.language.languages import any_language_code
from pecl.report.selection.candidates import chosen_candidates
from pecl.report.selection.groups import group_of, grouped
from pecl.results.result import collect, trainings

_TOWER_FLAGS = fields_of(Role.TEXT_TOWER)
_ENGINE = cli.argument("--engine", "engine of the specs: pecl (default), opendelta or peft", choices=list(ENGINES))
_action = cli.group("adapters", "pecl adapters show lora+head")


@_action(
    "pecl adapters list results/default",
    cli.path("folder", "folder to search for adapter files", nargs="?"),
    _ENGINE,
    cli.JSON,
)
def _list(parsed: argparse.Namespace) -> None:
    """List the kinds of adapters and the shipped adapters, the kinds of an --engine, or the adapter files of a folder.

    Each file is compared with the SHA-256 in the result of its training, or in the index of a published folder.
    """
    if parsed.folder is not None:
        if parsed.engine is not None:
            raise ConfigError("--engine: expected no folder with it: the files of a folder name their own engine")
        document: Any = list_adapters(Path(parsed.folder))
        text = _with_terms(document)
    else:
        kinds = []
        shipped = [] if parsed.engine else shipped_adapters()

        engine = parsed.engine or "pecl"
        for name in engines.names(engine):
            configs = engines.parse_adapter(engine, name)
            summary = PRESETS.get(name) or "; ".join(config.summary().rstrip(".") for config in configs)
            kinds.append({"name": name, "parameters in XLM-R Large": count_on_large(configs), "what": summary})

        document = {"kinds": kinds, "shipped": shipped}
        text = _table(kinds)
        if shipped:
            text += f"\n\n{_with_terms(_by_spec(shipped))}\n\ndetails per shipped file: LICENSE-WEIGHTS.md"

    cli.print_answer(parsed, document, text)


def _by_spec(shipped: list[dict[str, Any]]) -> list[dict[str, Any]]:
    groups = grouped(shipped, lambda row: (row["name"].partition(":")[0], str(row["trained on"]), row["adapter"]))
    return [
        {
            "name": f"{profile}:LANGUAGE",
            "trained on; adapter: languages": f"{trained_on}; {adapter}: {', '.join(row['language'] for row in group)}",
            "terms": group[0]["terms"],
        }
        for (profile, trained_on, adapter), group in groups.items()
    ]


def _with_terms(rows: list[dict[str, Any]]) -> str:
    terms = {name: sentence for row in rows for name, sentence in row["terms"].items()}
    table = _table([{name: value for name, value in row.items() if name != "terms"} for row in rows])
    if terms:
        return f"{table}\n\nterms, as their owners state them:\n{cli.in_columns([*terms.items()])}"
    return table


def _table(rows: list[dict[str, Any]]) -> str:
    def shown(value: object) -> str:
        if isinstance(value, int):
            return f"{value:,}"
        return "-" if value is None else str(value)

    cells = [[shown(value) for value in row.values()] for row in rows]
    return cli.in_columns([list(rows[0]), *cells])


@_action(
    "pecl adapters show lora:r=4+head",
    cli.argument("adapter", f"adapter file (*{SUFFIX}), or a spec such as lora+head"),
    cli.argument("--rank", "rank of LoRA, instead of the spec's", type=int),
    cli.argument("--adapter-layers", "layers with the adapter, such as top-3, instead of the spec's"),
    _ENGINE,
    cli.JSON,
)
def _show(parsed: argparse.Namespace) -> None:
    """Show an adapter file, or the options of a spec."""
    if parsed.adapter.endswith(SUFFIX):
        file = load_adapter_file(parsed.adapter)
        configs = file.configs
        document = {
            "file": str(file.path),
            "language": file.language,
            "adapter": describe(configs),
            "parameters": _count_of(file),
            "tower": file.tower_name,
            "fingerprint": file.fingerprint,
            "trained on": file.training_pairs and "; ".join(file.training_pairs.splits),
            "named by": None if file.named_by is None else str(file.named_by),
        }
    else:
        engine = parsed.engine or "pecl"
        configs = engines.parse_adapter(engine, parsed.adapter, parsed.rank, parsed.adapter_layers)
        document = {"adapter": describe(configs), "parameters in XLM-R Large": count_on_large(configs)}

    width = max(map(len, document))
    lines = [f"{name:{width}}  {'-' if value is None else value}" for name, value in document.items()]
    for config in configs:
        lines.append(f"\n{config.name}: {config.summary()}")
        lines += [f"  {option:50}  {help}" for option, help in config.explained()]

    cli.print_answer(parsed, {**document, "configs": configs_to_json(configs)}, *lines)


def _count_of(file: AdapterFile) -> int:
    """Return the number of trained parameters of an adapter file."""
    if file.trainable is not None:
        return file.trainable
    return sum(tensor.numel() for tensor in file.state.values())


def count_on_large(configs: Sequence[AdapterConfig]) -> int | None:
    """Return the number of trainable parameters in XLM-R Large with M-CLIP's head (1024 to 768) and pooler.

    Return None if the number depends on the tokens of a text, or on the values of the weights.
    """
    if any(getattr(config, "init_text", None) is not None for config in configs):
        return None

    try:
        adapter = attach(_large_tower(), configs, seeds=())
    except ConfigError:  # a method of PEFT that needs the values of the weights
        _large_tower.cache_clear()  # it may be changed in part
        if all(config.has_slots for config in configs):
            raise
        return None

    try:
        return adapter.num_parameters()
    finally:
        adapter.remove()


@functools.cache
def _large_tower() -> MultilingualTextEncoder:
    """Return XLM-R Large with M-CLIP's head, on the meta device."""
    with torch.device("meta"):
        backbone = AutoModel.from_config(base_config("xlm-roberta-large"))
        head = nn.Linear(1024, 768)
    return MultilingualTextEncoder(backbone, None, head, name="XLM-R Large")


@_action(
    "pecl adapters convert text_model_best.ckpt de.safetensors --language de --profile paper",
    cli.path("source", "adapter to read"),
    cli.path("target", "adapter to write"),
    cli.argument("--language", "language of the adapter, if SOURCE does not state it"),
    cli.argument("--adapter", "spec of an OpenDelta checkpoint (default: detected from its shapes)"),
    cli.config_flags(only=_TOWER_FLAGS),
)
def _convert(parsed: argparse.Namespace) -> None:
    """Convert an adapter between formats.

    SOURCE is pecl's file (*.safetensors), a folder in PEFT's format, or a
    checkpoint of OpenDelta or of the method's released code. TARGET is written in pecl's format if it ends in
    .safetensors, otherwise as a folder in PEFT's, which holds LoRA, word embeddings and LayerNorms, or one method
    of PEFT.
    """
    check_absent(parsed.target)
    configs = None if parsed.adapter is None else parse_adapter(parsed.adapter)
    language = parsed.language and any_language_code(parsed.language)
    tower = load_tower(parsed)
    adapter = read_adapter(parsed.source, tower, language, configs)
    path = write_adapter(parsed.target, adapter, tower)
    cli.print_text(f"{path}: {describe(adapter.configs)}, for {tower.name}")


@_action(
    "pecl adapters merge de.safetensors merged-de",
    cli.path("source", "adapter: pecl's file, PEFT's folder, or an OpenDelta checkpoint"),
    cli.path("target", "folder to write"),
    cli.config_flags(only=_TOWER_FLAGS),
)
def _merge(parsed: argparse.Namespace) -> None:
    """Write a text tower with an adapter merged into its weights.

    The folder has sentence-transformers' layout, which --text-model and sentence-transformers itself can load.
    """
    check_absent(parsed.target)
    tower = load_tower(parsed)
    adapter = read_adapter(parsed.source, tower)
    path = save_text_encoder(merge_adapter(adapter, tower), parsed.target)
    cli.print_text(f"{path}: {tower.name} with {describe(adapter.configs)}")


@_action(
    "pecl adapters push results/default name/pecl-mini-cs",
    cli.path("sources", "adapter file, or folder of results", "SOURCE", nargs="+"),
    cli.path("target", "hub id, or new folder", "TARGET"),
    cli.switch("--best", "publish only the run per language that validation chooses"),
    cli.argument("--licence", "licence identifier of the hub: mit, ...", "--license", default="other"),
    cli.switch("--private", "create a private Hub repository"),
)
def _push(parsed: argparse.Namespace) -> None:
    """Publish adapters on the model hub, or in a folder, with a model card.

    The card's figures are read from the results of the runs. Each SOURCE is an adapter file as `pecl train` wrote it,
    or the folder of its results. Every result must have its checksum and the SHA-256 of its adapter file. TARGET is a
    hub id (name/adapters; `hf auth login` logs in), or a path such as ./adapters. If its first part is an existing
    folder, it is a path.
    """
    sources = [Path(source) for source in parsed.sources]
    sources = best_adapters(sources) if parsed.best else sources
    cli.print_text(push(sources, parsed.target, parsed.licence, parsed.private))


def best_adapters(folders: Sequence[Path]) -> list[Path]:
    """Return the adapter file of the run that validation chooses for each language, as `pecl report` does.

    Raise DataError without a complete training, for a damaged result, or if runs of a language were
    not measured alike.
    """
    training_results = trainings(collect(folders))
    by_language = grouped(chosen_candidates(training_results), lambda candidate: candidate.language)
    if not by_language:
        raise DataError(f"{', '.join(map(str, folders))}: expected results of `pecl train`, found no complete one")

    for language, candidates in by_language.items():
        if len({group_of(candidate.chosen_run) for candidate in candidates}) > 1:
            raise DataError(
                f"--best: runs of {language} were validated on different captions or towers, so none is the best: name "
                "its adapter file"
            )

    best = [max(candidates, key=lambda candidate: candidate.validation) for candidates in by_language.values()]
    return [candidate.chosen_run.adapter_path for candidate in best]


@_action(
    "pecl adapters pull name/pecl-mini-cs adapters",
    cli.path("source", "hub id, id@revision, or folder", "SOURCE"),
    cli.path("target", "new folder", "TARGET"),
    cli.config_flags(only=_TOWER_FLAGS),
)
def _pull(parsed: argparse.Namespace) -> None:
    """Fetch published adapters into a new folder.

    The commit that was fetched is recorded, and the adapters must belong to the text tower. SOURCE is a hub id,
    id@revision, or a folder that push wrote. If its first part is an existing folder, it is a path.
    """
    paths = pull(parsed.source, Path(parsed.target), load_tower(parsed))
    cli.print_text("\n".join(map(str, paths)))


def load_tower(parsed: argparse.Namespace) -> MultilingualTextEncoder:
    """Return the text tower that the flags `_TOWER_FLAGS` name."""
    config = cli.config_of(parsed, _TOWER_FLAGS)
    return load_towers(config.profile, config.text_model, device=config.device).text
