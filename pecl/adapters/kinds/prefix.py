"""Prefix tuning on slots: in every layer, P trained keys and values that all tokens attend to.

Li and Liang, "Prefix-Tuning: Optimizing Continuous Prompts for Generation", ACL 2021, without their reparametrisation
(as in Liu et al., "P-Tuning v2", ACL 2022). The prefix takes no position, so tokens keep theirs. It is added in
the attention function: in a cache of keys and values it would shift the positions.
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from pecl.adapters.kind import AdapterConfig, Placement, layers_option
from pecl.adapters.slots import SlotModule, SlotRows, normal
from pecl.encoders.attention import ATTENTION_WITH_PREFIX
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.options import option


@dataclass(frozen=True)
class PrefixConfig(AdapterConfig):
    """Trained keys and values in every layer."""

    kind: ClassVar[str] = "prefix"
    num_virtual_tokens: int = option(4, "number P of keys and values in each layer", low=1)
    layers: str | None = layers_option()

    def placements(self, tower: MultilingualTextEncoder) -> list[Placement]:
        """Return a prefix for each layer's self-attention."""
        return self.at_roles(tower, ("self_attention",), lambda base, rows: SlotPrefix(base, rows, self))


class SlotPrefix(SlotModule):
    """A self-attention layer with S prefixes: prefix (S, 2, h, P, d_head), keys and values."""

    needs_rows = True
    cannot_merge = "the keys and values of a prefix are part of every attention layer"

    def __init__(self, base: Any, rows: SlotRows, config: PrefixConfig) -> None:
        super().__init__(base, rows)
        implementation = base.config._attn_implementation
        if implementation not in ("sdpa", "eager"):  # others, such as flash attention, take other masks
            raise ConfigError(f"prefix: expected the attention implementation sdpa or eager, got {implementation!r}")
        heads = base.config.num_attention_heads
        d_head = base.config.hidden_size // heads
        self.prefix = self.slot_parameter(2, heads, config.num_virtual_tokens, d_head, like=next(base.parameters()))
        # Only the layer gets another config; the masks are still made with the backbone's own.
        self.plain_config = base.config
        base.config = copy.copy(base.config)
        base.config._attn_implementation = ATTENTION_WITH_PREFIX

    def restore(self) -> None:
        """Give the layer its own config back."""
        self.base.config = self.plain_config

    def reset_slot(self, slot: int, generator: torch.Generator) -> None:
        """Draw from N(0, 0.02^2)."""
        self.prefix.data[slot] = normal(self.prefix.shape[1:], 0.02, generator)

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> tuple[torch.Tensor, None]:
        """Attend with the prefix of each row's slot: (B, L, d) to (B, L, d)."""
        rows = hidden_states.shape[0]  # `len` would fix it in an exported graph
        prefix = self.rows.take(self.prefix).expand(rows, -1, -1, -1, -1)  # (B, 2, h, P, d_head)
        return self.base(hidden_states, *args, prefix=prefix, **kwargs)
