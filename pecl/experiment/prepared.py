"""`Prepared`: one config with its data, token ids and frozen embeddings, for training and evaluation.

Columns are tokenised once, and frozen embeddings come from the stores on disk.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import torch

from pecl.config import ExperimentConfig
from pecl.config.routes import TranslationRoute, route
from pecl.data.captions import ENGLISH_COLUMNS, ParallelCaptions, find_repeats
from pecl.data.languages import ENGLISH
from pecl.data.registry import load_dataset
from pecl.data.splits import published_part, split_captions
from pecl.encoders.batches import TokenIds
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.large import LARGE, frozen_embeddings, tokens_of
from pecl.encoders.store import image_embeddings, store_of, text_embeddings
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, DataError, not_none
from pecl.experiment.inputs import TrainingInputs, hashes_of_inputs, load_captions, photographs_of
from pecl.experiment.text import TrainingText
from pecl.files import sha256_lines
from pecl.files.image_rows import ImageRows
from pecl.files.images import image_fingerprints
from pecl.results.folder import file_hashes
from pecl.results.result import OTHER_TEXT
from pecl.retrieval.evaluator import Evaluation, RetrievalEvaluator
from pecl.retrieval.ranks import compare, cosine_blocks

logger = logging.getLogger(__name__)

MOST_OTHER = 300  # English captions that are measured as other text
RIVALS = 50_000  # training anchors in the gallery of held-out queries


class Check(NamedTuple):
    """Token ids of queries, the evaluator of their embeddings, and the measurement of the plain tower."""

    token_ids: TokenIds
    evaluator: RetrievalEvaluator
    plain: Evaluation


@dataclass(frozen=True)
class Prepared:
    """Data, token ids and frozen embeddings of one config."""

    config: ExperimentConfig
    route: TranslationRoute
    towers: Towers  # the text tower has no adapter while frozen embeddings are computed
    data: ParallelCaptions  # the whole data set
    parts: dict[str, tuple[int, ...]]  # captions of `train`, `val` and `test` in `data`; an evaluation has only `test`
    translations: TrainingText | None = None  # text to train on in place of the training pairs
    files: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of local files by field, when they were read
    rows: ImageRows | None = None  # embeddings of the images by another program, in place of the image tower
    # pairs that trained the evaluated adapter: the number `left_out` of the test, or `tested`
    training_pairs: Mapping[str, int] | None = None

    @cached_property
    def hashes(self) -> dict[str, Any]:
        """Hashes that identify the data of a training."""
        return hashes_of_inputs(self.data, self.translations, self.photographs)

    @property
    def photographs(self) -> str | None:
        """One SHA-256 over the photographs that are trained on or retrieved; None without any."""
        used = photographs_of(self.config, self.data, self.parts)
        return sha256_lines([self.image_fingerprints[i] for i in used]) if used else None

    @property
    def anchor(self) -> str | None:
        """Column of the anchors that queries are aligned to; None if the route has none or its weight is 0."""
        return self.route.anchor if self.config.alignment_weight else None

    def query(self, part: str) -> str:
        """Return the column that is the query in `part`."""
        return self.route.test_query if part == "test" else self.route.query

    @property
    def test_language(self) -> str:
        """Language of the test queries: English if these are translations into it."""
        return self.language_of(self.query("test"))

    @cached_property
    def train(self) -> ParallelCaptions:
        """The training pairs, followed by mixed captions, if any."""
        return self.data.select(self.parts["train"]) if self.translations is None else self.translations.train

    @property
    def pairs(self) -> ParallelCaptions:
        """The training pairs without mixed captions."""
        return self.train if self.translations is None else self.translations.pairs

    @cached_property
    def train_tokens(self) -> TokenIds:
        """Token ids of the training queries."""
        column = self.route.query
        return tokens_of(self.towers.text, getattr(self.train, column), self.language_of(column))

    @cached_property
    def held_out(self) -> ParallelCaptions:
        """Pairs for choosing weights, never trained on: part of the training text, or else the validation part."""
        if self.translations is None:
            return self.data.select(self.parts["val"])
        return not_none(self.translations.held_out, "held_out")

    @cached_property
    def held_out_tokens(self) -> TokenIds:
        """Token ids of the queries of `held_out`."""
        column = self.route.query
        return self.towers.text.tokenize(getattr(self.held_out, column), self.language_of(column))

    @cached_property
    def held_out_anchor(self) -> torch.Tensor:
        """Embeddings (m, D) of the anchors of `held_out` by the tower without adapter."""
        column = not_none(self.route.anchor, "anchor")
        return self._frozen(getattr(self.held_out, column), self.language_of(column))

    @cached_property
    def text_gallery(self) -> torch.Tensor:
        """Embeddings (m + n, D) of the anchors of `held_out` and of at most `RIVALS` training anchors."""
        return torch.cat([self.held_out_anchor, self.frozen_anchor[:RIVALS]])

    def text_recall(self, embeddings: torch.Tensor) -> float:
        """Return the share of queries of `held_out` whose own anchor ranks first among all anchors of the text.

        Training anchors are in the gallery, too: a few hundred held-out anchors would be too easy. The embeddings
        are (m, D).
        """
        blocks = cosine_blocks(embeddings, self.text_gallery)
        found = compare(blocks, torch.arange(len(embeddings)), nearest=1)
        return float((found.ahead_of_item == 0).double().mean())

    @cached_property
    def other_text(self) -> ParallelCaptions | None:
        """Text unlike the training text, to see what an adapter loses there; None without training text.

        It is the split `dev` of SIB-200, or else of NTREX, if that is in the data directory and has the language.
        Otherwise it is the English captions of the test part, on both sides.
        """
        if self.translations is None:
            return None
        for dataset in ("sib200", "ntrex"):
            try:
                return load_dataset(dataset, self.config.language, split="dev", data_dir=self.config.data_dir)
            except (ConfigError, DataError) as error:
                logger.info("no other text in the language: %s", error)
        if self.data.english is None:
            return None
        english = tuple(self.data.english[i] for i in self.parts["test"][:MOST_OTHER])
        return ParallelCaptions(self.data.dataset, ENGLISH, english, english)

    def checks(self) -> dict[str, Check]:
        """Return the checks of `val`, `test` and `other_text`; the latter's gallery is its English side."""
        found, tower, text = dict[str, Check](), self.towers.text, self.other_text
        for part in ("val", "test"):
            evaluator = self.evaluator(part)
            found[part] = Check(self.tokens(part), evaluator, evaluator(self.zero_shot(part)))
        if text is not None:
            gallery = self._frozen(tuple(not_none(text.english, "english")), ENGLISH)
            evaluator = RetrievalEvaluator(gallery, range(len(gallery)), "english")
            plain = evaluator(self._frozen(tuple(text.target), text.language))
            found[OTHER_TEXT] = Check(tower.tokenize(text.target, text.language), evaluator, plain)
        return found

    def tokens(self, part: str) -> TokenIds:
        """Return the token ids of the queries of `val` or `test`."""
        return self.towers.text.tokenize(self.texts(part), self.language_of(self.query(part)))

    def texts(self, part: str) -> tuple[str, ...]:
        """Return the queries of `val` or `test`."""
        column = getattr(self.data, self.query(part))
        return tuple(column[i] for i in self.parts[part])

    def zero_shot(self, part: str) -> torch.Tensor:
        """Return the embeddings (N, D) of the queries of `part` by the tower without adapter."""
        return self._frozen_column(self.query(part), self.parts[part])

    def evaluator(self, part: str) -> RetrievalEvaluator:
        """Return the evaluator of the queries of `part` against the gallery of that part."""
        shown = self.gallery_items(part)
        gallery = self._frozen_column("english", shown) if self.config.gallery == "english" else self.images[shown]
        return RetrievalEvaluator(gallery, self.places(part), self.config.gallery)  # of (G, D)

    def gallery_items(self, part: str) -> list[int]:
        """Return the indices of the gallery of `part`: images, or English captions."""
        return list(dict.fromkeys(self.items(part)))

    def places(self, part: str) -> list[int]:
        """Return the index in `gallery_items` of the item of each query of `part`."""
        place = {item: i for i, item in enumerate(self.gallery_items(part))}
        return [place[item] for item in self.items(part)]

    def items(self, part: str) -> list[int]:
        """Return the index of the gallery item of each query of `part`."""
        indices = self.parts[part]
        if self.config.gallery == "english":
            return list(indices)
        image_index = not_none(self.data.image_index, "image_index")
        return [image_index[i] for i in indices]

    @cached_property
    def duplicates(self) -> dict[str, int]:
        """Counts of repeated items in the test `gallery` and the test `queries`; empty without repeats."""
        shown, queries = self.gallery_items("test"), getattr(self.data, self.query("test"))
        if self.config.gallery == "english":
            contents = [not_none(self.data.english, "english")[i] for i in shown]
        else:
            contents = [self.image_fingerprints[i] for i in shown]
        repeats = {
            "gallery": find_repeats(contents),
            "queries": find_repeats([queries[i] for i in self.parts["test"]], self.items("test")),
        }
        return {name: len(found) for name, found in repeats.items() if found}

    @cached_property
    def image_fingerprints(self) -> list[str]:
        """Fingerprints of all M images, computed once: a result names exactly the images it was measured with."""
        return image_fingerprints(not_none(self.data.images, "images"))

    @cached_property
    def images(self) -> torch.Tensor:
        """Embeddings (M, D) of all images of the data set; by another program, NaN outside the test gallery."""
        images = not_none(self.data.images, "images")
        if self.rows is not None:
            width = self.towers.text.embedding_dim
            found = torch.full((len(images), width), torch.nan)
            taken = self.rows.take(self.row_numbers, width, self.config.profile)
            found[self.gallery_items("test")] = torch.from_numpy(taken)
            return found
        tower = self.towers.image
        return image_embeddings(tower, images, store_of(tower), self.image_fingerprints)

    @cached_property
    def row_numbers(self) -> list[int]:
        """Index in `rows` of each item of the test gallery."""
        ids = not_none(self.data.images, "images").ids
        return not_none(self.rows, "rows").rows_of([ids[i] for i in self.gallery_items("test")])

    @cached_property
    def train_images(self) -> torch.Tensor | None:
        """Embeddings (m, D) of the images of the training part; None in text-only training."""
        if not self.config.image_weight:
            return None
        image_index = not_none(self.data.image_index, "image_index")
        return self.images[[image_index[i] for i in self.parts["train"]]]

    @cached_property
    def frozen_anchor(self) -> torch.Tensor | Embeddings:
        """Embeddings (n, D) of the training anchors by the tower without adapter.

        An English list that languages share is embedded as a whole if at least half of it is trained on.
        """
        column = not_none(self.route.anchor, "anchor")
        texts, language = getattr(self.train, column), self.language_of(column)
        if self.translations is None or column != "english" or len(texts) >= LARGE:
            return frozen_embeddings(self.towers.text, texts, store_of(self.towers.text), language)
        distinct, found = dict.fromkeys(texts), dict[str, torch.Tensor]()
        for listed in self.translations.shared:
            if 2 * sum(text in distinct for text in listed) >= len(listed):
                found = dict(zip(listed, self._frozen(tuple(listed), language), strict=True)) | found
        if own := tuple(text for text in distinct if text not in found):
            found |= dict(zip(own, self._frozen(own, language), strict=True))
        return torch.stack([found[text] for text in texts])

    def _frozen_column(self, column: str, indices: Sequence[int]) -> torch.Tensor:
        """Return the embeddings (n, D) of captions; without published parts, the whole column is embedded, once."""
        texts, language = getattr(self.data, column), self.language_of(column)
        if self.data.part is None:
            return self._frozen(texts, language)[list(indices)]
        return self._frozen(tuple(texts[i] for i in indices), language)

    def language_of(self, column: str) -> str:
        """Return the language of the texts in `column`."""
        return ENGLISH if column in ENGLISH_COLUMNS else self.config.language

    def _frozen(self, texts: tuple[str, ...], language: str) -> torch.Tensor:
        return text_embeddings(self.towers.text, texts, store_of(self.towers.text), language)


