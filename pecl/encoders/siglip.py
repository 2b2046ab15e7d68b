"""SigLIP's attention for `families.SIGLIP`: transformers' class with further arguments."""

from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.siglip.modeling_siglip import SiglipAttention, eager_attention_forward


class Attention(SiglipAttention):
    """SigLIP's attention, with the layers of `plain`. Unlike transformers' class, it hands further arguments on."""

    def __init__(self, plain: SiglipAttention) -> None:
        nn.Module.__init__(self)
        vars(self).update(vars(plain))

    def forward(
        self,
        hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        *,
        asking: torch.Tensor | None = None,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, None]:
        """Attend from every position of (B, L, d), or from the positions `asking` (B, Q, d), to every position."""
        asking = hidden_states if asking is None else asking

        def by_head(states: torch.Tensor, layer: nn.Module) -> torch.Tensor:
            return layer(states).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)  # (B, h, L, d_head)

        attend = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention_forward)
        heads = (by_head(asking, self.q_proj), by_head(hidden_states, self.k_proj), by_head(hidden_states, self.v_proj))
        attended, _ = attend(self, *heads, attention_mask, scaling=self.scale, **kwargs)

        return self.out_proj(attended.flatten(-2)), None
