"""`Frozen`: everything that the plain text tower and the image tower give for one run.

The second step of an experiment. It must come before an adapter is attached: afterwards, the text
tower gives other embeddings. Embeddings of the base encoders are kept on disk (`encoders/store`, long
lists in `encoders/large`), so a later run reads them; lower layers are kept in memory only
(`MultilingualTextEncoder.caching`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from pecl.config import WITH_BANK
from pecl.config.recipes import own_recipe
from pecl.data.captions import COLUMNS, ParallelCaptions
from pecl.encoders.batches import TokenIds
from pecl.encoders.embeddings import Embeddings
from pecl.encoders.large import LARGE, frozen_embeddings
from pecl.encoders.store import image_embeddings, store_of, text_embeddings
from pecl.errors import not_none
from pecl.experiment.inputs import Inputs, row_numbers
from pecl.language.languages import ENGLISH
from pecl.results.result import OTHER_TEXT
from pecl.retrieval.evaluator import Evaluation, RetrievalEvaluator
from pecl.retrieval.ranks import compare, cosine_blocks

RIVALS = 50_000  # training anchors in the gallery of held-out queries


class Check(NamedTuple):
    """Token ids of queries, the evaluator of their embeddings, and the measurement of the base encoder."""

    token_ids: TokenIds
    evaluator: RetrievalEvaluator
    plain: Evaluation


@dataclass(frozen=True)
class Frozen:
    """What the frozen towers give for a training."""

    checks: Mapping[str, Check]  # of `val`, `test` and `other_text`
    # (m, D) of the images of the training part; None in text-only training
    train_images: torch.Tensor | None
    # (n, D) of the training anchors; None if the loss, the solver and the choice of weights need none
    anchors: torch.Tensor | Embeddings | None
    held_out_anchors: torch.Tensor | None  # (m, D); None if weights are not chosen by text
    # (m + at most RIVALS, D): the held-out anchors, and training anchors as further items; None
    # if weights are not chosen by text
    text_gallery: torch.Tensor | None
    # (n, D) of the training texts by column, and (M, D) of the memory, for recipes and solvers
    teacher: Mapping[str, torch.Tensor | Embeddings] = field(default_factory=dict)
    memory: torch.Tensor | None = None

    def text_recall(self, embeddings: torch.Tensor) -> float:
        """Return the share of held-out queries whose own anchor ranks first in `text_gallery`.

        Training anchors are in the gallery, too: a few hundred held-out anchors would be too easy.
        The embeddings are (m, D).
        """
        gallery = not_none(self.text_gallery, "text_gallery")
        comparison = compare(cosine_blocks(embeddings, gallery), torch.arange(len(embeddings)), nearest=1)
        return float((comparison.ahead_of_item == 0).double().mean())


def freeze_training(inputs: Inputs) -> Frozen:
    """Compute everything that the frozen towers give for a training. No adapter may be attached yet."""
    config = inputs.config
    images = None
    if config.gallery == "images" or config.image_weight:
        images = embed_images(inputs)

    checks = {part: _check(inputs, part, images) for part in ("val", "test")}
    if inputs.other_text is not None:
        checks[OTHER_TEXT] = _check_text(inputs, inputs.other_text)

    train_images = None
    if config.image_weight:
        train_images = not_none(images, "images")[inputs.images_of(inputs.parts["train"])]

    anchors = embed_anchors(inputs) if _needs_anchors(inputs) else None
    recipe = own_recipe(config.recipe)
    columns = [] if recipe is None else [name for name in recipe.teacher if name in COLUMNS]
    teacher = {column: embed_training_texts(inputs, column) for column in columns}
    memory = _embed(inputs, tuple(inputs.memory), ENGLISH) if inputs.memory else None
    if not config.chooses_by_text:
        return Frozen(checks, train_images, anchors, None, None, teacher, memory)

    held_out_anchors = embed_held_out_anchors(inputs)
    text_gallery = torch.cat([held_out_anchors, not_none(anchors, "anchors")[:RIVALS]])
    return Frozen(checks, train_images, anchors, held_out_anchors, text_gallery, teacher, memory)


def _needs_anchors(inputs: Inputs) -> bool:
    config = inputs.config
    if config.chooses_by_text:
        return True
    return inputs.anchor_column is not None and (config.anchor == "frozen" or bool(set(config.losses) & set(WITH_BANK)))


def _check(inputs: Inputs, part: str, images: torch.Tensor | None) -> Check:
    evaluator = make_evaluator(inputs, part, images)
    return Check(inputs.tokens(part), evaluator, evaluator(embed_queries_plain(inputs, part)))


def _check_text(inputs: Inputs, text: ParallelCaptions) -> Check:
    """Return the check of other text, whose gallery is its English side."""
    gallery = _embed(inputs, tuple(not_none(text.english, "english")), ENGLISH)
    evaluator = RetrievalEvaluator(gallery, range(len(gallery)), "english")
    plain = evaluator(_embed(inputs, tuple(text.target), text.language))
    return Check(inputs.towers.text.tokenize(text.target, text.language), evaluator, plain)


def make_evaluator(
    inputs: Inputs,
    part: str,
    images: torch.Tensor | None = None,
) -> RetrievalEvaluator:
    """Return the evaluator of the queries of `part` against the gallery of that part.

    `images` (M, D) are the embeddings of all images, if they have been computed already.
    """
    gallery_items = inputs.gallery_items(part)
    if inputs.config.gallery == "english":
        gallery = _embed_column(inputs, "english", gallery_items)  # (G, D)
    else:
        gallery = (embed_images(inputs) if images is None else images)[gallery_items]  # (G, D)
    return RetrievalEvaluator(gallery, inputs.places(part), inputs.config.gallery)


def embed_queries_plain(inputs: Inputs, part: str) -> torch.Tensor:
    """Return the embeddings (N, D) of the queries of `part` by the tower without adapter."""
    return _embed_column(inputs, inputs.query(part), inputs.parts[part])


def embed_images(inputs: Inputs) -> torch.Tensor:
    """Return the embeddings (M, D) of all images of the data set; by another program, NaN outside the test gallery."""
    images = not_none(inputs.data.images, "images")
    if inputs.rows is not None:
        width = inputs.towers.text.embedding_dim
        embeddings = torch.full((len(images), width), torch.nan)
        gallery = inputs.rows.take(row_numbers(inputs), width, inputs.config.profile)
        embeddings[inputs.gallery_items("test")] = torch.from_numpy(gallery)
        return embeddings

    tower = inputs.towers.image
    return image_embeddings(tower, images, store_of(tower), inputs.image_fingerprints)


def embed_held_out_anchors(inputs: Inputs) -> torch.Tensor:
    """Return the embeddings (m, D) of the anchors of the held-out pairs by the tower without adapter."""
    column = not_none(inputs.route.anchor, "anchor")
    return _embed(inputs, getattr(inputs.held_out, column), inputs.language_of(column))


def embed_anchors(inputs: Inputs) -> torch.Tensor | Embeddings:
    """Return the embeddings (n, D) of the training anchors by the tower without adapter."""
    return embed_training_texts(inputs, not_none(inputs.route.anchor, "anchor"))


def embed_training_texts(inputs: Inputs, column: str) -> torch.Tensor | Embeddings:
    """Return the embeddings (n, D) of a column of the training pairs by the tower without adapter.

    An English list that languages share is embedded as a whole if at least half of it is trained on.
    """
    tower = inputs.towers.text
    language = inputs.language_of(column)
    texts = getattr(inputs.train, column)
    if inputs.training_text is None or column != "english" or len(texts) >= LARGE:
        return frozen_embeddings(tower, texts, store_of(tower), language)

    distinct = dict.fromkeys(texts)
    embedding_of: dict[str, torch.Tensor] = {}
    for shared in inputs.training_text.shared:
        if 2 * sum(text in distinct for text in shared) >= len(shared):
            embeddings = _embed(inputs, tuple(shared), language)
            embedding_of = dict(zip(shared, embeddings, strict=True)) | embedding_of

    remaining_texts = tuple(text for text in distinct if text not in embedding_of)
    if remaining_texts:
        embedding_of |= dict(zip(remaining_texts, _embed(inputs, remaining_texts, language), strict=True))
    return torch.stack([embedding_of[text] for text in texts])


def _embed_column(inputs: Inputs, column: str, indices: Sequence[int]) -> torch.Tensor:
    """Return the embeddings (n, D) of captions; without published parts, the whole column is embedded, once."""
    texts = getattr(inputs.data, column)
    language = inputs.language_of(column)
    if inputs.data.part is None:
        return _embed(inputs, texts, language)[list(indices)]
    return _embed(inputs, tuple(texts[i] for i in indices), language)


def _embed(inputs: Inputs, texts: tuple[str, ...], language: str) -> torch.Tensor:
    tower = inputs.towers.text
    return text_embeddings(tower, texts, store_of(tower), language)
