"""A text tower without values, for dry runs: it checks adapters without loading weights.

Its parameters are on the device `meta`, without memory or checkpoint. It has no tokenizer: only the real run checks
prompts of words and the number of runs that fit into memory.
"""

from collections.abc import Sequence

from pecl.adapters.kind import AdapterConfig
from pecl.config import ExperimentConfig
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import PAIRS, Towers


def with_shape(towers: Towers, config: ExperimentConfig) -> Towers:
    """Replace the text tower of a config by its shape, if the shape is known.

    Engines other than pecl's read the weights and keep the tower.
    """
    from pecl.encoders.loading.shapes import known_tower  # transformers' models, which take seconds

    name = config.text_model or PAIRS[config.profile].text
    shape = known_tower(name) if config.engine == "pecl" else None
    return towers if shape is None else Towers(lambda: shape, lambda: towers.image)


def has_no_values(tower: MultilingualTextEncoder) -> bool:
    """Return whether a tower is only a shape."""
    return tower.device.type == "meta"


def without_words(adapters: Sequence[AdapterConfig]) -> list[AdapterConfig]:
    """Return the adapters that need no tokenizer."""
    return [one for one in adapters if not one.text_prompt and getattr(one, "init_text", None) is None]
