"""Distillation on text alone: a language's query is aligned to the frozen embedding of its English translation."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pecl.adapters.kinds.head import HeadConfig
from pecl.adapters.spec import parse_adapter
from pecl.config import DISTIL_DEFAULTS, SCHEDULE_FIELDS, WITH_IMAGES, ExperimentConfig, make_config, schedule_for
from pecl.data.splits import split_captions
from pecl.errors import ConfigError, require
from pecl.experiment.fleet import check_fleet
from pecl.experiment.inputs import TrainingInputs
from pecl.experiment.prepared import check_training
from pecl.experiment.run import train_fleet
from pecl.experiment.start import start_file
from pecl.results.result import Result
from pecl.routes import route
from pecl.training.schedule import Schedule

logger = logging.getLogger(__name__)


class Plan(NamedTuple):
    """What a distillation would do: what it would train on and hold out, and the steps that it would take."""

    language: str
    pairs: int
    held_out: int
    steps: int
    solver: str
    lr: float
    photographs: int


def distil(language: str, text: str | None = None, *, images: bool = False, **values: Any) -> Result:
    """Train a language on translated text, and return its result, whose adapter file is `result.adapter_path`.

    Args:
        language: code of the target language.
        text: sources of pairs, as of `--text`: names, tables with a column for `language` and one `en`, or aligned
            files `a.en=a.cs`, joined by commas.
        images: learn from the photographs of the data set's training part, too; the result says how many.
        values: further fields of `ExperimentConfig`, over what `distil_config` sets.

    Raises:
        PeclError: bad input; nothing has been written.

    Example:
        >>> result = pecl.distil("cs", "captions.tsv", dataset="multi30k-1k")
        >>> result.recall(stage="zero_shot"), result.recall()
    """
    given = {"language": language, **values} | ({} if text is None else {"text": text})
    inputs = TrainingInputs()
    return run_distillation(distil_config(given, inputs, images), inputs)


def distil_config(
    given: Mapping[str, Any], inputs: TrainingInputs, images: bool = False, where: str = "config"
) -> ExperimentConfig:
    """Return the config of a distillation: what is given, over the defaults, which depend on the number of pairs.

    Args:
        given: fields of `ExperimentConfig`, as values or as text.
        inputs: what has been read, for whoever works on it next.
        images: learn from photographs, too.
        where: what errors begin with.

    Raises:
        PeclError: bad input, or no text to train on.
    """
    defaults = {**DISTIL_DEFAULTS, **(WITH_IMAGES if images else {})}
    config = make_config({**defaults, **given}, where)
    if images and not config.image_weight:
        raise ConfigError("image_weight: expected a number > 0 with images, got 0")
    if set(SCHEDULE_FIELDS) <= set(given):
        return config
    _check(config)
    _, text = inputs(config)
    pairs = len(require(text, "text").train)
    return make_config({**defaults, **schedule_for(pairs), **given}, where)


def run_distillation(config: ExperimentConfig, inputs: TrainingInputs | None = None) -> Result:
    """Train a config on its text and return the result; a warning says where the text did harm.

    Args:
        config: the run.
        inputs: what has been read of data already.

    Raises:
        PeclError: bad input, or no text to train on; nothing has been written.
    """
    return run_together([config], inputs)[0]


def run_together(configs: Sequence[ExperimentConfig], inputs: TrainingInputs | None = None) -> list[Result]:
    """Train configs side by side, as the languages of a joint training are, and return their results.

    Raises:
        PeclError: as `run_distillation`, or they cannot be trained so.
    """
    for config in configs:
        _check(config)
    results = train_fleet(configs, inputs=inputs)
    for result in results:
        _warn(result)
    return results


def plan(config: ExperimentConfig, inputs: TrainingInputs | None = None) -> Plan:
    """Read everything that `run_distillation` would, and return what it would do.

    Args:
        config: the run.
        inputs: what has been read of data already.

    Raises:
        PeclError: bad input, or no text to train on.
    """
    _check(config)
    adapters = parse_adapter(config.adapter, config.rank, config.adapter_layers)
    data, text = (inputs or TrainingInputs())(config)
    text = require(text, "text")
    check_training(config, route(config.route, config.test_query), data, text)
    if "closed-form" in config.solvers and not any(isinstance(one, HeadConfig) for one in adapters):
        raise ConfigError(f'solver: closed-form solves the head: expected an adapter with head, got "{config.adapter}"')
    if config.start is not None:
        start_file(config.start, adapters)
    epochs = config.epochs if "gradient" in config.solvers else 0
    steps = Schedule(epochs, config.batch_size, config.eval_every).steps(len(text.train))
    held_out = 0 if text.held_out is None else len(text.held_out)
    photographs = len(split_captions(data, config.shots, config.split_seed).train) if config.image_weight else 0
    return Plan(config.language, len(text.train), held_out, steps, config.solver, config.lr, photographs)


def plans_of(configs: Sequence[ExperimentConfig], inputs: TrainingInputs) -> list[Plan]:
    """Return the plans of configs of several languages, which are to learn one adapter where they are joint.

    Raises:
        PeclError: as `plan`; or joint languages are not all there, or have different numbers of pairs.
    """
    joint = configs[0].joint
    if joint is not None:
        check_fleet(configs)
    plans = [plan(config, inputs) for config in configs]
    sizes = {one.language: one.pairs for one in plans}
    if joint is not None and len(set(sizes.values())) > 1:
        got = ", ".join(f"{pairs} of {language}" for language, pairs in sizes.items())
        raise ConfigError(
            f"train_size: expected as many pairs of each language of the joint training {joint}, got {got}: "
            f"--train-size {min(sizes.values())} takes so many of each"
        )
    return plans


def _check(config: ExperimentConfig) -> None:
    if config.text is None and config.train_on == "pairs":
        raise ConfigError(
            "text: expected sources of translated text, such as captions.tsv or corpus.en=corpus.cs, or a named set: "
            "multi30k-translations, flickr30k200"
        )


def _warn(result: Result) -> None:
    before, after = (result.recall("val", stage) for stage in ("zero_shot", "best"))
    if after < before:
        logger.warning(
            "%s: mean R@1 on the validation captions fell from %.3f to %.3f: the text is unlike captions; "
            "give it a smaller weight, or captions beside it",
            result.name,
            before,
            after,
        )
    scores = [score for _, score in result.curve.val_mean_recall_at_1]
    if result.config.choose == "text" and max(scores[1:]) < scores[0]:  # the first is that of the start
        logger.warning(
            "%s: mean R@1 on the text that is held out fell from %.3f to at most %.3f: the start is kept",
            result.name,
            scores[0],
            max(scores[1:]),
        )
