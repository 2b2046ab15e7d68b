"""The towers of a config: loaded once, or only the shape of the text tower, for dry runs.

The parameters of a shape are on the device `meta`, without memory or checkpoint. It has no
tokenizer, so only the real run checks prompts of words and the number of runs that fit into memory.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pecl.config import ENGINES, ExperimentConfig
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import PAIRS, Towers, load_towers

LoadTowers = Callable[..., Towers]  # a function with the arguments of `load_towers`


def towers_of(config: ExperimentConfig, load: LoadTowers = load_towers) -> Towers:
    """Return the towers of a config, see `load_towers_once`."""
    return load_towers_once(tower_arguments(config), load)


def tower_arguments(config: ExperimentConfig) -> tuple[Any, ...]:
    """Return the arguments of `load_towers` that a config names."""
    return config.profile, config.text_model, config.image_model, config.device, config.precision


def load_towers_once(arguments: Sequence[Any], load: LoadTowers = load_towers) -> Towers:
    """Return towers for the arguments of `load_towers`: those of the previous run if it had the same arguments.

    Between runs the towers have no adapter.
    """
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
