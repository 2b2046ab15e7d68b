"""OpenVINO computes the layers of a tower: the runtimes that call its graphs.

A graph is converted at its first use, see `openvino_graphs`. All threads compute a single query. The rows of a batch
are divided between `STREAMS` requests that run concurrently, because threads that share no layer wait for each other
less often.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch

from pecl.adapters.adapter import Adapter
from pecl.adapters.foreign import ForeignAdapter
from pecl.adapters.spec import describe
from pecl.backends.openvino_graphs import (
    Convert,
    cached_graph,
    convert_image,
    convert_text,
    core,
    openvino,
    slot_parameters,
)
from pecl.encoders.image import ImageEncoder
from pecl.encoders.passes.inputs import PassInputs
from pecl.encoders.runtime import Runtime
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, not_none
from pecl.machine import AUTO, AUTO_PRECISION, BF16, FP32

logger = logging.getLogger(__name__)

STREAMS = 2  # concurrent requests
# the least number of texts or photographs in a batch that is divided: fewer do not pay for a second compilation
DIVIDED_TEXTS = 8
DIVIDED_PICTURES = 4
_HINTS = {"fp32": "f32", BF16: "bf16"}


def runtime_of(tower: MultilingualTextEncoder | ImageEncoder, precision: str, is_required: bool = True) -> Runtime:
    """Return the runtime of a tower.

    Args:
        tower: text or image tower.
        precision: fp32, bf16, or auto, which is bf16 where OpenVINO multiplies it.
        is_required: raise ConfigError for an adapter without a form in OpenVINO, rather than leave it to PyTorch.

    Raises:
        ConfigError: the tower's weights are not float32, or OpenVINO has no form of an image tower.
    """
    if precision == AUTO:
        precision = os.environ.get(AUTO_PRECISION) or (BF16 if multiplies_bfloat16() else FP32)

    for dtype in {parameter.dtype for parameter in tower.parameters()} - {torch.float32}:
        raise ConfigError(f"expected torch for weights of {dtype}, got openvino", field="backend")
    if isinstance(tower, MultilingualTextEncoder):
        return TextRuntime(precision, is_required)
    return ImageRuntime(tower, precision)


def multiplies_bfloat16() -> bool:
    """Return whether OpenVINO multiplies in bf16 on this processor."""
    return "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def check_openvino_bfloat16() -> None:
    """Raise ConfigError if OpenVINO does not multiply in bf16 here: it would compute in fp32 without a word."""
    if not multiplies_bfloat16():
        raise ConfigError("expected fp32 with the backend openvino on this processor, got bf16", field="precision")


class _Runtime:
    """What the runtimes share: name, precision, and the compilation of graphs."""

    def __init__(self, precision: str) -> None:
        self.name = f"openvino {openvino().__version__.partition('-')[0]}"
        self.precision = precision
        self._threads = torch.get_num_threads()

    def __reduce__(self) -> tuple[Any, tuple[()]]:
        """Copy or pickle as None: PyTorch computes a copied tower, whose weights may change."""
        return type(None), ()

    def graph(self, identity: Mapping[str, Any], convert: Convert, label: str) -> _Graph:
        """Return a graph, compiled for this processor, the number of threads and the precision."""
        model = cached_graph({**identity, "openvino": self.name}, convert, label)
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[self.precision],
            "INFERENCE_NUM_THREADS": self._threads,
            "ENABLE_CPU_PINNING": False,  # other processes have a right to the first cores, too
        }
        return _Graph(model, settings)


class _Graph:
    """A graph, compiled for single queries, and at its first batch also for batches. Threads take turns."""

    def __init__(self, model: Any, settings: Mapping[str, Any]) -> None:
        self._model = model
        self._settings = settings
        single = core().compile_model(model, "CPU", {**settings, "PERFORMANCE_HINT": "LATENCY"})
        self._request = single.create_infer_request()
        self._inputs: dict[int, torch.Tensor] = {}  # held, since the request reads their memory
        self._lock = threading.Lock()

    def __call__(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the only output. The inputs are read where they are, without a copy."""
        with self._lock:
            for index, tensor in enumerate(tensors):
                earlier = self._inputs.get(index)
                if earlier is not None and earlier.data_ptr() == tensor.data_ptr() and earlier.shape == tensor.shape:
                    continue  # an adapter's parameters stay where they are from one query to the next

                self._inputs[index] = tensor
                self._request.set_input_tensor(index, _shared(tensor))

            self._request.infer()
            return torch.from_numpy(self._request.get_output_tensor().data.copy())

    def concurrently(self, batches: Sequence[Sequence[torch.Tensor]]) -> list[torch.Tensor]:
        """Return the only output for each batch of inputs."""
        outputs: list[torch.Tensor] = [torch.empty(0)] * len(batches)

        def keep(request: Any, index: int) -> None:
            outputs[index] = torch.from_numpy(request.get_output_tensor().data.copy())

        with self._lock:
            self._queue.set_callback(keep)
            for index, tensors in enumerate(batches):
                self._queue.start_async(dict(enumerate(map(_shared, tensors))), index, share_inputs=True)
            self._queue.wait_all()
        return outputs

    @cached_property
    def _queue(self) -> Any:
        """The requests for batches, compiled at the first use."""
        settings = {**self._settings, "PERFORMANCE_HINT": "THROUGHPUT", "NUM_STREAMS": STREAMS}
        if self._settings["INFERENCE_PRECISION_HINT"] == _HINTS[BF16]:
            # attention in its parts: in bf16 they are faster than the fused form for batches, not for single queries
            settings["SNIPPETS_MODE"] = "DISABLE"
        return openvino().AsyncInferQueue(core().compile_model(self._model, "CPU", settings), STREAMS)


