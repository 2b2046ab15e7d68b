"""`pecl adapters`: list the kinds, or a folder's adapters, show one, convert, merge into a tower, publish and fetch."""

import argparse
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import XLMRobertaModel

from pecl.adapters.adapter import attach
from pecl.adapters.formats.convert import SUFFIX, merge_adapter, read_adapter, write_adapter
from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.spec import PRESETS, configs_to_json, describe, parse_adapter, part_names
from pecl.commands.adapters_hub import TOWER_FLAGS, add_pull, add_push, load_tower
from pecl.commands.options import (
    add_command,
    add_config_flags,
    add_path,
    add_switch,
    in_columns,
    print_json,
    print_text,
)
from pecl.encoders.export import save_text_encoder
from pecl.encoders.loading.shapes import xlm_roberta_large
from pecl.encoders.text import MultilingualTextEncoder
from pecl.export.listing import Listed, list_adapters, shipped_adapters
from pecl.files import check_absent
from pecl.languages import any_language_code
from pecl.options import format_option


def add_parser(commands: Any) -> None:
    """Add the command and its actions."""
    parser = add_command(commands, "adapters", "pecl adapters show lora+head")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    for add in (_add_list, _add_show, _add_convert, _add_merge, add_push, add_pull):
        add(actions)


def _add_list(actions: Any) -> None:
    description = (
        "List the kinds of adapters and the shipped adapters; for a folder, list its adapter files. Each file\n"
        "is compared with the SHA-256 in the result of its training, or in the index of a published folder."
    )
    example, summary = "pecl adapters list results/default", "list kinds and adapters"
    parser = add_command(actions, "list", example, description, summary=summary)
    add_path(parser, "folder", "folder that is searched for adapter files", nargs="?")
    add_switch(parser, "--json", "print one JSON document")
    parser.set_defaults(run=_list)


def _list(parsed: argparse.Namespace) -> int:
    if parsed.folder is not None:
        document: Any = [{"file": str(one.path), **_row(one)} for one in list_adapters(Path(parsed.folder))]
        text = _with_terms(document)
    else:
        kinds, shipped = _method_rows(), [{"name": name, **_row(one)} for name, one in shipped_adapters().items()]
        document = {"kinds": kinds, "shipped": shipped}
        text = f"{_table(kinds)}\n\n{_with_terms(_by_spec(shipped))}\n\nmore of each shipped file: LICENSE-WEIGHTS.md"
    if parsed.json:
        print_json(document)
    else:
        print_text(text)
    return 0


def _row(one: Listed) -> dict[str, Any]:
    return {
        "language": one.language,
        "adapter": one.adapter,
        "named by": None if one.named_by is None else one.named_by.name,
        "trained on": one.sources,
        "terms": one.terms,
    }


