"""`--trim-vocabulary`: which tokens the texts of some runs use."""

from collections.abc import Sequence
from itertools import chain

from pecl.adapters.adapter import Adapter
from pecl.adapters.kind import AdapterConfig
from pecl.data.captions import COLUMNS, Column
from pecl.encoders.vocabulary import trim_vocabulary
from pecl.errors import ConfigError
from pecl.experiment.prepared import Prepared
from pecl.languages import ENGLISH

_TOGETHER = 16_384  # texts that are tokenised together


def check_trimming(engine: str, configs: Sequence[AdapterConfig]) -> None:
    """Refuse adapters that train every word embedding, and engines that read the tower's layers themselves."""
    if any(config.kind == "full" for config in configs):
        raise ConfigError("trim_vocabulary: expected an adapter that does not train word embeddings, got full")
    if engine != "pecl":
        raise ConfigError(f"trim_vocabulary: expected the engine pecl, got {engine}")


def trim_to_texts(members: Sequence[Prepared], adapter_tokens: Sequence[int] = ()) -> None:
    """Trim the text tower of `members` to the tokens of their captions and to `adapter_tokens`."""
    tower = members[0].towers.text
    columns = {id(column): column for prepared in members for column in _columns(prepared)}  # members may share some
    used = {*adapter_tokens, *tower.tokens_of_languages({ENGLISH, *(one.config.language for one in members)})}
    for column in columns.values():
        for start in range(0, len(column), _TOGETHER):
            used.update(chain.from_iterable(tower.tokenize(column[start : start + _TOGETHER])))
    trim_vocabulary(tower, used)


def _columns(prepared: Prepared) -> list[Column]:
    text = prepared.translations
    found = [getattr(one, name) for one in (prepared.data, *(text.parts if text else ())) for name in COLUMNS]
    return [column for column in found if column is not None]


def own_tokens_of(adapter: Adapter) -> list[int]:
    """Return the tokens of an adapter's own texts: of prompts that are words, or begin as words."""
    return [token for prompt in adapter.prompts for token in getattr(prompt, "token_ids", None) or ()]