def _shared(tensor: torch.Tensor) -> Any:
    """Return a tensor as OpenVINO's, in the same memory."""
    return openvino().Tensor(tensor.detach().numpy(), shared_memory=True)


class TextRuntime(_Runtime):
    """The pass of a text tower, with any of pecl's own adapters."""

    def __init__(self, precision: str, is_required: bool) -> None:
        super().__init__(precision)
        self._is_required = is_required
        self._graphs: dict[_Form, _Graph | None] = {}  # None: left to PyTorch
        self._weights = _Weights()

    def __call__(self, tower: Any, inputs: PassInputs) -> torch.Tensor:
        """Return the pooled vectors (B, d)."""
        adapter: Adapter | None = tower.adapter
        mask = inputs.attention_mask  # (B, L)
        extended = None if adapter is None else adapter.extend_inputs(inputs.input_ids, mask)
        if extended is None:
            words = tower.backbone.get_input_embeddings()(inputs.input_ids)  # (B, L, d)
            of_rows = (words, mask, mask)
        else:
            of_rows = extended

        of_rows = list(of_rows)
        parameters = [] if adapter is None else list(slot_parameters(adapter).values())  # (S, ...) each
        slots = None if adapter is None else adapter.rows.index
        if slots is not None:
            used, slots = slots.unique(return_inverse=True)  # (U,), (B,)
            of_rows.append(slots)
            parameters = [tensor.index_select(0, used) for tensor in parameters]
        elif adapter is not None:
            single = adapter.rows.single
            parameters = [tensor[single : single + 1] for tensor in parameters]

        graph = not_none(self._graphs[_form_of(tower)], "the graph")
        if len(mask) < DIVIDED_TEXTS:
            return graph([*of_rows, *parameters])
        parts = zip(*(tensor.tensor_split(STREAMS) for tensor in of_rows), strict=True)
        return torch.cat(graph.concurrently([[*part, *parameters] for part in parts]))

    def computes(self, tower: Any) -> bool:
        """Compile the graph of the tower's next pass, which takes half a second to a minute at the first call.

        Return whether there is one, and the frozen weights are those that it has.

        Raises:
            ConfigError: OpenVINO is required, and has no form of the tower or of its adapter.
        """
        form = _form_of(tower)
        if form not in self._graphs:
            self._graphs[form] = self._compiled(tower, form)
        return self._graphs[form] is not None and self._weights.are_unchanged(tower)

    def prepare(self, tower: Any) -> None:
        """Compile the graphs of a tower and its adapter now; raise ConfigError as `computes` does."""
        adapter = tower.adapter
        forms = [_Form(_spec_of(tower), is_mixed=False)]
        if isinstance(adapter, Adapter) and adapter.num_slots > 1:
            forms.append(_Form(_spec_of(tower), is_mixed=True))
        for form in forms:
            if form not in self._graphs:
                self._graphs[form] = self._compiled(tower, form)

    def _compiled(self, tower: Any, form: _Form) -> _Graph | None:
        label = f"the text tower {tower.name}"
        if form.spec:
            label += f" with {form.spec}"

        identity = {"tower": tower.fingerprint, "adapter": form.spec, "mixed": form.is_mixed}
        try:
            if isinstance(tower.adapter, ForeignAdapter):
                raise ConfigError(
                    f"expected torch for an adapter of another engine, got openvino for {form.spec}", field="backend"
                )
            return self.graph(identity, lambda: convert_text(tower, form.is_mixed, label), label)
        except ConfigError as error:
            if self._is_required:
                raise
            logger.info("PyTorch computes %s: %s", label, error)
            return None


class ImageRuntime(_Runtime):
    """The backbone of an image tower, converted when it is made."""

    def __init__(self, tower: ImageEncoder, precision: str) -> None:
        super().__init__(precision)
        label = f"the image tower {tower.name}"
        identity = {"tower": tower.fingerprint, "precision": precision}
        self._graph = self.graph(identity, lambda: convert_image(tower, precision, label), label)

    def computes(self, tower: Any) -> bool:
        """Return True: there is one graph."""
        return True

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (B, 3, H, W) to features (B, F)."""
        if len(pixels) < DIVIDED_PICTURES:
            return self._graph([pixels])
        return torch.cat(self._graph.concurrently([[part] for part in pixels.tensor_split(STREAMS)]))


class _Form(NamedTuple):
    """What a graph of a text tower computes."""

    spec: str  # of the adapter, or an empty text
    is_mixed: bool  # whether the rows have several slots


def _spec_of(tower: Any) -> str:
    return "" if tower.adapter is None else describe(tower.adapter.configs)


def _form_of(tower: Any) -> _Form:
    """Return the form of the next pass: of the adapter, and of the slots that are selected."""
    adapter = tower.adapter
    return _Form(_spec_of(tower), isinstance(adapter, Adapter) and adapter.rows.index is not None)


class _Weights:
    """The frozen weights of a text tower and of its views, which share them.

    Graphs have a copy. PyTorch counts the changes of a tensor in place, such as those of an optimizer.
    """

    def __init__(self) -> None:
        self._counted: list[torch.Tensor] = []
        self._count = 0

    def are_unchanged(self, tower: Any) -> bool:
        """Return whether no weight of the first tower that was asked for has changed since then."""
        if not self._counted:
            adapter = tower.adapter
            trained = set() if adapter is None else {id(parameter) for parameter in adapter.parameters()}
            frozen = (weight for weight in tower.backbone.parameters() if id(weight) not in trained)
            self._counted = [weight for weight in frozen if not weight.is_inference()]
            self._count = self._changes()
        return self._changes() == self._count

    def _changes(self) -> int:
        return sum(weight._version for weight in self._counted)
