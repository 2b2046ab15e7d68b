"""The machine that computes: its precision, its memory, the GPUs of a device, and Ray.

bf16 has the range of fp32 and 8 bits of precision in place of 24. Processors with AVX512-BF16 or AMX, and GPUs,
multiply bf16 matrices several times as fast. `auto` is resolved on the machine where a command starts: a config always
holds fp32 or bf16, and so does the run id. With `auto` on a machine with bf16, a run has the id of `--precision bf16`.
"""

import logging
import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

FP32 = "fp32"
BF16 = "bf16"
AUTO = "auto"
PRECISIONS = (FP32, BF16, AUTO)
AUTO_PRECISION = "PECL_PRECISION"  # environment variable: what `auto` stands for
CORES_SPEED = {FP32: 130e9, BF16: 200e9}  # operations per second of two cores, for estimates


def resolve_precision(precision: str, device: str) -> str:
    """Return fp32 or bf16, given a member of `PRECISIONS` and torch's name of a device.

    `auto` is bf16 on CUDA GPUs and CPUs with bf16 instructions, and fp32 on other devices; or what the environment
    variable PECL_PRECISION holds.
    """
    if precision == AUTO:
        precision = os.environ.get(AUTO_PRECISION) or AUTO
    if precision != AUTO:
        return precision
    kind = device.partition(":")[0]
    if kind == "cuda":
        import torch  # takes seconds

        # NVIDIA GPUs have it since 2020; without a GPU here, as on a machine that submits jobs, it is assumed
        fast = not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = kind == "cpu" and cpu_multiplies_bfloat16()
    return BF16 if fast else FP32


@cache
def cpu_multiplies_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether Linux reports AVX512-BF16 or AMX for the processor; False on other systems.

    Torch also detects it, but takes seconds to import, and configs need no torch.
    """
    flags = next((line.partition(":")[2] for line in _lines(cpuinfo) if line.startswith("flags")), "")
    return not {"avx512_bf16", "amx_bf16"}.isdisjoint(flags.split())  # as Linux names them


def bfloat16_support() -> str:
    """Return one sentence: how this processor multiplies bfloat16, and what `auto` and bf16 therefore do."""
    if cpu_multiplies_bfloat16():
        return "AVX512-BF16 or AMX: auto is bf16"
    return "no bf16 instructions: auto is fp32, which is faster here"


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute with one thread within the body. Changing the number takes less than a microsecond."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Return the bytes that a process can still take by Linux's estimate; None on other systems."""
    lines = (line for line in _lines(meminfo) if line.startswith("MemAvailable:"))
    return next((int(line.split()[1]) * 1024 for line in lines), None)


def peak_memory_mb(device: "torch.device") -> float:
    """Return the peak memory of this process so far, in MiB; on the GPU if `device` is one."""
    if device.type == "cuda":
        import torch

        return torch.cuda.max_memory_allocated(device) / 2**20
    return process_peak_mb()


def process_peak_mb() -> float:
    """Return the peak memory of this process so far, in MiB, including pages of files that it read."""
    for line in _lines(Path("/proc/self/status")):  # on Linux, `ru_maxrss` begins with the peak of the parent process
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 2**10

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10  # bytes on macOS, KiB elsewhere


def _lines(path: Path) -> list[str]:
    """Return the lines of a file that Linux has, and none on other systems."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def gpus_needed(device: str) -> int:
    """Return the number of GPUs that a process must see for `device`: k + 1 for `cuda:k`, 1 for `cuda`, else 0."""
    kind, _, index = device.partition(":")
    number = int(index) if index.isdecimal() else 0  # the process itself refuses a missing device
    return number + 1 if kind == "cuda" else 0


@contextmanager
def running_ray(cpus: int) -> Iterator[None]:
    """Connect to the cluster at `RAY_ADDRESS`, or start Ray with `cpus` cores here; end it after the body.

    A Ray that is running already is used and left running.
    """
    import ray

    if ray.is_initialized():
        yield
        return
    environment = {name: value for name, value in os.environ.items() if name.startswith(("PECL_", "PYTHONPATH"))}
    cluster = "RAY_ADDRESS" in os.environ
    ray.init(
        num_cpus=None if cluster else cpus,
        runtime_env={"env_vars": environment | {"TQDM_DISABLE": "1"}},
        log_to_driver=False,
        logging_level=logging.ERROR,
        include_dashboard=None if cluster else False,
    )
    try:
        yield
    finally:
        ray.shutdown()
