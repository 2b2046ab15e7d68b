"""Inputs of a config: captions and, if it trains on translated text, that text. Needs no tower and no torch.

With `mixed`, training also reads English captions, in which words of the language replace those
that they translate.
"""

import logging
import re
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np

from pecl.config import TEXT_SETS, TEXT_TESTS, TRAIN_ON, ExperimentConfig, Role, fields_of
from pecl.config.choices import MULTI30K_TRANSLATIONS
from pecl.config.recipes import own_recipe
from pecl.config.routes import route
from pecl.config.rules import check_training_fields
from pecl.data.captions import COLUMNS, DIRECTIONS, ParallelCaptions, resolve_captions_file, stripped_lines
from pecl.data.custom.sources import TextSource, normal_form, parse_sources, weighted
from pecl.data.custom.tables import TABLE_SUFFIXES, suffix_of
from pecl.data.published.multi30k import TASK_FOLDER, outside_pool, read_multi30k_translations_outside_pool
from pecl.data.reading import DataRequest
from pecl.data.registry import DATASETS, find_data_dir, is_read, load_dataset, load_request
from pecl.data.splits import split_captions
from pecl.errors import DataError, command, not_none, setting, suggest
from pecl.experiment.training_text import (
    TrainingText,
    hold_out,
    lexicon_pairs,
    load_text,
    normal_forms,
    without_overlap,
)
from pecl.files import expanded, sha256_file, sha256_lines
from pecl.files.columns import column_of
from pecl.files.images import image_fingerprints
from pecl.language.languages import LANGUAGES
from pecl.language.mixing import UNSPACED, Mixer

logger = logging.getLogger(__name__)

TrainingData = tuple[ParallelCaptions, TrainingText | None]
Decoded = Callable[[], Container[str]]  # see `load_request`
T = TypeVar("T")
MULTI30K = "multi30k"  # the name of its English training captions
_LEAST_SHARE = 0.1  # of words that are replaced, without a warning
# Fields that determine the inputs of a training
INPUT_FIELDS = tuple(sorted(fields_of(Role.INPUT | Role.DATA) - {"choose", "solver"}))  # see `chooses_by_text`


def _request(config: ExperimentConfig, columns: Collection[str | None] = ()) -> DataRequest:
    """Return the data request of a config; fields of equal names are copied."""
    shared = {field.name: getattr(config, field.name) for field in fields(DataRequest) if hasattr(config, field.name)}
    need = tuple(name for name in DIRECTIONS if name in columns)
    return DataRequest(**shared, need=need, text_only=config.gallery == "english" and not config.image_weight)


def load_captions(
    config: ExperimentConfig, columns: Collection[str | None], decoded: Decoded = tuple
) -> ParallelCaptions:
    """Return a config's data set with `columns`; `decoded` as in `load_request`. Raise DataError for missing data."""
    data = load_request(_request(config, columns), decoded)
    if config.gallery == "images" and data.images is None:
        raise DataError(
            f"{config.dataset} has no images here: data/README.md names their folder; or retrieve among English "
            f"captions with {setting(gallery='english')} (and train with {setting(image_weight=0)})"
        )

    if data.english is None and ("english" in columns or config.gallery == "english"):
        option = f"route {config.route}"
        way_on = f"choose {setting(route='baseline1')}"
        if config.gallery == "english":
            option = setting(gallery="english")
            way_on = "leave it out"

        translate = command("data", "translate", config.dataset, source=config.language, target="en")
        raise DataError(
            f"{config.dataset} has no English captions (column 'en'), which {option} needs: {way_on}; or make them "
            f"with {translate}, and rename the new column en"
        )

    return data


