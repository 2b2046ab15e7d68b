"""The engine opendelta: OpenDelta's classes behind the interface that training uses. `config.ENGINES` names it.

OpenDelta knows one adapter at a time, so its engine has one slot. Parameters are written under pecl's names: an
adapter file does not tell which engine trained it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import torch

from pecl.adapters.adapter import check_finite, set_trainable
from pecl.adapters.formats.opendelta import from_opendelta_state_dict
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.kinds.layer_norm import LayerNormConfig
from pecl.adapters.opendelta.adapter import KINDS, attach_opendelta
from pecl.adapters.spec import describe
from pecl.encoders.row_adapter import PromptedInputs
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.machine import FP32
from pecl.options import format_option


class OpenDeltaAdapter:
    """An adapter of OpenDelta, with the methods of `Adapter` that training and evaluation use; one slot."""

    num_slots = 1
    works_on_tokens = False  # OpenDelta's modules see batches as the released code gives them
    first_layer = 0  # OpenDelta does not say where its modules are

    def __init__(self, tower: MultilingualTextEncoder, configs: tuple[AdapterConfig, ...], seed: int) -> None:
        kind, options, layer_norms = _opendelta_options(configs)
        if tower.precision != FP32:
            raise ConfigError(f"engine opendelta: expected the precision fp32, got {tower.precision}")
        _ = tower.fingerprint  # taken while the tower is plain
        self.tower, self.configs = tower, configs
        self.opendelta = attach_opendelta(tower.backbone, kind, seed=seed, layer_norms=layer_norms, **options)
        # Parameters have OpenDelta's names, and no slot dimension
        self.named_parameters, self.parameters = self.opendelta.named_parameters, self.opendelta.parameters
        self.num_parameters = self.opendelta.num_parameters
        set_trainable(tower, self.parameters())  # OpenDelta knows only the backbone; this freezes the head as well
        tower.adapter = self

    def learning_rate_scales(self) -> dict[str, float]:
        """Return 1 for each parameter."""
        return {name: 1.0 for name, _ in self.named_parameters()}

    def slot_state(self, slot: int) -> dict[str, torch.Tensor]:
        """Return a copy of the parameters, under OpenDelta's names."""
        return self.opendelta.state_dict()

    def load_slot_state(self, slot: int, state: Mapping[str, torch.Tensor]) -> None:
        """Put back parameters that `slot_state` returned; raise WeightsError for other names, shapes or NaN."""
        check_finite(state)
        self.opendelta.load_state_dict(state)

    def file_state(self, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Return a state under the names of pecl's adapter files."""
        return from_opendelta_state_dict(state)[1]

    def select(self, slots: torch.Tensor | None, rows: int) -> None:
        """See `RowAdapter`; every row uses the one slot."""

    def pack(self, lengths: torch.Tensor | None) -> None:
        """See `RowAdapter`; never called, since `works_on_tokens` is false."""

    def extend_inputs(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> PromptedInputs | None:
        """See `RowAdapter`; OpenDelta's prompt lengthens sequence and mask within the backbone."""
        return None

    def remove(self) -> None:
        """Take the adapter off the tower."""
        self.opendelta.detach()
        self.tower.adapter = None


def _opendelta_options(configs: tuple[AdapterConfig, ...]) -> tuple[str, dict[str, Any], bool]:
    """Return the kind, options and "also LayerNorms" of an adapter, or raise ConfigError for what OpenDelta lacks."""
    adapters = [config for config in configs if not isinstance(config, LayerNormConfig)]
    if len(adapters) != 1 or adapters[0].kind not in KINDS:
        kinds = "+".join(config.kind for config in adapters) or "layernorm"
        raise ConfigError(f"engine opendelta: expected one of {', '.join(KINDS)}, got {kinds}")
    (adapter,) = adapters
    known = {*KINDS[adapter.kind].options, "target_modules"}
    options = {}
    for item in fields(adapter):
        value = getattr(adapter, item.name)
        if item.name in known and value is not None:
            options[item.name] = value
        elif item.name not in known and value != item.default:
            expected, got = format_option(item.default), format_option(value)
            raise ConfigError(f"engine opendelta: {adapter.kind}: expected {item.name}={expected}, got {got}")
    if (norms := [config for config in configs if config is not adapter]) and norms != [LayerNormConfig()]:
        raise ConfigError(f"engine opendelta: expected layernorm as it is, got {describe(norms)}")
    return adapter.kind, options, len(adapters) < len(configs)


def attach_with_opendelta(
    tower: MultilingualTextEncoder, configs: Sequence[AdapterConfig], seeds: Sequence[int]
) -> OpenDeltaAdapter:
    """Put an adapter of OpenDelta on `tower`, as `attach` does; raise ConfigError for what OpenDelta lacks."""
    if len(seeds) != 1:
        raise ConfigError(f"fleet: expected 1 with engine opendelta, got {len(seeds)}; or use engine pecl")
    return OpenDeltaAdapter(tower, tuple(configs), seeds[0])
