"""From the CPU to the device of the towers, without waiting.

A step of training launches far more than it computes, so a CPU that waits for the device leaves it idle. The CPU
therefore computes everything that it needs of a batch (lengths, places, slots) before it copies the batch.
"""

import torch


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return `tensor` on `device`; from the CPU to another device without waiting for the copy."""
    if tensor.device.type != "cpu" or device.type == "cpu":
        return tensor.to(device)
    if device.type == "cuda":
        tensor = tensor.contiguous().pin_memory()  # the copy of any other memory waits
    return tensor.to(device, non_blocking=device.type != "mps")  # MPS may read memory that has been freed meanwhile