def load_training_data(config: ExperimentConfig, decoded: Decoded = tuple) -> TrainingData:
    """Return the whole data set of a training, and the text that replaces its training pairs, or None.

    Part of the text is held out if it is used to choose weights. Raise ConfigError or DataError for wrong inputs.
    """
    translation_route = route(config.route, config.test_query)
    text, shared = _load_training_text(config)
    needed = [translation_route.query, translation_route.test_query, None if text else translation_route.anchor]
    recipe = own_recipe(config.recipe)
    if recipe is not None and text is None:
        needed += [name for name in (*recipe.student, *recipe.teacher) if name in COLUMNS]
    data = load_captions(config, needed, decoded)

    if text is None:
        return data, None

    test = data.select(split_captions(data, config.shots, config.split_seed).test)
    if config.text is not None or config.dataset in TEXT_TESTS:
        text = without_overlap(text, test, config.overlap)

    if config.chooses_by_text:
        text = hold_out(text, config.held_out, config.train_size)
    else:
        first = text
        if config.train_size is not None:
            first = text.select(range(min(config.train_size, len(text))))
        text = TrainingText(first)

    text = replace(text, shared=shared)
    if config.train_size is not None and len(text.train) < config.train_size:
        logger.warning("train_size: expected %d pairs, got %d: all are used", config.train_size, len(text.train))

    if config.mixed is not None:
        text = with_mixed(text, config, test)
    return data, text


def hashes_of_data(
    data: ParallelCaptions,
    text: TrainingText | None,
    photographs: str | None,
) -> dict[str, Any]:
    """Return the hashes that identify the data of a training: of each column of both sets, and of the photographs."""
    return {"captions": data.hashes(), "training text": text and text.hashes, "photographs": photographs}


def photographs_of(
    config: ExperimentConfig,
    data: ParallelCaptions,
    parts: Mapping[str, Sequence[int]],
) -> list[int]:
    """Return the images of a data set that a run trains on or retrieves; `parts` has the captions of each part."""
    captions = list(parts["train"]) if "train" in parts and config.image_weight else []
    if config.gallery == "images":
        captions += [caption for part in ("val", "test") for caption in parts.get(part, ())]
    if data.images is None:
        return []
    image_index = not_none(data.image_index, "image_index")
    return list(dict.fromkeys(image_index[caption] for caption in captions))


def once_per_data(load: Callable[..., T]) -> Callable[..., T]:
    """Wrap `load`, a function of a config, in a cache with one entry per set of training data.

    The data must not change meanwhile.
    """
    results = dict[tuple[Any, ...], T]()

    def cached(config: ExperimentConfig, *args: Any) -> T:
        key = config.chooses_by_text, *(getattr(config, name) for name in INPUT_FIELDS)
        if key not in results:
            results[key] = load(config, *args)
        return results[key]

    return cached


class TrainingDataCache:
    """`load_training_data`, once per set of data."""

    def __init__(self) -> None:
        self._load = once_per_data(load_training_data)

    def __call__(self, config: ExperimentConfig, decoded: Decoded = tuple) -> TrainingData:
        """Return the data set of a config that `check_training_fields` accepts, and its text."""
        check_training_fields(config)
        return self._load(config, decoded)

    def hashes(self, config: ExperimentConfig) -> dict[str, Any]:
        """Return `hashes_of_data` of a config."""
        data, text = self._load(config)
        parts = split_captions(data, config.shots, config.split_seed)._asdict()
        numbers = photographs_of(config, data, parts)
        photographs = None
        if numbers:  # digests of files are cached by size and times: a grid reads each photograph once
            photographs = sha256_lines(image_fingerprints(not_none(data.images, "images").subset(numbers)))
        return hashes_of_data(data, text, photographs)


def _training_text_of(config: ExperimentConfig, name: str) -> ParallelCaptions:
    """Return the text that `train_on` names: the training split of a data set, or what it has for training."""
    if name == MULTI30K_TRANSLATIONS:  # those outside the few-shot pool
        root = find_data_dir("multi30k-1k", config.data_dir)
        return read_multi30k_translations_outside_pool(replace(_request(config), data_dir=root))
    return load_dataset(name, config.language, split=DATASETS[name].training_split, data_dir=config.data_dir)


def _load_training_text(
    config: ExperimentConfig,
) -> tuple[ParallelCaptions | None, tuple[Sequence[str], ...]]:
    if config.text is None:
        return None if config.train_on == "pairs" else _training_text_of(config, config.train_on), ()
    named = {name: partial(_training_text_of, config, name) for name in TRAIN_ON if name != "pairs"}
    return load_text(config, named, partial(_is_read, language=config.language))


