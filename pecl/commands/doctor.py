"""`pecl doctor`: list installed packages, found weights and data, and how to get missing ones."""

import argparse
import os
import re
from collections import defaultdict
from importlib.metadata import PackageNotFoundError, requires, version
from typing import NamedTuple

import torch

from pecl.backends import choose_backend
from pecl.commands import options as cli
from pecl.config.plugins import installed_plugins
from pecl.data.registry import DATASETS, find_data_dir
from pecl.encoders.loading.mini import mini_status
from pecl.errors import DataError, install, not_none
from pecl.files import default_cache_dir
from pecl.machine import AUTO, bfloat16_support

# Extra of pyproject.toml -> its purpose
_EXTRAS = {
    "openclip": "OpenCLIP's image towers",
    "search": "languages detected from text, HEIC images, pecl index --engine qdrant",
    "serve": "pecl serve",
    "slurm": "pecl grid --launcher slurm",
    "ray": "pecl grid --launcher ray, pecl embed --ray",
    "peft": "--engine peft",
    "openvino": "--backend openvino",
    "export": "pecl export, and the packages that open its folders",
    "harness": "pecl evaluate --harness (mteb needs Python 3.11 or newer)",
    "trackers": "--report-to",
    "docs": "the site",
}
# in no extra: it pins other packages
_OPENDELTA = "pip install -r requirements-opendelta.txt (--engine opendelta)"


class Finding(NamedTuple):
    """One line of the report. `state` is ok, missing (required) or absent (optional)."""

    what: str
    state: str
    detail: str


@cli.command("pecl doctor", cli.path("--data-dir", "folder of the data sets (default: $PECL_DATA_DIR)"), cli.JSON)
def run(parsed: argparse.Namespace) -> int:
    """List what is installed and found, and how to get missing parts."""
    plugins = sorted(installed_plugins().items())
    findings = [
        *_packages(),
        *(Finding(f"plug-in {name}", "ok", f"--plugin {name} ({point.module})") for name, point in plugins),
        *(Finding(*row) for row in mini_status()),
        *_data(parsed.data_dir),
        *_machine(),
    ]
    lines = (f"{finding.state:8} {finding.what:34} {finding.detail}" for finding in findings)
    cli.print_answer(parsed, [finding._asdict() for finding in findings], *lines)
    return int(any(finding.state == "missing" for finding in findings))


def _packages() -> list[Finding]:
    needed = []
    advice = defaultdict(list)
    for line in requires("pecl") or ():
        name, extra = not_none(re.match(r"([\w-]+)(?:.*extra == ['\"](\w+))?", line), "requirement").groups()
        if extra is None:
            needed.append(_package(name, "missing", "pip install -r requirements.txt"))
        else:
            advice[name].append(f"{install(extra)} ({_EXTRAS.get(extra, extra)})")

    extras = [_package(name, "absent", "; or ".join(hints)) for name, hints in sorted(advice.items())]
    return [*needed, *extras, _package("opendelta", "absent", _OPENDELTA)]


def _backend() -> str:
    """Return what `--backend auto` takes for a server or a library here, and why."""
    choice = choose_backend(AUTO)
    return f"auto is {choice.backend}: {choice.reason}"


def _package(name: str, otherwise: str, advice: str) -> Finding:
    try:
        return Finding(name, "ok", version(name))
    except PackageNotFoundError:
        return Finding(name, otherwise, advice)


def _data(data_dir: str | None) -> list[Finding]:
    findings = []
    for name, info in DATASETS.items():
        try:
            detail = str(find_data_dir(name, data_dir)) if info.folders else "made by pecl"
            findings.append(Finding(f"data set {name}", "ok", detail))
        except DataError as error:
            findings.append(Finding(f"data set {name}", "absent", str(error)))

    return findings


def _machine() -> list[Finding]:
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    cache = default_cache_dir()
    writable = os.access(next(p for p in (cache, *cache.parents) if p.exists()), os.W_OK)
    return [
        Finding("devices", "ok", ", ".join(["cpu", *devices]) + f"; {torch.get_num_threads()} threads"),
        Finding("bf16 on the processor", "ok", bfloat16_support()),
        Finding("backend", "ok", _backend()),
        Finding("cache", "ok" if writable else "missing", f"{cache} ($PECL_CACHE_DIR)"),
    ]
