"""Parameter-efficient cross-lingual transfer of CLIP: one frozen text tower, a few parameters a language.

Example:
    >>> import pecl
    >>> towers = pecl.load_towers("mini")
    >>> result = pecl.train(pecl.make_config({"language": "de", "route": "method1"}))
    >>> bank = pecl.AdapterBank(towers.text, "lora")
"""

from importlib import import_module
from typing import Any

# name -> module; imported when first used, so that `import pecl` and `pecl --help` stay quick
_PUBLIC = {
    "AdapterBank": "pecl.adapters.bank",
    "AdapterConfig": "pecl.adapters.method",
    "AlignmentObjective": "pecl.training.losses",
    "AlignmentTrainer": "pecl.training.trainer",
    "ContrastiveLoss": "pecl.training.losses",
    "DataRequest": "pecl.data.request",
    "ExperimentConfig": "pecl.config",
    "ImageEncoder": "pecl.encoders.image",
    "MultilingualTextEncoder": "pecl.encoders.text",
    "ParallelCaptions": "pecl.data.captions",
    "Result": "pecl.results.result",
    "RetrievalEvaluator": "pecl.retrieval.evaluator",
    "RetrievalMetrics": "pecl.retrieval.ranks",
    "TranslationRoute": "pecl.routes",
    "attach": "pecl.adapters.adapter",
    "evaluate": "pecl.experiment.run",
    "few_shot_split": "pecl.data.splits",
    "load_dataset": "pecl.data.registry",
    "load_image_encoder": "pecl.encoders.loading.image",
    "load_text_encoder": "pecl.encoders.loading.text",
    "load_towers": "pecl.encoders.towers",
    "make_config": "pecl.config",
    "parse_adapter": "pecl.adapters.spec",
    "register_adapter": "pecl.adapters.spec",
    "register_alignment": "pecl.training.losses",
    "register_dataset": "pecl.data.registry",
    "register_language": "pecl.languages",
    "route": "pecl.routes",
    "train": "pecl.experiment.run",
    "train_fleet": "pecl.experiment.run",
}
__all__ = sorted(_PUBLIC)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pecl' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return __all__
