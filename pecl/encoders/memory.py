"""Memory of a tower: a check that it suffices, copies to the device, and freed memory, which the next pass reuses.

A training step launches many short kernels, so the device is idle whenever the CPU waits for it.
The CPU therefore computes everything that it needs of a batch (lengths, places, slots) before it
copies the batch.

A pass of a tower allocates and frees the same tens of megabytes in every layer. By default glibc
maps each large block afresh, and the kernel fills it with zeros, page by page: on a virtual machine
that is up to a third of a step's time. So freed memory is not handed back to the kernel.
"""

import ctypes
import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import torch

from pecl.errors import WeightsError
from pecl.machine import available_memory

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
# bytes; larger blocks, such as a whole tower's weights, go back when they are freed
LARGEST_BLOCK = 2**30
KEPT = 2**31 - 1  # bytes: most unused memory that the process keeps; glibc takes a C int


def check_memory(state: Mapping[str, torch.Tensor], dtype: torch.dtype, source: Path) -> None:
    """Raise WeightsError unless the weights, converted to `dtype`, fit into the available memory."""
    available = available_memory()
    needed = dtype.itemsize * sum(map(torch.Tensor.numel, state.values()))
    if available is not None and needed > available:
        raise WeightsError(
            f"{source} needs {needed / 2**30:.1f} GiB of memory, and {available / 2**30:.1f} GiB are available: free "
            "memory, or choose a smaller tower (pecl towers list)"
        )


@cache
def keep_freed_memory() -> bool:
    """Make glibc's allocator keep freed blocks, once for this process; return whether it now does.

    Another allocator, or one that the environment configures (`MALLOC_...`, `GLIBC_TUNABLES`), is
    left as it is.
    """
    is_configured = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if is_configured or platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return bool(mallopt(_MMAP_THRESHOLD, LARGEST_BLOCK) and mallopt(_TRIM_THRESHOLD, KEPT))


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return `tensor` on `device`; from the CPU to another device without waiting for the copy."""
    if tensor.device.type != "cpu" or device.type == "cpu":
        return tensor.to(device)
    if device.type == "cuda":
        tensor = tensor.contiguous().pin_memory()  # the copy of any other memory waits
    return tensor.to(device, non_blocking=device.type != "mps")  # MPS may read memory that has been freed meanwhile
