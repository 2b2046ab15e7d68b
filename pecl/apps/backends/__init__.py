"""Backends: the package that computes the layers of a tower, `torch` or `openvino`.

A backend computes the same numbers up to rounding, so an index that was made with one is searched and updated with the
other. Tokenizers, word embeddings, adapters at the word embeddings and the head stay with PyTorch.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pecl.errors import ConfigError, install, unknown
from pecl.machine import BF16, FP32, resolve_precision

if TYPE_CHECKING:
    from pecl.encoders.image import ImageEncoder
    from pecl.encoders.text import MultilingualTextEncoder
    from pecl.encoders.towers import Towers

TORCH, OPENVINO = BACKENDS = ("torch", "openvino")


def check_backend(backend: str, device: str, precision: str = FP32) -> None:
    """Raise ConfigError unless `backend` is there, and computes on `device` in `precision`."""
    if backend not in BACKENDS:
        raise ConfigError(unknown("backend", backend, BACKENDS))
    if backend == TORCH:
        return
    if device != "cpu":
        raise ConfigError(f"--backend openvino: expected the device cpu, got {device}: leave --backend out")
    if importlib.util.find_spec("openvino") is None:
        raise ConfigError(f"--backend openvino needs the package openvino: {install('openvino')}")
    if resolve_precision(precision, device) == BF16:
        from pecl.apps.backends.openvino import check_openvino_bfloat16

        check_openvino_bfloat16()


def set_backend(tower: MultilingualTextEncoder | ImageEncoder, backend: str, precision: str = FP32) -> None:
    """Let `backend` compute the layers of a tower in `precision`; with torch the tower stays as it is.

    Raises:
        ConfigError: see `check_backend`; or the tower's weights are not float32.
    """
    check_backend(backend, str(tower.device), precision)
    if backend == OPENVINO:
        from pecl.apps.backends.openvino import runtime_of

        tower.runtime = runtime_of(tower, resolve_precision(precision, "cpu"))


def load_towers_on(backend: str, profile: str, precision: str = FP32, **options: Any) -> Towers:
    """Return a pair of towers whose layers `backend` computes; for other arguments and errors see `load_towers`."""
    from pecl.encoders.towers import Towers, load_towers

    check_backend(backend, str(options.get("device", "cpu")), precision)
    if backend == TORCH:
        return load_towers(profile=profile, precision=precision, **options)
    plain = load_towers(profile=profile, **options)

    def load_text() -> MultilingualTextEncoder:
        set_backend(plain.text, backend, precision)
        return plain.text

    def load_image() -> ImageEncoder:
        set_backend(plain.image, backend)
        return plain.image

    return Towers(load_text, load_image)


def prepare(towers: Iterable[MultilingualTextEncoder]) -> None:
    """Compile the layers of text towers and of their adapters now, not at the first text; nothing to do for torch."""
    for tower in towers:
        runtime: Any = tower.runtime
        if runtime is not None:
            runtime.graph(tower)
