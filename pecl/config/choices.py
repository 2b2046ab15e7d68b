"""What the names in a config stand for. It is imported when it is used, so that configs need no torch."""

from __future__ import annotations

from pecl.options import Registry

ALIGNMENTS = Registry(
    "alignment",  # loss(query, anchor, images)
    {
        "mse": "pecl.training.losses:mse",
        "contrastive": "pecl.training.losses:contrastive",
        "contrastive_with_image": "pecl.training.losses:contrastive_with_image",
        "cosine_mse": "pecl.training.losses:cosine_mse",
        "cosine": "pecl.training.losses:cosine",
        "gram_mse": "pecl.training.losses:gram_mse",
        "match": "pecl.training.losses:match",
    },
)
WITH_BANK = ("match",)  # alignments that compare with a bank of frozen anchors
ENGINES = Registry(
    "engine",  # what puts an adapter on a tower, one slot a seed: attach(tower, configs, seeds)
    {"pecl": "pecl.adapters.adapter:attach", "opendelta": "pecl.adapters.engines:attach_with_opendelta"},
)
TRAIN_ON = Registry(
    "training text",  # load(config), the text that is trained on in place of the few-shot pairs
    {
        "pairs": None,
        "multi30k-translations": "pecl.experiment.inputs:multi30k_translations",
        "flickr30k200": "pecl.experiment.inputs:flickr30k200_text",
    },
)
ANCHORS = ("student", "frozen")
SOLVERS = ("gradient", "closed-form")
CHOOSE = ("validation", "text", "last")
OVERLAPS = ("refuse", "drop", "allow")
GALLERIES = ("images", "english")
