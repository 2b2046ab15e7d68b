"""Roles of config fields, and the choices of fields by name. The packages above fill what the names stand for."""

from enum import Flag, auto

from pecl.options import Registry

# filled by training.losses: loss(query, anchor, images)
LOSSES = Registry("loss", ("mse", "contrastive", "cosine", "gram_mse", "match"))
WITH_BANK = ("match",)  # losses that compare with a bank of frozen anchors
# data sets with text to train on
TEXT_SETS = ("flickr30k200", "emoji", "sib200", "ntrex", "gatitos", "seed")
MULTI30K_TRANSLATIONS = "multi30k-translations"
TRAIN_ON = ("pairs", MULTI30K_TRANSLATIONS, *TEXT_SETS)  # text to train on; pairs are the few-shot pairs
# filled by training.trackers: tracker(folder of the results) returns a `Tracker`
TRACKERS = Registry("tracker", ("tensorboard", "wandb", "mlflow", "trackio", "csv"))
SOLVERS = ("gradient", "closed-form", "centring")  # phases of training
LEXICON = "lexicon"  # value of `start` that initialises from a lexicon, in place of a file
# data sets without photographs: their gallery is english
TEXT_TESTS = ("xtd200", "sib200", "ntrex", "gatitos", "seed")


class Role(Flag):
    """The roles of a config field, set in its declaration."""

    NONE = 0
    EVALUATION = auto()  # changes the measurements of an evaluation: towers, data and query
    DATA = auto()  # which captions and images are read
    INPUT = auto()  # changes the other inputs of a training
    PATH = auto()  # path of data, results or plug-ins: not in the run id
    TEXT_TOWER = auto()  # selects the text tower or its device
    STEP_TIME = auto()  # changes above all the time of a training step
    # may differ within a fleet: changes the task of a slot, not the shape of the work
    FLEET = auto()
    ANCHOR = auto()  # has no effect in a route without an anchor
    SEARCHED = auto()  # validation chooses among runs that differ only in fields of this role
    REPEAT = auto()  # the number of a repetition of one configuration
    GROUP = auto()  # a table's heading states it
    ROW = auto()  # a row of a table states it, or its adapter's description
    # how this machine computes: recorded and compared, but no part of a run's identity
    MACHINE = auto()
    REPORTED = auto()  # where a training is reported to: no part of a run's identity
    COMMAS = auto()  # its text may hold commas: on the command line of a grid it is one value
    # part of the run id only if it is not the default: results from before the field keep their run id
    LATER = auto()
