"""OpenVINO's graphs: how the layers of a tower become one, and their cache.

The graph of a text tower maps word embeddings to pooled vectors. An adapter's parameters are inputs of the graph, so
one graph serves all languages whose adapters have the same spec. A batch in several languages needs a second graph, in
which each row takes its own parameters. A graph is cached in OpenVINO's own format, which does not depend on the
processor.
"""

from __future__ import annotations

import logging
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn

from pecl.adapters.adapter import Adapter
from pecl.adapters.gathered_rows import GatheredRows, replaced_rows
from pecl.adapters.slots import SlotRows
from pecl.encoders.folding import with_rounded_filters
from pecl.encoders.image import ImageEncoder
from pecl.encoders.passes.padded import encode_padded
from pecl.encoders.pooling import POOLINGS
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, OutputError, one_line
from pecl.files import default_cache_dir, load_json, locked, new_folder, sha256_file, sha256_json, write_json
from pecl.machine import BF16

logger = logging.getLogger(__name__)

FORMAT = 4  # increased when the graphs change
GRAPH = "graph.xml"
WEIGHTS = "graph.bin"
DIGESTS = "digests.json"

Convert = Callable[[], Any]  # -> openvino.Model


@cache
def openvino() -> Any:
    """Return the package. Its reports of usage, which it sends by default, stay off."""
    modules: dict[str, Any] = sys.modules
    modules.setdefault("openvino_telemetry", None)  # then it finds no package that sends them
    import openvino

    return openvino


@cache
def core() -> Any:
    """Return OpenVINO's core, which reads and compiles graphs."""
    return openvino().Core()


def slot_parameters(adapter: Adapter) -> dict[str, torch.Tensor]:
    """Return what the slots hold within the layers, (S, ...) by name: the rest is computed by PyTorch."""
    tower = adapter.tower
    outside = {*tower.backbone.get_input_embeddings().modules(), *tower.head.modules()}
    return {
        f"{path}.{name}": tensor
        for path, module, _ in adapter.modules
        if module not in outside
        for name, tensor in module.slot_tensors().items()
    }


class _TextLayers(nn.Module):
    """A text tower from word embeddings to the pooled vectors."""

    def __init__(self, tower: MultilingualTextEncoder) -> None:
        super().__init__()
        self.backbone = tower.backbone
        self.pooling = POOLINGS[tower.pooling]
        self.only_last = tower.reads_last

    def forward(self, words: torch.Tensor, mask: torch.Tensor, pooling_mask: torch.Tensor) -> torch.Tensor:
        """Map (B, L, d), (B, L) and (B, L) to (B, d)."""
        hidden = encode_padded(self.backbone, words, mask, True, self.only_last)
        return self.pooling(hidden, pooling_mask[:, -1:] if self.only_last else pooling_mask)


class _AdaptedLayers(nn.Module):
    """The same with the parameters of an adapter as inputs; `names` are theirs in the tower."""

    def __init__(self, layers: _TextLayers, names: Sequence[str]) -> None:
        super().__init__()
        self.layers = layers
        self.names = names

    def forward(
        self,
        words: torch.Tensor,
        mask: torch.Tensor,
        pooling_mask: torch.Tensor,
        parameters: list[torch.Tensor],
    ) -> torch.Tensor:
        """Map (B, L, d), (B, L), (B, L) and tensors (1, ...) of one slot to (B, d)."""
        state = dict(zip(self.names, parameters, strict=True))
        return torch.func.functional_call(self.layers, state, (words, mask, pooling_mask))


class _MixedLayers(nn.Module):
    """The same for rows of several slots."""

    def __init__(self, adapted: _AdaptedLayers, rows: GatheredRows) -> None:
        super().__init__()
        self.adapted = adapted
        self.rows = rows

    def forward(
        self,
        words: torch.Tensor,
        mask: torch.Tensor,
        pooling_mask: torch.Tensor,
        slots: torch.Tensor,
        parameters: list[torch.Tensor],
    ) -> torch.Tensor:
        """Map (B, L, d), (B, L), (B, L), (B,) and tensors (U, ...) of the used slots to (B, d)."""
        self.rows.choose(slots)
        return self.adapted(words, mask, pooling_mask, parameters)


