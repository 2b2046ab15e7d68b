"""The identity of a tower: a hash of its weights and of every setting that changes its output."""

import hashlib
from typing import Any

import torch
from torch import nn

from pecl.files import sha256_json


def fingerprint_module(module: nn.Module, settings: dict[str, Any]) -> str:
    """Return a SHA-256 over `module`'s parameters and buffers (names, types, shapes, values) and `settings`.

    Reads every weight once: about half a second for the mini profile, a few seconds for XLM-R Large.
    """
    digest = hashlib.sha256(sha256_json(settings).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
