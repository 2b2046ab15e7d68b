"""`ImageEncoder`: a frozen vision backbone and an optional linear layer."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from pecl.encoders.decoding import batches, batches_ahead
from pecl.encoders.fingerprint import Tower, fingerprint_module
from pecl.encoders.folding import folded, with_rounded_filters
from pecl.encoders.runtime import Runtime, threads_beside
from pecl.errors import ConfigError, DataError
from pecl.files.images import ImageFiles, to_rgb
from pecl.machine import BF16, FP32

Picture = str | Path | Image.Image


def as_pictures(images: Picture | Iterable[Picture]) -> Iterator[Image.Image]:
    """Yield one image or several, as Pillow images in RGB mode; files are opened one by one.

    Raise DataError for a file that cannot be read, or an item that is neither a path nor a Pillow image.
    """
    if isinstance(images, Picture):
        images = [images]

    if not isinstance(images, Iterable):
        kind = type(images).__name__
        raise DataError(f"expected a path, a picture or several of them, got {images!r} ({kind})", field="images")

    for i, image in enumerate(images):
        if isinstance(image, str | Path):
            yield ImageFiles((Path(image),)).load(0)
        elif isinstance(image, Image.Image):
            yield to_rgb(image)
        else:
            raise DataError(f"expected a path or a picture at position {i}, got {type(image).__name__}", field="images")


class ImageEncoder(Tower):
    """Image tower.

    Args:
        backbone: maps pixels (B, 3, H, W) to features (B, F).
        head: linear layer F -> D, or None for the features themselves.
        preprocess: maps an RGB image to pixels (3, H, W), float32.
        name: name of the tower in results.
        preprocessing: the settings of `preprocess`; part of the fingerprint.
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
        # open_clip's config of the model whose image half this is
        self.model_config: dict[str, Any] | None = None
        self.runtime: Runtime | None = None  # computes the backbone in place of PyTorch
        self.precision = FP32  # PyTorch's arithmetic of the backbone in `encode_pixels`
        # the backbone as `encode_pixels` runs it; in a tuple, so not in states
        self._fast: tuple[nn.Module, ...] = ()
        self.eval()

    def use_bfloat16(self) -> None:
        """Compute the backbone in bfloat16 in `encode_pixels`, by a copy: the weights and the fingerprint stay."""
        self.precision = BF16
        self._fast = ()

    @cached_property
    def embedding_dim(self) -> int:
        """Width D of the embeddings; without a linear layer, measured on a grey image."""
        if isinstance(self.head, nn.Linear):
            return self.head.out_features
        return self.encode_image([Image.new("RGB", (32, 32), "grey")]).shape[1]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the weights and of the preprocessing."""
        return fingerprint_module(self, self.preprocessing)

    @property
    def default_batch_size(self) -> int:
        """Images per pass: 4 on the CPU, where larger batches lose time on fresh memory; 8 for a runtime; else 32."""
        if self.runtime is not None:
            return 8  # OpenVINO computes two halves concurrently
        return 4 if self.device.type == "cpu" else 32

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (B, 3, H, W) to embeddings (B, D), not normalised."""
        return self.head(self.backbone(pixels))  # (B, F) -> (B, D)

    @torch.inference_mode()
    def encode_image(
        self,
        images: Picture | Iterable[Picture],
        batch_size: int | None = None,
        *,
        normalize: bool = True,
    ) -> torch.Tensor:
        """Return the embeddings of images: (N, D), float32 on the CPU.

        Args:
            images: one image (N = 1) or N images, each a path or a Pillow image. They are read
                batch by batch, so neither many paths nor a generator of images fill the memory. The
                next batch of a sequence is decoded in a thread while the model embeds the current
                one; a generator is read only when a batch is due.
            batch_size: images in one pass (default: `default_batch_size`).
            normalize: whether each embedding is scaled to length 1, so that a dot product is the
                cosine similarity. Without it, lengths are the tower's own, about 4 with the mini pair.

        Raises:
            DataError: a file cannot be read, or an item is neither a path nor a Pillow image.
            ConfigError: `batch_size` is below 1.

        Example:
            >>> image = pecl.load_image_encoder("mini")
            >>> image.encode_image("dog.jpg").shape
            torch.Size([1, 256])
        """
        if batch_size is not None and batch_size < 1:
            raise ConfigError(f"expected at least 1, got {batch_size}", field="batch_size")

        size = batch_size or self.default_batch_size
        has_more = isinstance(images, Sequence) and len(images) > size
        embeddings = self._encode(as_pictures(images), size, is_ahead=has_more)
        return F.normalize(embeddings, dim=1) if normalize else embeddings

    @torch.inference_mode()
    def encode_ahead(
        self,
        pictures: Iterator[Image.Image],
        *,
        normalize: bool = False,
    ) -> torch.Tensor:
        """Return the embeddings (N, D), float32 on the CPU, of N pictures in RGB mode.

        Another thread reads the iterator, one batch ahead of the model. Errors of the iterator are raised unchanged.
        """
        embeddings = self._encode(pictures, self.default_batch_size, is_ahead=True)
        return F.normalize(embeddings, dim=1) if normalize else embeddings

    def _encode(
        self,
        pictures: Iterator[Image.Image],
        batch_size: int,
        *,
        is_ahead: bool,
    ) -> torch.Tensor:
        pixels = map(self.preprocess, pictures)  # (3, H, W) each
        lists = batches_ahead(pixels, batch_size) if is_ahead else batches(pixels, batch_size)
        embeddings = [self.encode_pixels(batch) for batch in lists]  # (B, D) each
        return torch.cat(embeddings) if embeddings else torch.empty(0, self.embedding_dim)  # (N, D)

    @torch.inference_mode()
    def encode_pixels(self, pixels: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the embeddings (B, D), float32 on the CPU, not normalised, of B preprocessed images (3, H, W)."""
        with threads_beside(self.runtime):
            stacked = torch.stack(list(pixels)).to(self.device, self.dtype)  # (B, 3, H, W)
            features = self._features(stacked)  # (B, F)
            return self.head(features).float().cpu()  # (B, D)

    def _features(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (B, 3, H, W) to features (B, F) of the weights' type."""
        if self.runtime is not None:
            return self.runtime(pixels)

        backbone = self._fast_backbone(pixels)
        dtype = next(backbone.parameters()).dtype
        return backbone(pixels.to(dtype)).to(self.dtype)

    @property
    def is_convolutional(self) -> bool:
        """Whether the backbone has batch norms, which `encode_pixels` folds into the convolutions before them."""
        return any(isinstance(module, nn.BatchNorm2d) for module in self.backbone.modules())

    def folded_backbone(self, pixels: torch.Tensor) -> nn.Module:
        """Return the backbone with its batch norms folded, see `folding`; other backbones as they are."""
        with torch.inference_mode(False), torch.no_grad():
            return folded(self.backbone, pixels[:1].clone()) if self.is_convolutional else self.backbone

    def _fast_backbone(self, pixels: torch.Tensor) -> nn.Module:
        """Return the backbone as it is run, made at the first call.

        In bfloat16 it is a copy of half the size. Patches (B, P, f + 3), whose numbers hold shapes, stay as they are.
        """
        if not self._fast:
            backbone = self.folded_backbone(pixels)
            if self.precision == BF16 and pixels.dim() == 4:
                backbone = with_rounded_filters(backbone).bfloat16()
            self._fast = (backbone,)
        return self._fast[0]

    def _apply(self, *args: Any, **options: Any) -> Any:
        """Move or convert the weights; the folded copy is made again, and a runtime has the weights of before."""
        self._fast = ()
        self.runtime = None
        return super()._apply(*args, **options)
