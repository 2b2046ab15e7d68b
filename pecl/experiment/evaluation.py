"""Evaluate the plain text tower or an adapter: read, measure and record."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pecl.adapters.choice import PLAIN, AdapterChoice, KnownAdapters
from pecl.adapters.formats.files import attached
from pecl.config import ExperimentConfig
from pecl.encoders.towers import load_towers
from pecl.errors import ConfigError, setting
from pecl.experiment.fleet_measuring import embed_queries, size_of
from pecl.experiment.frozen import embed_queries_plain, make_evaluator
from pecl.experiment.inputs import read_evaluation
from pecl.experiment.record import describe_adapter, record_evaluation
from pecl.experiment.run import as_config
from pecl.experiment.tested_pairs import without_training_pairs
from pecl.experiment.towers import LoadTowers, towers_of
from pecl.files import check_writable
from pecl.results.result import EvaluationResult
from pecl.training.distributed import use_threads

logger = logging.getLogger(__name__)


def evaluate(
    config: ExperimentConfig | Mapping[str, Any],
    load: LoadTowers = load_towers,
) -> EvaluationResult:
    """Return the result of an evaluation: the recall of the base encoder, or with the adapter `config.weights`.

    It is measured on the published test part, or else on the whole data set, without the pairs that
    trained the adapter or chose its weights, unless `config.all_pairs`. Raise PeclError for bad
    input; nothing is written then.

    Args:
        config: the run, or its fields as `make_config` takes them.
        load: function that returns the towers; it takes the arguments of `pecl.load_towers`.
    """
    config, choice = with_adapter(as_config(config))
    with use_threads(config.threads):
        # Read
        towers = towers_of(config, load)
        inputs = read_evaluation(config, towers)
        check_writable(config.out)
        file = choice.read(towers.text)
        logger.info("%s: %s", config.language, choice.sentence)
        inputs = without_training_pairs(inputs, file)

        # Freeze the gallery, and the queries of the base encoder
        tower_size = size_of(towers.text)
        evaluator = make_evaluator(inputs, "test")
        if file is None:
            evaluation = evaluator(embed_queries_plain(inputs, "test"))
            return record_evaluation(inputs, {"test": {"zero_shot": evaluation}}, None)

        # Attach the adapter and measure
        if file.language not in (None, config.language):
            message = "%s was trained for %s and is evaluated on %s"
            logger.warning(message, file.path, file.language, config.language)

        with attached(file, towers.text) as adapter:
            evaluation = evaluator(embed_queries(adapter, 0, inputs.tokens("test")))
            description = describe_adapter(adapter, tower_size, file.path)

        # Record
        return record_evaluation(inputs, {"test": {"best": evaluation}}, description)


def with_adapter(config: ExperimentConfig) -> tuple[ExperimentConfig, AdapterChoice]:
    """Return the config of an evaluation, with the adapter's name as results use it, and the adapter.

    `weights` None evaluates the base encoder, even if an adapter of the language is known.
    """
    if config.all_pairs and config.weights in (None, PLAIN):
        raise ConfigError("expected an adapter with it: no pair trained the base encoder", field="all_pairs")

    known_adapters = KnownAdapters(config.profile, text_model=config.text_model)
    if config.weights is not None:
        choice = known_adapters.choose(config.weights, config.language)
        return replace(config, weights=choice.name), choice

    default = known_adapters.for_language(config.language)
    way = default.reason
    if default.path:
        way = f"{setting(weights=default.name)} evaluates the adapter of this language"
    return config, replace(known_adapters.choose(PLAIN, None), reason=f"the base encoder; {way}")
