"""`--trim-vocabulary`: which tokens the texts of some runs use."""

from __future__ import annotations

from collections.abc import Sequence

from pecl.adapters.adapter import Adapter
from pecl.adapters.kind import AdapterConfig
from pecl.encoders.vocabulary import left_out, trim_vocabulary
from pecl.errors import ConfigError
from pecl.experiment.prepared import Prepared

_TEXTS = ("english", "target", "english_to_target", "target_to_english")


def check_trimming(engine: str, configs: Sequence[AdapterConfig]) -> None:
    """Refuse adapters that need the whole vocabulary.

    Raises:
        ConfigError: every word embedding is trained, or the engine reads the tower's layers itself.
    """
    if any(config.kind == "full" for config in configs):
        raise ConfigError("trim_vocabulary: expected an adapter that leaves word embeddings alone, got full")
    if engine != "pecl":
        raise ConfigError(f"trim_vocabulary: expected the engine pecl, got {engine}")


def trim_to_texts(members: Sequence[Prepared], adapter_tokens: Sequence[int] = ()) -> None:
    """Keep in the text tower that `members` share the rows of their captions' tokens and of `adapter_tokens`."""
    tower = members[0].towers.text
    if left_out(tower):  # by the same runs before, for whom the towers are kept
        return
    captions = [one for prepared in members for one in (prepared.data, prepared.translations) if one is not None]
    columns = (getattr(one, name) for one in captions for name in _TEXTS)
    texts = dict.fromkeys(text for column in columns if column is not None for text in column)
    used = {token for row in tower.tokenize(list(texts)) for token in row}
    trim_vocabulary(tower, used.union(adapter_tokens))


def own_tokens_of(adapter: Adapter) -> list[int]:
    """Return the tokens of an adapter's own texts: of prompts that are words, or begin as words."""
    return [token for prompt in adapter.prompts for token in getattr(prompt, "token_ids", None) or ()]
