"""The base class of text and image towers, and their fingerprint: a hash of weights and settings."""

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pecl.files import sha256_json


def fingerprint_module(module: nn.Module, settings: dict[str, Any]) -> str:
    """Return the SHA-256 of `module`'s parameters and buffers (names, types, shapes, values) and `settings`.

    Reads every weight once: about half a second for the mini profile, a few seconds for XLM-R Large.
    """
    digest = hashlib.sha256(sha256_json(settings).encode())
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


class Tower(nn.Module):
    """A frozen backbone with a name, and linear layers after it if any."""

    # file of unpacked weights, which may be deleted; None for weights of the user
    weights_path: Path | None = None
    name: str
    embedding_dim: int
    backbone: Any

    def __repr__(self) -> str:
        parameters = sum(parameter.numel() for parameter in self.parameters())
        adapter = getattr(self, "adapter", None)
        return (
            f"{type(self).__name__}(name={self.name!r}, width={self.embedding_dim}, parameters={parameters:_}, "
            f"device={str(self.device)!r}{'' if adapter is None else f', adapter={adapter!r}'})"
        )

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.backbone.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights, of a text tower's states between layers, and of an adapter's parameters."""
        return next(self.backbone.parameters()).dtype