def convert_text(tower: MultilingualTextEncoder, is_mixed: bool, label: str) -> Any:
    """Return the graph of a text tower with its adapter; rows have one slot each if `is_mixed`."""
    rows = torch.export.Dim("rows")
    length = torch.export.Dim("length")
    words = torch.zeros(2, 16, tower.backbone.config.hidden_size)
    mask = torch.ones(2, 16, dtype=torch.int64)
    inputs: list[Any] = [words, mask, mask]
    shapes: list[Any] = [{0: rows, 1: length}] * 3
    layers = _TextLayers(tower).eval()
    adapter: Any = tower.adapter
    if adapter is None:
        return _convert(layers, inputs, shapes, label)

    parameters = slot_parameters(adapter)
    adapted = _AdaptedLayers(layers, list(parameters)).eval()
    examples = [tensor.detach()[:1].clone() for tensor in parameters.values()]
    if not is_mixed:
        with replaced_rows(adapter, SlotRows(1)):
            return _convert(adapted, [*inputs, examples], [*shapes, [{}] * len(examples)], label)

    gathered = GatheredRows(adapter.num_slots)
    used = torch.export.Dim("used")
    inputs += [torch.tensor([0, 1]), [example.expand(2, *example.shape[1:]).clone() for example in examples]]
    shapes += [{0: rows}, [{0: used}] * len(examples)]
    with replaced_rows(adapter, gathered):
        return _convert(_MixedLayers(adapted, gathered).eval(), inputs, shapes, label)


def convert_image(tower: ImageEncoder, precision: str, label: str) -> Any:
    """Return the graph of an image tower's backbone."""
    from PIL import Image

    pixels = torch.stack([tower.preprocess(Image.new("RGB", (32, 32)))] * 2)  # (2, 3, H, W)
    backbone = tower.backbone
    if precision == BF16 and tower.is_convolutional:
        rounded: Any = with_rounded_filters(tower.folded_backbone(pixels))
        backbone = rounded.to(memory_format=torch.contiguous_format)  # the layout that OpenVINO reads
    return _convert(backbone, [pixels], [{0: torch.export.Dim("pictures")}], label)


def _convert(module: nn.Module, inputs: Sequence[Any], shapes: Sequence[Any], label: str) -> Any:
    """Return a module as OpenVINO's model; raise ConfigError if there is no form of it."""
    with warnings.catch_warnings(), torch.inference_mode(False), torch.no_grad():
        warnings.simplefilter("ignore")
        try:
            exported = torch.export.export(module, tuple(inputs), dynamic_shapes=tuple(shapes))
            return openvino().convert_model(exported)
        except Exception as error:  # whatever torch and OpenVINO raise for what they lack
            reason = one_line(error)[:200]
            raise ConfigError(f"openvino cannot compute {label}: expected torch ({reason})", field="backend") from error


def cached_graph(identity: Mapping[str, Any], convert: Convert, label: str) -> Any:
    """Return the graph of an identity from the cache; convert it, and add it, if it is not there."""
    key = sha256_json({**identity, "format": FORMAT})
    folder = default_cache_dir() / "openvino" / key[:16]

    if not _is_sound(folder):
        busy = f"another process is converting {label} for OpenVINO"
        try:
            with locked(folder.with_suffix(".lock"), busy, wait=True):
                if not _is_sound(folder):  # another process may have written it meanwhile
                    logger.info("converting %s for OpenVINO (first start only)", label)
                    _write(folder, convert())
        except OutputError as error:
            logger.warning("%s; %s is converted at every start", error, label)
            return convert()

    return core().read_model(folder / GRAPH)


def _write(folder: Path, model: Any) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # a damaged one
    with new_folder(folder) as temporary:
        openvino().save_model(model, temporary / GRAPH, compress_to_fp16=False)
        digests = {name: sha256_file(temporary / name) for name in (GRAPH, WEIGHTS)}
        write_json(temporary / DIGESTS, digests)


def _is_sound(folder: Path) -> bool:
    """Return whether a graph is there, and is what was written."""
    if not folder.exists():
        return False
    try:
        digests = load_json(folder / DIGESTS)
        is_sound = all(sha256_file(folder / name) == digests[name] for name in (GRAPH, WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError):
        is_sound = False
    if not is_sound:
        logger.warning("dropping a damaged graph in %s", folder)
    return is_sound
