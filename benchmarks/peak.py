"""The peak rate of matrix products on the device, the reference for all other figures."""

from __future__ import annotations

import torch
from figures import Figure, seconds

SIZE = 1024  # of square matrices on a CPU: large enough for the peak, small enough for the cache
GPU_SIZE = 8192


def gflops(dtype: torch.dtype, device: str, repeats: int = 10) -> float:
    """Return the peak GFLOP/s of a product of two square matrices; a multiply-add counts as two."""
    size = GPU_SIZE if device.startswith("cuda") else SIZE
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / min(seconds(lambda: a @ b) for _ in range(repeats + 2)) / 1e9


def measure(small: bool, device: str) -> list[Figure]:
    """Compare the peaks in bf16 and fp32."""
    peaks = {
        name: gflops(dtype, device, 5 if small else 20)
        for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
    }
    return [
        Figure(
            f"peak of matrix products, bf16 to fp32 ({peaks['fp32']:,.0f} GFLOP/s in fp32)",
            peaks["bf16"] / peaks["fp32"],
            details={"gflops": peaks, "threads": torch.get_num_threads()},
        )
    ]
