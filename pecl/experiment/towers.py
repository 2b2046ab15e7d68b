"""The towers of a config: loaded once, only the shape of the text tower, for dry runs, or trimmed to some runs' texts.

The parameters of a shape are on the device `meta`, without memory or checkpoint. It has no
tokenizer, so only the real run checks prompts of words and the number of runs that fit into memory.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain, product
from typing import Any

from pecl.adapters.adapter import attach
from pecl.adapters.kind import AdapterConfig
from pecl.config import ENGINES, ExperimentConfig
from pecl.data.captions import COLUMNS, ENGLISH_COLUMNS
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import PAIRS, Towers, load_towers
from pecl.encoders.vocabulary import trim_vocabulary
from pecl.errors import ConfigError
from pecl.experiment.inputs import Inputs
from pecl.language.languages import ENGLISH

LoadTowers = Callable[..., Towers]  # a function with the arguments of `load_towers`

_TOGETHER = 16_384  # texts that are tokenised together


def towers_of(
    config: ExperimentConfig,
    load: LoadTowers = load_towers,
    trims: bool = False,
) -> Towers:
    """Return the towers of a config, see `load_towers_once`."""
    return load_towers_once(tower_arguments(config), trims, load)


def tower_arguments(config: ExperimentConfig) -> tuple[Any, ...]:
    """Return the arguments of `load_towers` that a config names."""
    return config.profile, config.text_model, config.image_model, config.device, config.precision


def load_towers_once(
    arguments: Sequence[Any],
    trims: bool = False,
    load: LoadTowers = load_towers,
) -> Towers:
    """Return towers for the arguments of `load_towers`: those of the previous run if it had the same arguments.

    Between runs the towers have no adapter. Towers whose vocabulary will be trimmed are loaded
    again, and not cached.
    """
    if trims:  # a trimmed tower lacks the words of all other data
        _load_once.cache_clear()
        return load(*arguments)
    return _load_once(load, *arguments)


@lru_cache(maxsize=1)
def _load_once(load: LoadTowers, *arguments: Any) -> Towers:
    return load(*arguments)


def with_shape(towers: Towers, config: ExperimentConfig) -> Towers:
    """Replace the text tower of a config by its shape, if the shape is known.

    An engine that needs the weights keeps the tower.
    """
    from pecl.encoders.loading.text import known_tower  # imports transformers' models, which takes seconds

    name = config.text_model or PAIRS[config.profile].text
    shape = known_tower(name) if ENGINES[config.engine].fits_shapes else None
    return towers if shape is None else Towers(lambda: shape, lambda: towers.image)


def has_no_values(tower: MultilingualTextEncoder) -> bool:
    """Return whether a tower is only a shape."""
    return tower.device.type == "meta"


def check_trimming(engine: str, configs: Sequence[AdapterConfig]) -> None:
    """Raise ConfigError for adapters that train every word embedding, and engines with code of their own for layers."""
    training = [config.name for config in configs if config.trains_words]
    if training:
        raise ConfigError(
            f"trim_vocabulary: expected an adapter that does not train word embeddings, got {training[0]}"
        )

    if not ENGINES[engine].has_parts:
        expected = " or ".join(name for name, engine in ENGINES.items() if engine.has_parts)
        raise ConfigError(f"trim_vocabulary: expected the engine {expected}, got {engine}")


def trim_to_texts(runs: Sequence[Inputs], adapters: Sequence[AdapterConfig]) -> None:
    """Trim the text tower of `runs` to the tokens of their captions and of prompts in `adapters`."""
    tower = runs[0].towers.text
    used_tokens: set[int] = set()
    if adapters:
        adapter = attach(tower, adapters)
        used_tokens.update(token for prompt in adapter.prompts for token in getattr(prompt, "token_ids", None) or ())
        adapter.remove()

    columns: dict[int, tuple[Sequence[str], str]] = {}  # by identity, since runs may share some
    for inputs in runs:
        text_parts = inputs.training_text.parts if inputs.training_text else ()
        for captions, name in product((inputs.data, inputs.other_text, *text_parts), COLUMNS):
            column = getattr(captions, name, None)
            if captions is not None and column is not None:
                columns[id(column)] = column, ENGLISH if name in ENGLISH_COLUMNS else captions.language
        # perhaps embedded as a whole
        for shared in inputs.training_text.shared if inputs.training_text else ():
            columns[id(shared)] = shared, ENGLISH

    for column, language in columns.values():
        for start in range(0, len(column), _TOGETHER):
            used_tokens.update(chain.from_iterable(tower.tokenize(column[start : start + _TOGETHER], language)))

    trim_vocabulary(tower, used_tokens)