def _by_spec(shipped: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return a row per profile, text and adapter, with the languages that are shipped."""
    groups: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for one in shipped:
        profile = one["name"].partition(":")[0]
        groups.setdefault((profile, str(one["trained on"]), one["adapter"]), []).append(one)
    return [
        {
            "name": f"{profile}:LANGUAGE",
            "trained on": trained_on,
            "adapter: languages": f"{adapter}: {', '.join(one['language'] for one in group)}",
            "terms": group[0]["terms"],
        }
        for (profile, trained_on, adapter), group in groups.items()
    ]


def _with_terms(rows: list[dict[str, Any]]) -> str:
    """Return a table of rows, and below it the terms of all sources and towers in it."""
    terms = {name: said for row in rows for name, said in row["terms"].items()}
    table = _table([{name: value for name, value in row.items() if name != "terms"} for row in rows])
    if not terms:
        return table
    return f"{table}\n\nterms, as their owners state them:\n" + in_columns([*terms.items()])


def _table(rows: list[dict[str, Any]]) -> str:
    return in_columns([list(rows[0]), *([_field(value) for value in row.values()] for row in rows)])


def _field(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else "-" if value is None else str(value)


def _summary(config: AdapterConfig) -> str:
    """Return the first docstring line of a kind."""
    return (type(config).__doc__ or "").partition("\n")[0]


def _method_rows() -> list[dict[str, Any]]:
    """Return one row for each name of a part; counts are those of a tower of XLM-R Large, as in the paper."""
    rows = []
    for name in part_names():
        configs = parse_adapter(name)
        what = PRESETS.get(name) or "; ".join(_summary(config).rstrip(".") for config in configs)
        rows.append({"name": name, "parameters in XLM-R Large": count_on_large(configs), "what": what})
    return rows


def _add_show(actions: Any) -> None:
    summary = "show an adapter file, or the options of a spec"
    parser = add_command(actions, "show", "pecl adapters show lora:r=4+head", summary=summary)
    parser.add_argument("adapter", help=f"adapter file (*{SUFFIX}), or a spec such as lora+head")
    parser.add_argument("--rank", type=int, help="rank of LoRA, instead of the spec's")
    parser.add_argument("--adapter-layers", help="layers that it is in, such as top-3, instead of the spec's")
    add_switch(parser, "--json", "print one JSON document")
    parser.set_defaults(run=_show)


def _show(parsed: argparse.Namespace) -> int:
    if parsed.adapter.endswith(SUFFIX):
        file = load_adapter_file(parsed.adapter)
        configs = file.configs
        document = {
            "file": str(file.path),
            "language": file.language,
            "adapter": describe(configs),
            "parameters": sum(tensor.numel() for tensor in file.state.values()),
            "tower": file.tower_name,
            "fingerprint": file.fingerprint,
            "named by": None if file.named_by is None else str(file.named_by),
        }
    else:
        configs = parse_adapter(parsed.adapter, parsed.rank, parsed.adapter_layers)
        document = {"adapter": describe(configs), "parameters in XLM-R Large": count_on_large(configs)}
    if parsed.json:
        print_json({**document, "configs": configs_to_json(configs)})
        return 0
    width = max(map(len, document))
    print_text("\n".join(f"{name:{width}}  {'-' if value is None else value}" for name, value in document.items()))
    for config in configs:
        print_text(f"\n{config.kind}: {_summary(config)}")
        for item in fields(config):
            option = f"{item.name}={format_option(getattr(config, item.name))}"
            print_text(f"  {option:50}  {item.metadata['help']}")
    return 0


def count_on_large(configs: Sequence[AdapterConfig]) -> int | None:
    """Return the number of trainable parameters in XLM-R Large with M-CLIP's head (1024 to 768) and pooler.

    The tower is on the meta device, which takes no memory. None: it depends on how a text is tokenised.
    """
    if any(getattr(config, "init_text", None) is not None for config in configs):
        return None
    counted = [config for config in configs if not config.text_prompt]  # texts before the text have no parameters
    if not counted:
        return 0
    with torch.device("meta"):
        backbone, head = XLMRobertaModel(xlm_roberta_large()), nn.Linear(1024, 768)
    tower = MultilingualTextEncoder(backbone, None, head, name="XLM-R Large")
    return attach(tower, counted, seeds=()).num_parameters()


def _add_convert(actions: Any) -> None:
    description = (
        "Convert an adapter between formats. SOURCE is pecl's file (*.safetensors), a folder in PEFT's format, or a\n"
        "checkpoint of OpenDelta or of the method's released code. TARGET is written in pecl's format if it ends in\n"
        ".safetensors, otherwise as a folder in PEFT's, which holds LoRA (with LayerNorms)."
    )
    example = "pecl adapters convert text_model_best.ckpt de.safetensors --language de --profile paper"
    parser = add_command(actions, "convert", example, description, summary="convert an adapter between formats")
    add_path(parser, "source", "adapter to read")
    add_path(parser, "target", "adapter to write")
    parser.add_argument("--language", help="language of the adapter, where SOURCE does not say it")
    parser.add_argument("--adapter", help="spec of an OpenDelta checkpoint (default: detected from its shapes)")
    add_config_flags(parser, only=TOWER_FLAGS)
    parser.set_defaults(run=_convert)


def _convert(parsed: argparse.Namespace) -> int:
    check_absent(parsed.target)
    configs = None if parsed.adapter is None else parse_adapter(parsed.adapter)
    language = parsed.language and any_language_code(parsed.language)
    tower = load_tower(parsed)
    adapter = read_adapter(parsed.source, tower, language, configs)
    path = write_adapter(parsed.target, adapter, tower)
    print_text(f"{path}: {describe(adapter.configs)}, for {tower.name}")
    return 0


def _add_merge(actions: Any) -> None:
    description = (
        "Write a text tower with an adapter in its weights, as a folder in sentence-transformers' layout, which\n"
        "--text-model and sentence-transformers itself can load."
    )
    summary = "write a plain text tower with an adapter in its weights"
    parser = add_command(actions, "merge", "pecl adapters merge de.safetensors merged-de", description, summary=summary)
    add_path(parser, "source", "adapter: pecl's file, PEFT's folder, or an OpenDelta checkpoint")
    add_path(parser, "target", "folder to write")
    add_config_flags(parser, only=TOWER_FLAGS)
    parser.set_defaults(run=_merge)


def _merge(parsed: argparse.Namespace) -> int:
    check_absent(parsed.target)
    tower = load_tower(parsed)
    adapter = read_adapter(parsed.source, tower)
    path = save_text_encoder(merge_adapter(adapter, tower), parsed.target)
    print_text(f"{path}: {tower.name} with {describe(adapter.configs)}")
    return 0
