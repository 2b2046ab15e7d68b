"""Roles of config fields, and the choices of fields by name. Choices are imported on use: configs need no torch."""

from __future__ import annotations

from enum import Flag, auto

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


class Role(Flag):
    """The roles of a config field, set in its declaration."""

    NONE = 0
    EVALUATION = auto()  # what an evaluation measures: towers, data and the query's side
    DATA = auto()  # which captions and images are read
    INPUT = auto()  # what else a training reads, and whether it is enough
    PLACE = auto()  # where data, results and plug-ins lie: no part of a run's identity
    TEXT_TOWER = auto()  # the text tower, and where it computes
    STEP_TIME = auto()  # how long a training step takes, above all
    FLEET = auto()  # may differ within a fleet: it changes what a slot learns, not the shape of the work
    ANCHOR = auto()  # says nothing in a route without an anchor
    SEARCHED = auto()  # validation chooses among runs that differ only in these
    REPEAT = auto()  # which repetition of a configuration a run is
    GROUP = auto()  # a table's heading states it
    ROW = auto()  # a row of a table states it, or its adapter's description
    MACHINE = auto()  # how this machine works on it: recorded and compared, but no part of a run's identity
    SAME_BITS = auto()  # how much of a tower is loaded: no part of a run's identity, since results are the same bits
    COMMAS = auto()  # its text may hold commas: on the command line of a grid it is one value
