"""Parameter-efficient cross-lingual transfer of CLIP: one frozen text tower, a few parameters per language.

Example:
    >>> import pecl
    >>> towers = pecl.load_towers("mini")
    >>> result = pecl.train(pecl.make_config({"language": "de", "route": "method1"}))
    >>> bank = pecl.AdapterBank(towers.text, "lora")
"""

from importlib import import_module
from typing import Any

# Name -> module. A module is imported at its first use, so that `import pecl` and `pecl --help` stay quick. Editors and
# type checkers read the same names in `__init__.pyi`.
_MODULES = {
    "attach": "pecl.adapters.adapter",
    "AdapterBank": "pecl.adapters.bank",
    "AdapterConfig": "pecl.adapters.kind",
    "parse_adapter": "pecl.adapters.spec",
    "register_adapter": "pecl.adapters.spec",
    "embed": "pecl.apps.bulk.embed",
    "open_embeddings": "pecl.apps.bulk.shards",
    "read_ids": "pecl.apps.bulk.shards",
    "build_index": "pecl.apps.search.build",
    "ImageIndex": "pecl.apps.search.index",
    "IndexOptions": "pecl.apps.search.options",
    "load_bank": "pecl.backends.loading",
    "load_image_encoder": "pecl.backends.loading",
    "load_text_encoder": "pecl.backends.loading",
    "load_towers": "pecl.backends.loading",
    "ExperimentConfig": "pecl.config",
    "make_config": "pecl.config",
    "load_plugin": "pecl.config.plugins",
    "TranslationRoute": "pecl.config.routes",
    "route": "pecl.config.routes",
    "ParallelCaptions": "pecl.data.captions",
    "DataRequest": "pecl.data.reading",
    "load_dataset": "pecl.data.registry",
    "register_dataset": "pecl.data.registry",
    "few_shot_split": "pecl.data.splits",
    "Embeddings": "pecl.encoders.embeddings",
    "TokenStore": "pecl.encoders.embeddings",
    "ImageEncoder": "pecl.encoders.image",
    "MultilingualTextEncoder": "pecl.encoders.text",
    "distil": "pecl.experiment.distil",
    "evaluate": "pecl.experiment.evaluation",
    "train": "pecl.experiment.run",
    "train_fleet": "pecl.experiment.run",
    "run_grid": "pecl.grid.run",
    "register_language": "pecl.language.languages",
    "compare": "pecl.report.folders",
    "make_tables": "pecl.report.folders",
    "read_results": "pecl.report.folders",
    "Result": "pecl.results.result",
    "RetrievalEvaluator": "pecl.retrieval.evaluator",
    "RetrievalMetrics": "pecl.retrieval.ranks",
    "Callback": "pecl.training.callbacks",
    "Event": "pecl.training.callbacks",
    "ContrastiveLoss": "pecl.training.losses",
    "Objective": "pecl.training.losses",
    "register_loss": "pecl.training.losses",
    "register_recipe": "pecl.training.recipes",
    "Tracker": "pecl.training.trackers.tracker",
    "register_tracker": "pecl.training.trackers.tracker",
    "Trainer": "pecl.training.trainer",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":  # that of the installed package, from pyproject.toml
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("pecl")
        except PackageNotFoundError:
            return "unknown (pecl is not installed)"
    if name not in _MODULES:
        raise AttributeError(f"module 'pecl' has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]
