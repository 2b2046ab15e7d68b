"""`--start`: begin a training with the parameters of an adapter file, or with a lexicon of the training pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from pecl.adapters.adapter import Adapter
from pecl.adapters.formats.files import AdapterFile, load_adapter_file
from pecl.adapters.kind import AdapterConfig
from pecl.adapters.spec import describe
from pecl.config import LEXICON
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError, setting, suggest
from pecl.experiment.fleet import Member, members_of
from pecl.experiment.inputs import Inputs
from pecl.experiment.towers import has_no_values
from pecl.experiment.training_text import lexicon_pairs
from pecl.files import expanded


def with_adapter_of_start(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a config; `adapter`, if missing, is set to that of the start file, if one is named.

    So is `engine`, for a method of PEFT.
    """
    start = values.get("start")
    if not isinstance(start, str) or start == LEXICON or "adapter" in values:
        return dict(values)

    configs = file_of_start(start).configs
    given = {**values, "adapter": describe(configs)}
    if any(config.kind == "peft" for config in configs):
        given.setdefault("engine", "peft")
    return given


def without_words(configs: Sequence[AdapterConfig]) -> tuple[AdapterConfig, ...]:
    """Return configs for a tower of a shape only, which has no tokenizer: with prompts that start as any."""
    return tuple(
        replace(config, init_text=None) if getattr(config, "init_text", None) else config for config in configs
    )


def check_start(adapter: Adapter, runs: Sequence[Inputs]) -> None:
    """Raise ConfigError or WeightsError for a start that does not fit the adapter or the runs' training pairs."""
    start = runs[0].config.start
    if start is None:
        return
    if start != LEXICON:
        return start_slots(adapter, start)
    if not any(module.counts_tokens for _, module, _ in adapter.modules):
        raise ConfigError(
            f"{LEXICON} needs an adapter with word_embeddings, got {describe(adapter.configs)}", field="start"
        )
    if any(inputs.pairs.english is None for inputs in runs):
        raise ConfigError(
            f"{LEXICON} needs training pairs with English captions, such as those of {setting('text')}", field="start"
        )


def translate_slots(adapter: Adapter, members: Sequence[Member]) -> None:
    """Initialise the word embeddings of each slot with a lexicon of its training pairs."""
    special = set(adapter.tower.tokenizer.all_special_ids)

    def tokens_of(member: Member, column: str, captions: Sequence[str]) -> list[list[int]]:
        texts = adapter.tower.tokenize(captions, member.inputs.language_of(column))
        return [[token for token in text if token not in special] for text in texts]

    for slot in range(adapter.num_slots):
        targets: list[list[int]] = []
        english: list[list[int]] = []
        for member in members_of(members, slot):
            target_captions, english_captions = lexicon_pairs(member.inputs.pairs)
            targets += tokens_of(member, "target", target_captions)
            english += tokens_of(member, "english", english_captions)
        adapter.translate(slot, targets, english)


def start_slots(adapter: Adapter, path: str) -> None:
    """Give every slot the parameters of an adapter file. Raise ConfigError or WeightsError if it does not fit."""
    is_shape = has_no_values(adapter.tower)
    file = file_of_start(path, None if is_shape else adapter.tower)
    configs = without_words(file.configs) if is_shape else file.configs
    if configs != adapter.file_configs:
        expected = describe(adapter.configs)
        actual = describe(configs)
        raise ConfigError(f'expected an adapter "{expected}", got {path} with "{actual}"', field="start")
    if is_shape and configs != file.configs:
        return  # how many vectors a prompt of words has depends on the tokenizer: the training itself checks them
    adapter.check_state(file.state)
    adapter.put_slot_states(dict.fromkeys(range(adapter.num_slots), file.state))


def file_of_start(path: str, tower: MultilingualTextEncoder | None = None) -> AdapterFile:
    """Return the adapter file that a training starts from. Raise ConfigError or WeightsError if it is none."""
    if not expanded(path).exists() and (hint := suggest(path, (LEXICON,))):
        raise ConfigError(f'expected {LEXICON} or an adapter file, got "{path}"{hint}', field="start")
    return load_adapter_file(expanded(path), tower)
