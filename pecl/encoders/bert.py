"""A BERT encoder without transformers, whose models take seconds to import: the backbone of the mini profile.

Modules and parameters have the names of transformers' `BertModel`, and the arithmetic is the same
to the last bit. `in_transformers` converts the encoder to that class, for programs that need it.
"""

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from pecl.encoders.attention import ATTENTIONS


@dataclass
class BertSettings:
    """The shape of an encoder; the fields have the names of transformers' `BertConfig`."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    pad_token_id: int = 0
    model_type: str = "bert"

    def __post_init__(self) -> None:
        self._attn_implementation = "sdpa"  # a name in `ATTENTIONS`


class Bert(nn.Module):
    """The encoder: `embeddings`, and the layers in `encoder.layer`; `families.BERT` defines the pass."""

    def __init__(self, config: BertSettings) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))

    def get_input_embeddings(self) -> nn.Module:
        """Return the word embeddings."""
        return self.embeddings.word_embeddings

    def set_input_embeddings(self, words: nn.Module) -> None:
        """Replace the word embeddings."""
        self.embeddings.word_embeddings = words


def _embedding(count: int, width: int, **kwargs: Any) -> nn.Embedding:
    """Return an embedding without initial values. On the meta device, PyTorch's own import its compiler: seconds."""
    return nn.Embedding(count, width, _weight=torch.empty(count, width), **kwargs)


class _Embeddings(nn.Module):
    def __init__(self, config: BertSettings) -> None:
        super().__init__()
        width = config.hidden_size
        self.word_embeddings: nn.Module = _embedding(config.vocab_size, width, padding_idx=config.pad_token_id)
        self.position_embeddings = _embedding(config.max_position_embeddings, width)
        self.token_type_embeddings = _embedding(config.type_vocab_size, width)
        self.LayerNorm = nn.LayerNorm(width, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(
        self,
        input_ids: torch.Tensor | None,
        position_ids: torch.Tensor,
        inputs_embeds: torch.Tensor | None,
    ) -> torch.Tensor:
        words = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds  # (B, L, d)
        types = torch.zeros(words.shape[:-1], dtype=torch.long, device=words.device)
        states = words + self.token_type_embeddings(types) + self.position_embeddings(position_ids)
        return self.dropout(self.LayerNorm(states))


class _SelfAttention(nn.Module):
    def __init__(self, config: BertSettings) -> None:
        super().__init__()
        self.config = config
        self.head_width = config.hidden_size // config.num_attention_heads
        self.query, self.key, self.value = (nn.Linear(config.hidden_size, config.hidden_size) for _ in range(3))
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(
        self, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any
    ) -> tuple[torch.Tensor, None]:
        by_head = (*hidden.shape[:-1], -1, self.head_width)
        heads = [layer(hidden).view(by_head).transpose(1, 2) for layer in (self.query, self.key, self.value)]

        attended, _ = ATTENTIONS[self.config._attn_implementation](
            self,
            *heads,  # (B, h, L, d_head) each
            attention_mask,
            dropout=self.dropout.p if self.training else 0.0,
            scaling=self.head_width**-0.5,
            **kwargs,
        )
        return attended.reshape(*hidden.shape[:-1], -1).contiguous(), None


class _Output(nn.Module):
    def __init__(self, config: BertSettings, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(width, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, hidden: torch.Tensor, residual: torch.Tensor) -> torch.Tensor:
        return self.LayerNorm(self.dropout(self.dense(hidden)) + residual)


class _Layer(nn.Module):
    def __init__(self, config: BertSettings) -> None:
        super().__init__()
        self.attention: Any = nn.Module()
        self.attention.self = _SelfAttention(config)
        self.attention.output = _Output(config, config.hidden_size)
        self.intermediate: Any = nn.Module()
        self.intermediate.dense = nn.Linear(config.hidden_size, config.intermediate_size)
        self.output = _Output(config, config.intermediate_size)

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor | None = None, **kwargs: Any) -> torch.Tensor:
        attended, _ = self.attention.self(hidden, attention_mask, **kwargs)
        attended = self.attention.output(attended, hidden)
        return self.output(F.gelu(self.intermediate.dense(attended)), attended)


def in_transformers(backbone: Bert) -> Any:
    """Return a `BertModel` of transformers, without a pooler, that shares the modules of `backbone`."""
    from transformers import BertConfig, BertModel

    with torch.device("meta"):  # its own weights are replaced at once
        model: Any = BertModel(BertConfig(**asdict(backbone.config)), add_pooling_layer=False)

    for path, module in backbone.named_modules():
        if not list(module.children()):
            model.set_submodule(path, module)

    positions = torch.arange(backbone.config.max_position_embeddings).unsqueeze(0)  # (1, positions)
    model.embeddings.position_ids = positions  # its two buffers are in no state dict
    model.embeddings.token_type_ids = torch.zeros_like(positions)
    return model.to(next(backbone.parameters()).device).train(backbone.training)