def prepare_evaluation(config: ExperimentConfig, towers: Towers) -> Prepared:
    """Return an evaluation on the published test part, or else all data. Raise ConfigError or DataError."""
    chosen = route(config.route, config.test_query)
    data = load_captions(config, (chosen.test_query,), lambda: store_of(towers.image))
    test = tuple(range(len(data))) if data.part is None else published_part(data, "test")
    prepared = Prepared(config, chosen, towers, data, {"test": test}, files=file_hashes(config))
    if config.image_embeddings is None:
        if config.image_paths is not None:
            raise ConfigError("image_paths: expected image_embeddings with it")
        return prepared
    if config.gallery != "images":
        raise ConfigError(f"image_embeddings: expected the gallery images with it, got {config.gallery}")
    prepared = replace(prepared, rows=ImageRows(config.image_embeddings, config.image_paths))
    _ = prepared.row_numbers  # refuses images without a row
    return prepared


def prepare_training(config: ExperimentConfig, towers: Towers, inputs: TrainingInputs | None = None) -> Prepared:
    """Return a training with its few-shot split and training text; runs may share `inputs`, a cache of data."""
    chosen = route(config.route, config.test_query)
    data, translations = (inputs or TrainingInputs())(config, lambda: store_of(towers.image))
    split = split_captions(data, config.shots, config.split_seed)
    prepared = Prepared(config, chosen, towers, data, split._asdict(), translations, file_hashes(config))
    _check_training(prepared)
    return prepared


