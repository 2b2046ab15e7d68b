"""`Inputs`: everything that one run reads: captions, parts, training text, and the token ids of its texts.

The first step of an experiment. Nothing here runs a tower, so all of it may be used at any time;
`frozen` has what the towers compute, which must come before an adapter is attached.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from pecl.config import ExperimentConfig
from pecl.config.recipes import own_recipe
from pecl.config.routes import TranslationRoute, route
from pecl.config.rules import check_evaluation_fields
from pecl.data.captions import COLUMNS, ENGLISH_COLUMNS, ParallelCaptions, find_repeats
from pecl.data.registry import load_dataset
from pecl.data.splits import published_part, split_captions
from pecl.encoders.batches import TokenIds
from pecl.encoders.large import tokens_of
from pecl.encoders.store import store_of
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, DataError, not_none, setting
from pecl.experiment.loading import TrainingDataCache, hashes_of_data, load_captions, load_memory, photographs_of
from pecl.experiment.training_text import TrainingText, normal_forms
from pecl.files import sha256_lines
from pecl.files.image_rows import ImageRows
from pecl.files.images import image_fingerprints
from pecl.language.languages import ENGLISH
from pecl.results.completeness import file_hashes

logger = logging.getLogger(__name__)

MOST_OTHER = 300  # English captions that are measured as other text


@dataclass(frozen=True)
class Inputs:
    """What one run reads. An evaluation has only the part `test`."""

    config: ExperimentConfig
    route: TranslationRoute
    towers: Towers
    data: ParallelCaptions  # the whole data set
    parts: Mapping[str, tuple[int, ...]]  # captions of `train`, `val` and `test` in `data`
    training_text: TrainingText | None = None  # text to train on in place of the training pairs
    # Text unlike the training text, to see what an adapter loses there; None without training text
    other_text: ParallelCaptions | None = None
    memory: Sequence[str] = ()  # English captions without translations
    # SHA-256 of local files by field, when they were read
    files: Mapping[str, str] = field(default_factory=dict)
    # embeddings of the images by another program, in place of the image tower
    rows: ImageRows | None = None
    # Pairs that trained the evaluated adapter: the number `left_out` of the test, or `tested`
    training_pairs: Mapping[str, int] | None = None

    # Columns and languages

    @property
    def anchor_column(self) -> str | None:
        """The column of the anchors that queries are aligned to; None if the route has none or its weight is 0."""
        return self.route.anchor if self.config.alignment_weight else None

    def query(self, part: str) -> str:
        """Return the column that is the query in `part`."""
        return self.route.test_query if part == "test" else self.route.query

    def language_of(self, column: str) -> str:
        """Return the language of the texts in `column`."""
        return ENGLISH if column in ENGLISH_COLUMNS else self.config.language

    @property
    def test_language(self) -> str:
        """Language of the test queries: English if these are translations into it."""
        return self.language_of(self.query("test"))

    # Training pairs

    @cached_property
    def train(self) -> ParallelCaptions:
        """The training pairs, followed by mixed captions, if any."""
        if self.training_text is None:
            return self.data.select(self.parts["train"])
        return self.training_text.train

    @property
    def pairs(self) -> ParallelCaptions:
        """The training pairs without mixed captions."""
        return self.train if self.training_text is None else self.training_text.pairs

    @cached_property
    def train_tokens(self) -> TokenIds:
        """Token ids of the training queries."""
        column = self.route.query
        return tokens_of(self.towers.text, getattr(self.train, column), self.language_of(column))

    @cached_property
    def held_out(self) -> ParallelCaptions:
        """Pairs for choosing weights, never trained on: part of the training text, or else the validation part."""
        if self.training_text is None:
            return self.data.select(self.parts["val"])
        return not_none(self.training_text.held_out, "held_out")

    @cached_property
    def held_out_tokens(self) -> TokenIds:
        """Token ids of the queries of `held_out`."""
        column = self.route.query
        return self.towers.text.tokenize(getattr(self.held_out, column), self.language_of(column))

    # Queries and galleries of a part

    def texts(self, part: str) -> tuple[str, ...]:
        """Return the queries of `val` or `test`."""
        column = getattr(self.data, self.query(part))
        return tuple(column[i] for i in self.parts[part])

    def tokens(self, part: str) -> TokenIds:
        """Return the token ids of the queries of `val` or `test`."""
        return self.towers.text.tokenize(self.texts(part), self.language_of(self.query(part)))

    def items(self, part: str) -> list[int]:
        """Return the index of the gallery item of each query of `part`: an image, or an English caption."""
        captions = self.parts[part]
        if self.config.gallery == "english":
            return list(captions)
        return self.images_of(captions)

    def gallery_items(self, part: str) -> list[int]:
        """Return the indices of the gallery of `part`: images, or English captions."""
        return list(dict.fromkeys(self.items(part)))

    def places(self, part: str) -> list[int]:
        """Return the index in `gallery_items` of the item of each query of `part`."""
        index_of = {item: i for i, item in enumerate(self.gallery_items(part))}
        return [index_of[item] for item in self.items(part)]

    def images_of(self, captions: Sequence[int]) -> list[int]:
        """Return the index of the image of each caption."""
        image_index = not_none(self.data.image_index, "image_index")
        return [image_index[i] for i in captions]

    # Identity

    @cached_property
    def hashes(self) -> dict[str, Any]:
        """Hashes that identify the data of a training."""
        return hashes_of_data(self.data, self.training_text, self.photographs)

    @cached_property
    def photographs(self) -> str | None:
        """One SHA-256 over the photographs that are trained on or retrieved; None without any."""
        numbers = photographs_of(self.config, self.data, self.parts)
        return sha256_lines([self.image_fingerprints[i] for i in numbers]) if numbers else None

    @cached_property
    def image_fingerprints(self) -> list[str]:
        """Fingerprints of all M images, computed once: a result names exactly the images it was measured with."""
        return image_fingerprints(not_none(self.data.images, "images"))

    @cached_property
    def duplicates(self) -> dict[str, int]:
        """Counts of repeated items in the test `gallery` and the test `queries`; empty without repeats."""
        gallery_items = self.gallery_items("test")
        if self.config.gallery == "english":
            english = not_none(self.data.english, "english")
            contents = [english[i] for i in gallery_items]
        else:
            contents = [self.image_fingerprints[i] for i in gallery_items]

        repeats = {
            "gallery": find_repeats(contents),
            "queries": find_repeats(list(self.texts("test")), self.items("test")),
        }
        return {name: len(indices) for name, indices in repeats.items() if indices}


def read_evaluation(config: ExperimentConfig, towers: Towers) -> Inputs:
    """Read an evaluation on the published test part, or else all data.

    Raises:
        ConfigError: the config has values that exclude each other.
        DataError: data are missing or wrong, or an image has no row among the embeddings of another program.
    """
    check_evaluation_fields(config)
    translation_route = route(config.route, config.test_query)
    data = load_captions(config, (translation_route.test_query,), lambda: store_of(towers.image))
    test = tuple(range(len(data))) if data.part is None else published_part(data, "test")
    inputs = Inputs(config, translation_route, towers, data, {"test": test}, files=file_hashes(config))

    if config.image_embeddings is None:
        return inputs

    inputs = replace(inputs, rows=ImageRows(config.image_embeddings))
    row_numbers(inputs)  # raises an error for an image without a row
    return inputs


def read_training(
    config: ExperimentConfig,
    towers: Towers,
    cache: TrainingDataCache | None = None,
    *,
    other_text: bool = True,
) -> Inputs:
    """Read a training with its few-shot split and training text.

    Args:
        config: the run.
        towers: its towers; none is run.
        cache: data that another run has read already.
        other_text: whether to read text unlike the training text, which a dry run does not need.

    Raises:
        ConfigError: the loss of the config cannot be computed from its inputs.
        DataError: data are missing or wrong.
    """
    translation_route = route(config.route, config.test_query)
    data, text = (cache or TrainingDataCache())(config, lambda: store_of(towers.image))
    parts = split_captions(data, config.shots, config.split_seed)._asdict()
    inputs = Inputs(config, translation_route, towers, data, parts, text, files=file_hashes(config))
    _check_columns(inputs)
    if config.memory is not None:
        tested = [data.select([*parts["val"], *parts["test"]])]
        if text is not None and text.held_out is not None:
            tested.append(text.held_out)
        inputs = replace(inputs, memory=load_memory(config, set().union(*map(normal_forms, tested))))

    if text is not None and other_text:
        return replace(inputs, other_text=_read_other_text(inputs))
    return inputs


def row_numbers(inputs: Inputs) -> list[int]:
    """Return the row of each item of the test gallery in embeddings by another program.

    Raise DataError for an image without a row.
    """
    ids = not_none(inputs.data.images, "images").ids
    return not_none(inputs.rows, "rows").rows_of([ids[i] for i in inputs.gallery_items("test")])


def _read_other_text(inputs: Inputs) -> ParallelCaptions | None:
    """Return the split `dev` of SIB-200, or else of NTREX, if the data directory has it in the language.

    Otherwise return the English captions of the test part, on both sides; None without English captions.
    """
    config = inputs.config
    data = inputs.data
    for dataset in ("sib200", "ntrex"):
        try:
            return load_dataset(dataset, config.language, split="dev", data_dir=config.data_dir)
        except (ConfigError, DataError) as error:
            logger.info("no other text in the language: %s", error)

    if data.english is None:
        return None

    english = tuple(data.english[i] for i in inputs.parts["test"][:MOST_OTHER])
    return ParallelCaptions(data.dataset, ENGLISH, english, english)


def _check_columns(inputs: Inputs) -> None:
    """Raise ConfigError or DataError for data without the captions or images that the loss is computed from."""
    config = inputs.config
    data = inputs.data
    train = data if inputs.training_text is None else inputs.training_text.train

    recipe = own_recipe(config.recipe)
    source, columns = f"route {config.route}", [inputs.route.query, inputs.route.anchor]
    if recipe is not None:
        source = f"recipe {config.recipe}"
        columns = [name for name in (*recipe.student, *recipe.teacher) if name in COLUMNS]

    for column in filter(None, columns):
        if getattr(train, column) is None:
            raise ConfigError(f"{source}: expected data with {column}, which {train.dataset} does not have")

    if config.image_weight and data.images is None:
        raise DataError(f"{data.dataset} has no images here: train on text only with {setting(image_weight=0)}")


def check_joint(members: Sequence[Inputs]) -> None:
    """Raise ConfigError if the languages of a joint training have different numbers of pairs."""
    joint = members[0].config.joint
    sizes = {member.config.language: len(member.train) for member in members}
    if joint is not None and len(set(sizes.values())) > 1:
        counts = ", ".join(f"{pairs} of {language}" for language, pairs in sizes.items())
        raise ConfigError(
            f"expected as many pairs of each language of the joint training {joint}, got {counts}: "
            f"{setting(train_size=min(sizes.values()))} takes so many of each",
            field="train_size",
        )
