"""Parameter-efficient cross-lingual transfer of CLIP: one frozen text tower, a few parameters per language.

Example:
    >>> import pecl
    >>> towers = pecl.load_towers("mini")
    >>> result = pecl.train(pecl.make_config({"language": "de", "route": "method1"}))
    >>> bank = pecl.AdapterBank(towers.text, "lora")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# name -> module; imported when first used, so that `import pecl` and `pecl --help` stay quick
_PUBLIC = {
    "AdapterBank": "pecl.adapters.bank",
    "AdapterConfig": "pecl.adapters.kind",
    "Objective": "pecl.training.losses",
    "Trainer": "pecl.training.trainer",
    "ContrastiveLoss": "pecl.training.losses",
    "DataRequest": "pecl.data.request",
    "Embeddings": "pecl.encoders.embeddings",
    "ExperimentConfig": "pecl.config",
    "ImageEncoder": "pecl.encoders.image",
    "ImageIndex": "pecl.search.index",
    "IndexOptions": "pecl.search.options",
    "MultilingualTextEncoder": "pecl.encoders.text",
    "ParallelCaptions": "pecl.data.captions",
    "Result": "pecl.results.result",
    "RetrievalEvaluator": "pecl.retrieval.evaluator",
    "RetrievalMetrics": "pecl.retrieval.ranks",
    "TokenStore": "pecl.encoders.embeddings",
    "TranslationRoute": "pecl.config.routes",
    "attach": "pecl.adapters.adapter",
    "build_index": "pecl.search.build",
    "distil": "pecl.experiment.distil",
    "embed": "pecl.bulk.embed",
    "evaluate": "pecl.experiment.run",
    "few_shot_split": "pecl.data.splits",
    "load_bank": "pecl.adapters.choice",
    "load_dataset": "pecl.data.registry",
    "load_image_encoder": "pecl.encoders.towers",
    "load_plugin": "pecl.plugins",
    "load_text_encoder": "pecl.encoders.towers",
    "load_towers": "pecl.encoders.towers",
    "make_config": "pecl.config",
    "open_embeddings": "pecl.bulk.shards",
    "parse_adapter": "pecl.adapters.spec",
    "read_ids": "pecl.bulk.shards",
    "register_adapter": "pecl.adapters.spec",
    "register_loss": "pecl.training.losses",
    "register_dataset": "pecl.data.registry",
    "register_language": "pecl.languages",
    "route": "pecl.config.routes",
    "train": "pecl.experiment.run",
    "train_fleet": "pecl.experiment.run",
}
__all__ = sorted(_PUBLIC)

if TYPE_CHECKING:  # the same names for editors and type checkers, which do not run `__getattr__`
    from pecl.adapters.adapter import attach as attach
    from pecl.adapters.bank import AdapterBank as AdapterBank
    from pecl.adapters.choice import load_bank as load_bank
    from pecl.adapters.kind import AdapterConfig as AdapterConfig
    from pecl.adapters.spec import parse_adapter as parse_adapter
    from pecl.adapters.spec import register_adapter as register_adapter
    from pecl.bulk.embed import embed as embed
    from pecl.bulk.shards import open_embeddings as open_embeddings
    from pecl.bulk.shards import read_ids as read_ids
    from pecl.config import ExperimentConfig as ExperimentConfig
    from pecl.config import make_config as make_config
    from pecl.config.routes import TranslationRoute as TranslationRoute
    from pecl.config.routes import route as route
    from pecl.data.captions import ParallelCaptions as ParallelCaptions
    from pecl.data.registry import load_dataset as load_dataset
    from pecl.data.registry import register_dataset as register_dataset
    from pecl.data.request import DataRequest as DataRequest
    from pecl.data.splits import few_shot_split as few_shot_split
    from pecl.encoders.embeddings import Embeddings as Embeddings
    from pecl.encoders.embeddings import TokenStore as TokenStore
    from pecl.encoders.image import ImageEncoder as ImageEncoder
    from pecl.encoders.text import MultilingualTextEncoder as MultilingualTextEncoder
    from pecl.encoders.towers import load_image_encoder as load_image_encoder
    from pecl.encoders.towers import load_text_encoder as load_text_encoder
    from pecl.encoders.towers import load_towers as load_towers
    from pecl.experiment.distil import distil as distil
    from pecl.experiment.run import evaluate as evaluate
    from pecl.experiment.run import train as train
    from pecl.experiment.run import train_fleet as train_fleet
    from pecl.languages import register_language as register_language
    from pecl.plugins import load_plugin as load_plugin
    from pecl.results.result import Result as Result
    from pecl.retrieval.evaluator import RetrievalEvaluator as RetrievalEvaluator
    from pecl.retrieval.ranks import RetrievalMetrics as RetrievalMetrics
    from pecl.search.build import build_index as build_index
    from pecl.search.index import ImageIndex as ImageIndex
    from pecl.search.options import IndexOptions as IndexOptions
    from pecl.training.losses import ContrastiveLoss as ContrastiveLoss
    from pecl.training.losses import Objective as Objective
    from pecl.training.losses import register_loss as register_loss
    from pecl.training.trainer import Trainer as Trainer

    __version__: str


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name == "__version__":  # as pyproject.toml gave it to the installed package
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("pecl")
        except PackageNotFoundError:
            return "unknown (pecl is not installed)"
    if name not in _PUBLIC:
        raise AttributeError(f"module 'pecl' has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return [*__all__, "__version__"]
