"""Towers by name: `load_towers("paper")` for a pair, `load_text_encoder` and `load_image_encoder` for one tower.

`pairs.PAIRS` is the table of pairs. A pair's towers embed into one space. Either can be replaced by
another of the same width: a hub id, `id@revision` for one state of it, or a local folder. Results
hold that name and the SHA-256 of the weights.
"""

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from pecl.encoders.bfloat16 import check_bfloat16
from pecl.encoders.image import ImageEncoder
from pecl.encoders.memory import keep_freed_memory
from pecl.encoders.pairs import MINI, MINI_POOLED, PAIRS, warn_of_licence
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, WeightsError, setting, unknown
from pecl.machine import BF16, FP32, PRECISIONS, resolve_precision


class Towers:
    """A pair of towers, each loaded at its first use: a run on cached embeddings needs no image tower."""

    def __init__(
        self,
        load_text: Callable[[], MultilingualTextEncoder],
        load_image: Callable[[], ImageEncoder],
    ) -> None:
        self._load_text = load_text
        self._load_image = load_image

    def __repr__(self) -> str:
        text, image = (self.__dict__.get(name, "not loaded yet") for name in ("text", "image"))
        return f"{type(self).__name__}(\n  text={text},\n  image={image},\n)"

    @cached_property
    def text(self) -> MultilingualTextEncoder:
        """Text tower.

        Raises:
            WeightsError: its weights are missing, damaged or made for something else.
        """
        return self._load_text()

    @cached_property
    def image(self) -> ImageEncoder:
        """Image tower; it has the text tower's width.

        Raises:
            WeightsError: its weights are missing, damaged or made for something else, or the widths differ.
        """
        image = self._load_image()
        check_pair(self.text, image)
        return image

    def describe(self) -> dict[str, Any]:
        """Return the name and fingerprint of each tower for a result; None for one that was never loaded."""
        loaded = {name: self.__dict__.get(name) for name in ("text", "image")}
        return {
            name: tower and {"name": tower.name, "fingerprint": tower.fingerprint} for name, tower in loaded.items()
        }


def load_towers(
    profile: str,
    text_model: str | None = None,
    image_model: str | None = None,
    device: str | torch.device = "cpu",
    precision: str = FP32,
    dtype: torch.dtype = torch.float32,
    quick: bool = False,
) -> Towers:
    """Return the pair `profile`, with either tower replaced if another is named.

    Args:
        profile: a name in `PAIRS`.
        text_model: another text tower, see `load_text_encoder`.
        image_model: another image tower, see `load_image_encoder`.
        device: device of the weights.
        precision: how the text tower multiplies: fp32, bf16, or auto, which is bf16 where it is
            faster. Images, which are embedded once, are always embedded in `dtype`.
        dtype: type of the weights: float32, bfloat16 or float16.
        quick: see `load_text_encoder`.

    Raises:
        ConfigError: no such profile, device or precision. Errors of loading are raised at the first
            use of a tower.
    """
    if profile not in PAIRS:
        raise ConfigError(unknown("profile", profile, PAIRS))
    if precision not in PRECISIONS:
        raise ConfigError(unknown("precision", precision, PRECISIONS))

    check_device(device)
    pair = PAIRS[profile]
    in_bfloat16 = resolve_precision(precision, str(device)) == BF16
    if in_bfloat16:
        check_bfloat16(device)

    def load_text() -> MultilingualTextEncoder:
        tower = load_text_encoder(text_model or pair.text, device=device, dtype=dtype, quick=quick)
        if in_bfloat16:
            tower.use_bfloat16()
        return tower

    return Towers(load_text, lambda: load_image_encoder(image_model or pair.image, device=device, dtype=dtype))


def check_device(device: str | torch.device) -> None:
    """Raise ConfigError with the available devices unless tensors can be made and read on `device`."""
    try:
        torch.zeros(1, device=device).tolist()  # tensors of the device "meta" hold nothing
    except (RuntimeError, AssertionError) as error:  # the latter where torch was built without the device
        devices = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        raise ConfigError(
            f"expected an available one, such as {', '.join(devices)}, got {device!s}", field="device"
        ) from error


# Readers of weights are imported when used: mini needs none of the hub's machinery, the others none
# of mini's.
def load_text_encoder(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    max_length: int | None = None,
    pooling: str | None = None,
    quick: bool = False,
) -> MultilingualTextEncoder:
    """Load a text tower in PyTorch. `pecl.load_text_encoder` documents arguments and errors."""
    check_device(device)
    keep_freed_memory()

    name = PAIRS[str(name_or_path)].text if str(name_or_path) in PAIRS else name_or_path
    if name in (MINI, MINI_POOLED):
        if max_length is not None or pooling is not None:
            raise ConfigError(f"max_length, pooling: expected neither with {name}, whose settings are fixed")
        from pecl.encoders.loading.mini import HEADS, load_mini_text

        return load_mini_text(heads=HEADS if name == MINI else None, device=device, dtype=dtype, quick=quick)

    from pecl.encoders.loading.text import load_text_checkpoint

    warn_of_licence(str(name))
    return load_text_checkpoint(name, device=device, dtype=dtype, max_length=max_length, pooling=pooling)


def load_image_encoder(
    name_or_path: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageEncoder:
    """Load an image tower in PyTorch. `pecl.load_image_encoder` documents arguments and errors."""
    check_device(device)
    keep_freed_memory()

    name = PAIRS[str(name_or_path)].image if str(name_or_path) in PAIRS else name_or_path
    if name == MINI:
        from pecl.encoders.loading.mini import load_mini_image

        return load_mini_image(device=device, dtype=dtype)

    from pecl.encoders.loading.image import load_image_checkpoint

    warn_of_licence(str(name))
    return load_image_checkpoint(name, device=device, dtype=dtype)


def check_pair(text: MultilingualTextEncoder, image: ImageEncoder) -> None:
    """Raise WeightsError with both towers and widths unless they embed into spaces of one width."""
    if text.embedding_dim != image.embedding_dim:
        raise WeightsError(
            f"text tower {text.name} embeds into {text.embedding_dim} dimensions and image tower {image.name} into "
            f"{image.embedding_dim}: choose a {setting('text_model')} and an {setting('image_model')} of one width, or "
            "a profile for both"
        )
