"""Positions of tokens: most encoders count from 0, RoBERTa and its kin from behind the padding token's id."""

from transformers import PretrainedConfig

_AFTER_PADDING = frozenset({"camembert", "mpnet", "roberta", "xlm-roberta", "xlm-roberta-xl", "xmod"})


def first_position(config: PretrainedConfig) -> int:
    """Return the position of the first token in an encoder of `config`."""
    return config.pad_token_id + 1 if config.model_type in _AFTER_PADDING else 0


def longest_sequence(config: PretrainedConfig) -> int:
    """Return the number of positions that an encoder of `config` has for tokens."""
    return config.max_position_embeddings - first_position(config)
