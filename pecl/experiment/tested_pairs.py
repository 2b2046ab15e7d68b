"""Which pairs of a data set test an adapter: by default none that trained it or chose its weights."""

import logging
from dataclasses import replace
from pathlib import Path

from pecl.adapters.formats.files import AdapterFile
from pecl.adapters.training_pairs import TrainingPairs, hashes_of_pairs, union_of
from pecl.config import LEXICON
from pecl.errors import DataError, setting
from pecl.experiment.initial_weights import file_of_start
from pecl.experiment.inputs import Inputs

logger = logging.getLogger(__name__)


def pairs_of_training(inputs: Inputs) -> TrainingPairs:
    """Return the pairs of a training's data set that are not its test part, and those of the adapter it starts from.

    A training on text leaves the training and validation parts out, too: its text is only checked
    against the test.
    """
    config = inputs.config
    data = inputs.data
    indices = [*inputs.parts["train"], *inputs.parts["val"]]
    photographs = None if data.images is None else inputs.image_fingerprints
    hashes = union_of(hashes_of_pairs(data, indices, photographs))

    shots = "all" if config.shots is None else config.shots
    split = f"{Path(data.dataset).name}, {shots} shots, split seed {config.split_seed}"
    pairs = TrainingPairs((split,), len(indices), hashes)

    if config.start in (None, LEXICON):
        return pairs
    return pairs.with_those_of(file_of_start(config.start).training_pairs)


def without_training_pairs(inputs: Inputs, file: AdapterFile | None) -> Inputs:
    """Return an evaluation that leaves out the pairs that trained the adapter `file`; with `all_pairs` it counts them.

    Raises:
        DataError: no pair is left.
    """
    if file is None:
        return inputs

    if file.training_pairs is None:
        logger.info("%s does not state which pairs trained it: all pairs are tested", file.path)
        return inputs

    config = inputs.config
    data = inputs.data
    test = inputs.parts["test"]
    by_photograph = config.gallery == "images" and data.images is not None
    photographs = inputs.image_fingerprints if by_photograph else None
    training_hashes = file.training_pairs.hashes
    hashes = hashes_of_pairs(data, test, photographs)
    untrained = tuple(i for i, pair_hashes in zip(test, hashes, strict=True) if not pair_hashes & training_hashes)
    count = len(test) - len(untrained)

    if config.all_pairs:
        if count:
            logger.warning("%d of %d tested pairs trained %s or chose its weights", count, len(test), file.path)
        return replace(inputs, training_pairs={"tested": count})

    if not untrained:
        raise DataError(
            f"{data.dataset}: expected pairs that did not train {file.path}, got none among {len(test):,}: "
            f"{setting(all_pairs=True)} tests them, too"
        )

    if count:
        reason = f"they trained {file.path} or chose its weights; {setting(all_pairs=True)} tests them, too"
        logger.info("%s: %d of %d pairs are left out: %s", config.language, count, len(test), reason)

    parts = {"test": untrained}
    return replace(inputs, parts=parts, training_pairs={"left_out": count})