def _is_read(source: TextSource, language: str) -> bool:
    """Return `is_read` of a source, or raise DataError for a data set, or a split, that is never trained on."""
    name, *split = re.split("[/:]", source.name, maxsplit=1)
    if split and name in TEXT_SETS and split[0] in DATASETS[name].splits:
        raise DataError(f"training reads only the split train of {name}: write {name}, not {source.name}", field="text")
    if source.name in DATASETS and source.name not in TRAIN_ON:
        names = ", ".join(TEXT_SETS)
        raise DataError(
            f"{source.name} is never trained on: expected one of {names}, or files of your own", field="text"
        )
    return is_read(source, language)


def with_mixed(
    text: TrainingText,
    config: ExperimentConfig,
    test: ParallelCaptions,
) -> TrainingText:
    """Return a training text with mixed captions after its pairs, made with a lexicon of the pairs.

    Captions of the test part, held-out ones, and those of the photographs of `multi30k-1k` are left out.

    Raises:
        DataError: a source is missing or wrong, or no caption is left.
    """
    captions, sources = _english_captions(config.mixed, "mixed", config.data_dir)
    left_out = normal_forms(test)
    if text.held_out is not None:
        left_out |= normal_forms(text.held_out)

    remaining = [caption for caption in captions if normal_form(caption) not in left_out]
    count = len(captions) - len(remaining)
    if count:
        logger.info("mixed: %d of %d captions are tested or held out: dropped", count, len(captions))

    if not remaining:
        raise DataError(
            f"expected captions that are neither tested nor held out, got none from {config.mixed}", field="mixed"
        )

    row = LANGUAGES.get(config.language)  # none for a code that only the user's table has
    mixer = Mixer(*lexicon_pairs(text.train), spaces=row is None or row.script not in UNSPACED)
    mixed, counts = zip(*mixer(remaining), strict=True)
    share = sum(counts) / sum(len(caption.split()) for caption in remaining)
    logger.info("mixed: %.0f %% of the words of %d captions are replaced", 100 * share, len(remaining))
    if share < _LEAST_SHARE:
        logger.warning("mixed: few words are replaced: too few pairs, or words that spaces do not separate")

    english = (not_none(text.train.english, "english"), remaining)
    target = (text.train.target, mixed)
    columns = column_of(chain(*english)), column_of(chain(*target))
    record = {"mixed": {"sources": sources, "captions": len(remaining), "share_of_words": round(share, 4)}}
    provenance = text.train.provenance | record
    train = ParallelCaptions(text.train.dataset, config.language, *columns, provenance=provenance)

    return replace(text, train=train, mixed=len(remaining), shared=(*text.shared, remaining))


def load_memory(config: ExperimentConfig, left_out: Collection[str]) -> list[str]:
    """Return the English captions of `config.memory`, each once, without those whose normal form is left out.

    Raises:
        DataError: a source is missing or wrong, or no caption is left.
    """
    captions, _ = _english_captions(config.memory, "memory", config.data_dir)
    remaining = [caption for caption in dict.fromkeys(captions) if normal_form(caption) not in left_out]
    if not remaining:
        raise DataError(f"expected captions that are not tested, got none from {config.memory}", field="memory")
    return remaining


def _english_captions(text: str | None, field: str, data_dir: str | None) -> tuple[list[str], list[dict[str, Any]]]:
    """Return the English captions of all sources, each sampled by its weight, and a record of each source."""
    captions = list[str]()
    records = []
    for source in parse_sources(text or "", field):
        path = expanded(source.name)
        root = None
        if source.name == MULTI30K:
            root = find_data_dir(MULTI30K, data_dir)
            path = root / TASK_FOLDER / "raw" / "train.en"

        path = resolve_captions_file(path)
        if not path.exists() or suffix_of(path) in TABLE_SUFFIXES:
            hint = suggest(source.name, (MULTI30K,))
            raise DataError(
                f'expected {MULTI30K} or a file with a caption per line, got "{source.name}"{hint}', field=field
            )

        lines = list(stripped_lines(path))
        if root is not None:
            lines = outside_pool(lines, root)

        lines = [line for line in lines if line]
        captions += [lines[index] for index in weighted(np.arange(len(lines)), source)]
        records.append({"source": source.name, "weight": source.weight, "file": path.name, "sha256": sha256_file(path)})

    return captions, records
