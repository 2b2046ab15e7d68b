"""The software and the machine that a result came from."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from pecl.results.parts import Environment, Machine

if TYPE_CHECKING:
    import torch

_PACKAGES = ("pecl", "torch", "transformers", "timm", "safetensors", "tokenizers", "numpy")
_CODE = (":/", ":(top,exclude)results", ":(top,exclude)pecl/adapters/shipped")  # what changes results of later runs
_STATUS = Path("/proc/self/status")


def environment() -> Environment:
    """Return the software and machine of this process."""
    import torch  # here and below: reading results needs none

    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    commit = _git("rev-parse", "HEAD")
    machine = Machine(platform.platform(), torch.get_num_threads())
    dirty = bool(_git("status", "--porcelain", "--untracked-files=no", "--", *_CODE)) if commit else None
    return Environment(versions, machine, commit, dirty)


def peak_memory_mb(device: torch.device) -> float:
    """Return the most memory that this process has held so far, in MiB: on the GPU if one is used."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    return process_peak_mb()


def process_peak_mb() -> float:
    """Return the most memory that this process itself has held so far, in MiB, pages of files that it read included."""
    if _STATUS.exists():  # Linux, where `ru_maxrss` begins with the peak of the process that started this one
        held = (line.split()[1] for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        if (kib := next(held, None)) is not None:
            return int(kib) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB elsewhere


def _git(*arguments: str) -> str | None:
    """Return git's output for the checkout that pecl runs from, or None if it is installed without one."""
    command = ["git", "-C", str(Path(__file__).parent), *arguments]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
