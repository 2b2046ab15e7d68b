"""Text-only distillation: train a language to match the frozen embeddings of its English translations."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pecl.config import TEXT_SETS, ExperimentConfig, make_config
from pecl.config.recipes import DISTIL_DEFAULTS, SCHEDULE_FIELDS, WITH_IMAGES, schedule_for
from pecl.data.registry import DATASETS
from pecl.encoders.towers import load_towers
from pecl.errors import ConfigError, not_none
from pecl.experiment.initial_weights import with_adapter_of_start
from pecl.experiment.loading import TrainingDataCache
from pecl.experiment.run import result_of, train_fleet
from pecl.experiment.towers import LoadTowers
from pecl.files import is_path
from pecl.language.languages import way_to_adapter
from pecl.results.result import OTHER_TEXT, Outcome, Result, TrainingResult
from pecl.retrieval.measures import difference_interval
from pecl.training.callbacks import Callback

logger = logging.getLogger(__name__)


def distil(
    language: str,
    text: str | None = None,
    *,
    images: bool = False,
    callbacks: Sequence[Callback] = (),
    load: LoadTowers = load_towers,
    **values: Any,
) -> TrainingResult:
    """Train a language on translated text, and return its result, whose adapter file is `result.adapter_path`.

    Args:
        language: code of the target language.
        text: sources of pairs, as in `--text`: names, tables with a column for `language` and one
            `en`, or aligned files `a.en=a.cs`, joined by commas.
        images: also train on the images of the training part; the result records their number.
        callbacks: called during the training, see `pecl.Callback`.
        load: function that returns the towers; it takes the arguments of `pecl.load_towers`.
        values: further fields of `ExperimentConfig`; they override `distil_config`. With `joint`,
            all its languages learn one adapter together, each with a result of its own; that of
            `language` is returned.

    Raises:
        PeclError: bad input; nothing has been written.

    Example:
        >>> result = pecl.distil("cs", "captions.tsv", dataset="multi30k-1k")
        >>> result.recall(stage="zero_shot"), result.recall()
    """
    given = with_adapter_of_start({"language": language, **values} | ({} if text is None else {"text": text}))
    cache = TrainingDataCache()
    config = distil_config(given, cache, images)
    configs = [config]
    if config.joint is not None:
        languages = config.joint_languages
        configs = [distil_config({**given, "language": code}, cache, images) for code in languages]

    return result_of(config.language, run_together(configs, cache, callbacks, load))


def distil_config(
    given: Mapping[str, Any], cache: TrainingDataCache, images: bool = False, where: str | None = "config"
) -> ExperimentConfig:
    """Return the config of a distillation: the given fields and defaults that depend on the number of pairs.

    `where` begins error sentences.
    """
    defaults = {**DISTIL_DEFAULTS, **(WITH_IMAGES if images else {})}
    if given.get("text") is None:
        defaults["clean"] = False  # sets named by train_on need no cleaning

    config = make_config({**defaults, **given}, where)
    if images and not config.image_weight:
        raise ConfigError("expected a number > 0 with images, got 0", field="image_weight")

    if config.text is None and config.train_on == "pairs":
        languages = DATASETS[config.dataset].languages if config.dataset in DATASETS else ()
        has_captions = is_path(config.dataset) or config.language in languages
        way = way_to_adapter(config.language, dataset=config.dataset if has_captions else None)
        raise ConfigError(
            "expected sources of translated text, such as captions.tsv or corpus.en=corpus.cs, or a named set: "
            f"multi30k-translations, {', '.join(TEXT_SETS)}; {way}",
            field="text",
        )

    if set(SCHEDULE_FIELDS) <= set(given):
        return config

    _, text = cache(config)
    pairs = len(not_none(text, "text").train)
    return make_config({**defaults, **schedule_for(pairs), **given}, where)


def run_together(
    configs: Sequence[ExperimentConfig],
    cache: TrainingDataCache,
    callbacks: Sequence[Callback] = (),
    load: LoadTowers = load_towers,
) -> list[Outcome]:
    """Train configs from `distil_config` together, such as languages of a joint training; warn if recall fell."""
    outcomes = train_fleet(configs, cache=cache, callbacks=callbacks, load=load)
    for outcome in outcomes:
        if isinstance(outcome, TrainingResult):
            _warn(outcome)
    return outcomes


class Fall(NamedTuple):
    """Mean R@1 of the base encoder and of the adapter on a part, and the queries of its smaller direction."""

    before: float
    after: float
    queries: int


def fall(result: Result, part: str) -> Fall | None:
    """Return the fall of recall on a measured part; None if it did not fall, or not beyond noise."""
    before, after = (result.recall(part, stage) for stage in ("zero_shot", "best"))
    queries = min(metrics.queries for metrics in result.measured(part).directions.values())
    if difference_interval(before, after, queries)[0] > 0:
        return Fall(before, after, queries)
    return None


def _warn(result: TrainingResult) -> None:
    """Log a warning if validation recall fell beyond noise, or every score on held-out text fell."""
    text = result.data.other_text or {}
    other_label = "English captions"
    if text.get("split"):
        other_label = f"sentences of {text['dataset']} ({text['split']})"

    for part, label, way_on in (
        ("val", "validation captions", "the training text is unlike captions: give it less weight, or add captions"),
        (OTHER_TEXT, other_label, "add text of that kind, such as sib200 or ntrex"),
    ):
        if part not in result.metrics:
            continue
        fell = fall(result, part)
        if fell:
            message = "%s: mean R@1 on the %d %s fell from %.3f to %.3f, which is beyond noise: %s"
            logger.warning(message, result.name, fell.queries, label, fell.before, fell.after, way_on)

    if result.config.choose == "text":
        initial, *trained = [score for _, score in result.curve.val_mean_recall_at_1]
        # a callback may have stopped the run before its first step
        if trained and max(trained) < initial:
            message = "%s: mean R@1 on the held-out text fell from %.3f to at most %.3f: the initial weights are kept"
            logger.warning(message, result.name, initial, max(trained))
