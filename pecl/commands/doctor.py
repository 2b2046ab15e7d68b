"""`pecl doctor`: what is installed, which weights and data are found, and what to do about what is not."""

from __future__ import annotations

import argparse
import os
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import torch

from pecl.commands.options import add_command, print_json, print_text
from pecl.data.registry import DATASETS, find_data_dir
from pecl.encoders.loading.mini import mini_status
from pecl.errors import DataError
from pecl.files import default_cache_dir

_NEEDED = ("torch", "transformers", "timm", "safetensors", "pandas", "tqdm", "pyyaml", "pillow")
_EXTRAS = {
    "multilingual-clip": "pip install multilingual-clip (the tests compare the published text towers with it)",
    "peft": "pip install peft (LoRA in PEFT's format)",
    "opendelta": "pip install -r requirements-opendelta.txt (--engine opendelta)",
    "open_clip_torch": "pip install -e '.[openclip]' (OpenCLIP towers)",
    "lingua-language-detector": "pip install -e '.[search]' (languages told from text: queries, swapped columns)",
    "qdrant-client": "pip install -e '.[search]' (pecl index --engine qdrant)",
}


class Finding(NamedTuple):
    """One line of the report. `state` is ok, missing (needed) or absent (not needed for everything)."""

    what: str
    state: str
    detail: str


def add_parser(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands, "doctor", "say what is installed and found, and what to do about what is not", "pecl doctor"
    )
    parser.add_argument("--data-dir", default=None, help="folder of the data sets (default: $PECL_DATA_DIR)")
    parser.add_argument("--json", action="store_true", help="print the findings as one JSON document")
    parser.set_defaults(run=run)


def run(parsed: argparse.Namespace) -> int:
    """Print the findings; exit status 1 when something needed is missing."""
    findings = [*_packages(), *_weights(), *_data(parsed.data_dir), *_machine()]
    if parsed.json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_text("\n".join(f"{f.state:8} {f.what:34} {f.detail}" for f in findings))
    return int(any(finding.state == "missing" for finding in findings))


def _packages() -> list[Finding]:
    findings = []
    for package in _NEEDED + tuple(_EXTRAS):
        try:
            findings.append(Finding(package, "ok", version(package)))
        except PackageNotFoundError:
            state = "absent" if package in _EXTRAS else "missing"
            findings.append(Finding(package, state, _EXTRAS.get(package, "pip install -r requirements.txt")))
    return findings


def _weights() -> list[Finding]:
    return [Finding(*row) for row in mini_status()]


def _data(data_dir: str | None) -> list[Finding]:
    findings = []
    for name, info in DATASETS.items():
        try:
            found = str(find_data_dir(name, data_dir)) if info.folders else "made by pecl"
            findings.append(Finding(f"data set {name}", "ok", found))
        except DataError as error:
            findings.append(Finding(f"data set {name}", "absent", str(error)))
    return findings


def _machine() -> list[Finding]:
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    cache = default_cache_dir()
    writable = os.access(next(p for p in (cache, *cache.parents) if p.exists()), os.W_OK)
    return [
        Finding("devices", "ok", ", ".join(["cpu", *devices]) + f"; {torch.get_num_threads()} threads"),
        Finding("cache", "ok" if writable else "missing", f"{Path(cache)} ($PECL_CACHE_DIR)"),
    ]
