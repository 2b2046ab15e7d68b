"""Backends: the package that computes the layers of a tower, `torch` or `openvino`; `auto` takes the faster one.

A backend computes the same numbers up to rounding, so an index that was made with one is searched and updated with the
other. Tokenizers, word embeddings, adapters at the word embeddings and the head stay with PyTorch.
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from pecl.errors import ConfigError, install, unknown
from pecl.machine import AUTO, BF16, FP32, PRECISIONS, resolve_precision

if TYPE_CHECKING:
    from pecl.encoders.image import ImageEncoder
    from pecl.encoders.text import MultilingualTextEncoder

logger = logging.getLogger(__name__)

TORCH = "torch"
OPENVINO = "openvino"
BACKENDS = (AUTO, TORCH, OPENVINO)
AUTO_BACKEND = "PECL_BACKEND"  # environment variable: what `auto` stands for

# `auto` takes OpenVINO for at least so many items. A graph takes some seconds to convert, once per machine, and half a
# second to read. Per text or photograph it then saves one to five milliseconds.
TEXTS_THAT_PAY = 10_000
PICTURES_THAT_PAY = 500
# `auto` takes OpenVINO for layers of at most so many bytes: a graph holds them a second time, in memory and on disk
LARGEST = 2**30


class Choice(NamedTuple):
    """The backend of a tower, and the reason for it."""

    backend: str  # `torch` or `openvino`
    reason: str


def choose_backend(backend: str, device: str = "cpu", items: int | None = None, pays: int = 0) -> Choice:
    """Return the backend for a device and, if it is known, a number of items; `auto` needs at least `pays` of them.

    Raises:
        ConfigError: there is no such backend, or it is missing, or it does not compute on the device.
    """
    if backend == AUTO:
        backend = os.environ.get(AUTO_BACKEND) or AUTO
    if backend not in BACKENDS:
        raise ConfigError(unknown("backend", backend, BACKENDS))
    if backend == TORCH:
        return Choice(TORCH, "as asked for")

    is_installed = importlib.util.find_spec("openvino") is not None
    if backend == OPENVINO:
        if device != "cpu":
            raise ConfigError(f"expected torch or auto on the device {device}, got openvino", field="backend")
        if not is_installed:
            raise ConfigError(f"openvino needs the package openvino: {install('openvino')}", field="backend")
        return Choice(OPENVINO, "as asked for")

    if device != "cpu":
        return Choice(TORCH, f"the device is {device}")
    if not is_installed:
        return Choice(TORCH, f"openvino is not installed: {install('openvino')}")
    if items is not None and items < pays:
        return Choice(TORCH, f"{items} items take less time than a graph")
    return Choice(OPENVINO, "it is installed")


def check_backend(backend: str, device: str, precision: str = FP32) -> None:
    """Raise ConfigError unless `backend` is there, and computes on `device` in `precision`."""
    if precision not in PRECISIONS:
        raise ConfigError(unknown("precision", precision, PRECISIONS))

    choose_backend(backend, device)
    if backend == OPENVINO and precision == BF16:
        from pecl.backends.openvino import check_openvino_bfloat16

        check_openvino_bfloat16()


def set_backend(
    tower: MultilingualTextEncoder | ImageEncoder,
    backend: str = AUTO,
    precision: str = FP32,
    items: int | None = None,
) -> Choice:
    """Let `backend` compute the layers of a tower in `precision`, and return the choice that `auto` made.

    PyTorch also computes whatever needs gradients. Its weights stay float32 next to OpenVINO, which has its own.

    Args:
        tower: text or image tower without an adapter.
        backend: `torch`, `openvino` or `auto`.
        precision: `fp32`, `bf16` or `auto`, see `pecl.machine.resolve_precision`.
        items: number of texts or images to embed; None if it is not known.

    Raises:
        ConfigError: see `check_backend`; or OpenVINO was named and cannot compute the tower.
    """
    import torch  # takes seconds, as does all that needs it; commands read the names of backends at their start

    from pecl.encoders.bfloat16 import check_bfloat16
    from pecl.encoders.image import ImageEncoder

    device = str(tower.device)
    check_backend(backend, device, precision)
    choice = choose_backend(
        backend, device, items, PICTURES_THAT_PAY if isinstance(tower, ImageEncoder) else TEXTS_THAT_PAY
    )
    if choice.backend == OPENVINO and backend == AUTO:
        choice = _fitting(tower, choice)

    if choice.backend == OPENVINO:
        try:
            from pecl.backends.openvino import runtime_of

            tower.runtime = runtime_of(tower, precision, is_required=backend == OPENVINO)
        except ConfigError as error:
            if backend == OPENVINO:
                raise
            choice = Choice(TORCH, str(error))

    resolved = resolve_precision(precision, device)
    if tower.runtime is not None:
        resolved = tower.runtime.precision
    elif resolved == BF16 and tower.dtype == torch.float32:
        check_bfloat16(device)
        tower.use_bfloat16()

    logger.debug("%s: layers by %s in %s (%s)", tower.name, choice.backend, resolved, choice.reason)
    return choice


def _fitting(tower: MultilingualTextEncoder | ImageEncoder, choice: Choice) -> Choice:
    """Return the choice of OpenVINO, or of PyTorch for a tower of another type or with large layers."""
    import torch

    if tower.dtype != torch.float32:
        return Choice(TORCH, f"the weights are {tower.dtype}")

    words = getattr(tower.backbone, "get_input_embeddings", None)
    outside = {id(parameter) for parameter in words().parameters()} if words is not None else set()
    size = sum(weight.numel() * 4 for weight in tower.backbone.parameters() if id(weight) not in outside)
    if size > LARGEST:
        return Choice(TORCH, f"its layers take {size / 2**30:.1f} GiB, which a graph would hold a second time")
    return choice


def prepare(towers: Iterable[MultilingualTextEncoder]) -> None:
    """Compile the layers of text towers and of their adapters now, not at the first text; nothing to do for torch."""
    for tower in towers:
        runtime: Any = tower.runtime
        if runtime is not None:
            runtime.prepare(tower)
