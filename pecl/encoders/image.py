"""`ImageEncoder`: a frozen vision backbone and an optional linear layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import torch
from PIL import Image
from torch import nn

from pecl.encoders.fingerprint import fingerprint_module


class ImageEncoder(nn.Module):
    """Image tower.

    Args:
        backbone: maps pixels (B, 3, H, W) to features (B, F).
        head: linear layer F -> D, or None for the features themselves.
        preprocess: maps an RGB image to pixels (3, H, W), float32.
        name: what results call the tower.
        preprocessing: the settings of `preprocess`; part of the identity of cached embeddings.
    """

    def __init__(
        self,
        backbone: nn.Module,
        head: nn.Linear | None,
        preprocess: Callable[[Image.Image], torch.Tensor],
        *,
        name: str,
        preprocessing: dict[str, Any],
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head if head is not None else nn.Identity()
        self.preprocess = preprocess
        self.name = name
        self.preprocessing = preprocessing
        self._fingerprint: str | None = None
        self.eval()

    @cached_property
    def embedding_dim(self) -> int:
        """Width D of the embeddings; without a linear layer, that of a grey image's."""
        if isinstance(self.head, nn.Linear):
            return self.head.out_features
        return self.encode_image([Image.new("RGB", (32, 32), "grey")]).shape[1]

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.backbone.parameters()).device

    @property
    def dtype(self) -> torch.dtype:
        """Type of the weights."""
        return next(self.backbone.parameters()).dtype

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and of the preprocessing."""
        if self._fingerprint is None:
            self._fingerprint = fingerprint_module(self, self.preprocessing)
        return self._fingerprint

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (B, 3, H, W) to embeddings (B, D), not normalised."""
        return self.head(self.backbone(pixels))  # (B, F) -> (B, D)

    @torch.inference_mode()
    def encode_image(self, images: Iterable[Image.Image], batch_size: int | None = None) -> torch.Tensor:
        """Return the embeddings of RGB images: (N, D), float32 on the CPU, not normalised.

        `images` is read one batch at a time, so a generator that loads files never holds them all. The batch is 4 on
        the CPU, where larger ones spend most of their time on fresh memory, and 32 elsewhere, unless it is given.
        """
        batch_size = batch_size or (4 if self.device.type == "cpu" else 32)
        embeddings, pixels = [], []
        for image in images:
            pixels.append(self.preprocess(image))  # (3, H, W)
            if len(pixels) == batch_size:
                embeddings.append(self._encode_batch(pixels))
                pixels = []
        if pixels:
            embeddings.append(self._encode_batch(pixels))
        return torch.cat(embeddings)  # (N, D)

    def _encode_batch(self, pixels: list[torch.Tensor]) -> torch.Tensor:
        return self(torch.stack(pixels).to(self.device, self.dtype)).float().cpu()  # (B, 3, H, W) -> (B, D)
