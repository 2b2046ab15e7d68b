"""Trimming: keep the word embeddings that some texts use, and free the others.

Multilingual towers spend most of their parameters on words: 96 of 118 million in the mini tower,
256 of 560 in XLM-R Large. Token ids and the fingerprint do not change. Tokenizers, positions,
padding and prompts stay as they are, and embeddings are the same bits. A token whose row was freed
raises an error; it never gets the row of another token.
"""

from collections.abc import Iterable

import torch
from torch import nn
from torch.nn import functional as F

from pecl.encoders.memory import release_freed_memory
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError


class TrimmedEmbedding(nn.Embedding):
    """Only the rows `kept` of a frozen embedding; takes the ids of the whole embedding.

    Args:
        plain: the whole embedding, (V, d); it stays as it is.
        kept: (K,) int64, ids in rising order.
    """

    row_of: torch.Tensor  # (V,) int32: the row of each id; K, which is beyond the last, for ids that were not kept

    def __init__(self, plain: nn.Embedding, token_ids: torch.Tensor) -> None:
        nn.Module.__init__(self)  # nn.Embedding.__init__ would fill a weight with random numbers
        weight = plain.weight.detach()[token_ids.to(plain.weight.device)]
        self.num_embeddings, self.embedding_dim = weight.shape
        self.padding_idx = plain.padding_idx
        self.max_norm = None
        self.norm_type = plain.norm_type
        self.scale_grad_by_freq = self.sparse = False
        self.weight = nn.Parameter(weight, requires_grad=False)  # (K, d)
        row_of = torch.full((plain.num_embeddings,), len(token_ids), dtype=torch.int32)
        row_of[token_ids] = torch.arange(len(token_ids), dtype=torch.int32)
        self.register_buffer("row_of", row_of.to(weight.device), persistent=False)
        self.left_out = plain.weight.numel() - weight.numel()  # parameters
        self.training = plain.training

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Map ids of any shape to rows (..., d). An id that was not kept raises IndexError (a GPU stops instead)."""
        return F.embedding(self.row_of[input], self.weight)


def trim_vocabulary(tower: MultilingualTextEncoder, token_ids: Iterable[int]) -> None:
    """Keep only the word embeddings of `token_ids` and padding. Raise ConfigError if trimmed before, or adapted."""
    words = tower.backbone.get_input_embeddings()
    if tower.adapter is not None or type(words) is not nn.Embedding:
        raise ConfigError("trim_vocabulary: expected a text tower without adapter that is not trimmed yet")

    tower.fix_fingerprint()
    kept_ids = torch.tensor(sorted({*token_ids, tower.tokenizer.pad_token_id}))  # (K,)
    tower.backbone.set_input_embeddings(TrimmedEmbedding(words, kept_ids))
    del words
    release_freed_memory()


def kept_tokens(tower: MultilingualTextEncoder) -> list[int] | None:
    """Return the token ids whose rows a trimmed tower has; None for a whole one."""
    words = tower.backbone.get_input_embeddings()
    return ids_of(words).tolist() if isinstance(words, TrimmedEmbedding) else None


def ids_of(words: nn.Embedding) -> torch.Tensor:
    """Return the token id of each row of word embeddings, whole or trimmed: (V,) or (K,) int64."""
    if isinstance(words, TrimmedEmbedding):
        return torch.nonzero(words.row_of < words.num_embeddings).flatten()
    return torch.arange(words.num_embeddings, device=words.weight.device)


def left_out(tower: nn.Module) -> int:
    """Return the number of parameters that trimming has taken out of `tower`."""
    return sum(module.left_out for module in tower.modules() if isinstance(module, TrimmedEmbedding))