def _check_training(prepared: Prepared) -> None:
    """Raise ConfigError or DataError for inputs from which the loss of the config cannot be computed."""
    config, chosen, data, text = prepared.config, prepared.route, prepared.data, prepared.translations
    if config.weights is not None:
        raise ConfigError("weights: expected none, since training starts from the plain tower: leave it out")
    if config.image_embeddings is not None or config.image_paths is not None:
        raise ConfigError("image_embeddings, image_paths: expected neither in a training: only evaluations use them")
    if config.all_pairs:
        raise ConfigError("all_pairs: expected none in a training: it tests only its test part")
    train = data if text is None else text.train
    for column in filter(None, (chosen.query, chosen.anchor)):
        if getattr(train, column) is None:
            raise ConfigError(f"route {config.route}: expected data with {column}, which {train.dataset} does not have")
    if config.image_weight and data.images is None:
        raise DataError(f"{data.dataset} has no images here: train on text only with --image-weight 0")
    if config.chooses_by_text and chosen.anchor is None:
        raise ConfigError(
            f"route: expected method1, method2 or method3 with choose {config.choose} and solver {config.solver}, "
            f"which need an anchor, got {config.route}"
        )
    if "contrastive_with_image" in config.losses and (text is not None or not config.image_weight):
        got = f"image_weight {config.image_weight:g}" if text is None else "text, whose pairs have none"
        raise ConfigError(f"alignment: contrastive_with_image needs images of the aligned pairs, got {got}")
    if "contrastive_with_image" in config.losses and prepared.anchor and config.anchor == "frozen":
        raise ConfigError("anchor: expected student with contrastive_with_image, which trains anchors, got frozen")
    if text is not None and config.image_weight and "gradient" not in config.solvers:
        raise ConfigError(f"solver: expected gradient for training with images and text, got {config.solver}")
    unaligned = prepared.anchor is None
    if unaligned and text is not None:
        raise ConfigError(
            f"route: expected method1, method2 or method3 and an alignment_weight above 0 with text to train on, got "
            f"{config.route} and {config.alignment_weight:g}"
        )
    if unaligned and not config.image_weight:
        raise ConfigError(
            f"image_weight: expected a number > 0, got 0: route {config.route} has no alignment to learn from; or "
            "choose method1, method2 or method3 with an alignment_weight above 0"
        )


def check_joint(members: Sequence[Prepared]) -> None:
    """Raise ConfigError if the languages of a joint training have different numbers of pairs."""
    joint = members[0].config.joint
    sizes = {member.config.language: len(member.train) for member in members}
    if joint is not None and len(set(sizes.values())) > 1:
        got = ", ".join(f"{pairs} of {language}" for language, pairs in sizes.items())
        raise ConfigError(
            f"train_size: expected as many pairs of each language of the joint training {joint}, got {got}: "
            f"--train-size {min(sizes.values())} takes so many of each"
        )
