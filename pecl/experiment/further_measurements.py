"""Further measurements of an evaluation on photographs: `pecl evaluate --correct-hubs` and `--presence`.

Recall with corrected hubs is reported next to plain recall, see `pecl.retrieval.hubs`.

Presence: does the best score of a word show whether the gallery has a photograph of it? Every
fourth image of a data set is in the gallery. A word counts if at least `FEWEST` captions of the
whole set have it, it has three letters or more, and is no stop word of its language. It is present
if a caption of an image in the gallery has it, and absent otherwise. Its score is the similarity of
the nearest image. The area under the ROC curve is .5 for a score without information, and 1 if a
cutoff separates all absent words from all present ones.
"""

import unicodedata
from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from pecl.config import ExperimentConfig
from pecl.errors import ConfigError, DataError
from pecl.experiment.evaluation import with_adapter
from pecl.experiment.frozen import embed_images
from pecl.experiment.inputs import read_evaluation
from pecl.experiment.tested_pairs import without_training_pairs
from pecl.experiment.towers import towers_of
from pecl.language.language_guess import stop_words
from pecl.retrieval.evaluator import Evaluation, RetrievalEvaluator
from pecl.retrieval.hubs import References, find_references
from pecl.retrieval.measures import RECALL_AT, bootstrap_intervals
from pecl.training.distributed import use_threads

DIRECTION = "text_to_image"  # corrections are for photographs, so the other direction has the same ranks
FEWEST = 2  # captions of the whole set that have a word
LETTERS = 3  # fewest of a word
EVERY = 4  # one image in so many is in the gallery


def check_corrections(config: ExperimentConfig) -> References:
    """Return the reference captions for a config's towers. Raise ConfigError if there are none."""
    if config.gallery != "images":
        raise ConfigError(f"gallery: expected images with --correct-hubs, got {config.gallery}")
    if config.image_embeddings is not None:
        raise ConfigError("--correct-hubs: expected no --embeddings with it: corrections are for pecl's own images")

    towers = towers_of(config)
    fingerprints = {"image": towers.image.fingerprint, "text": towers.text.fingerprint}
    references = find_references(config.profile, fingerprints)
    if references is None:
        names = f"{towers.text.name} and {towers.image.name}"
        raise ConfigError(f"--correct-hubs: no reference captions are known for {names}, expected the profile mini")

    return references


def corrected_recall(config: ExperimentConfig) -> dict[str, object]:
    """Return recall@k from texts to images, plain and with hubs corrected.

    low@k and high@k are the ends of the 95 % bootstrap interval of corrected - plain, paired by
    query. It resamples captions, while tables of recalls resample photographs.
    """
    config, choice = with_adapter(config)
    with use_threads(config.threads):
        references = check_corrections(config)
        towers = towers_of(config)
        inputs = without_training_pairs(read_evaluation(config, towers), choice.read(towers.text))
        language = inputs.test_language
        bank = choice.bank(towers.text, language)
        embeddings = bank.encode_text(inputs.texts("test"), language)  # (Q, D)
        gallery = F.normalize(embed_images(inputs)[inputs.gallery_items("test")], dim=1)  # (G, D)
        corrections = torch.from_numpy(references.corrections(gallery.numpy()))
        places = inputs.places("test")
        plain_ranks = _ranks(RetrievalEvaluator(gallery, places)(embeddings))
        corrected_ranks = _ranks(RetrievalEvaluator(gallery, places, corrections=corrections)(embeddings))

    plain = np.array([plain_ranks <= k for k in RECALL_AT], float)  # (K, Q)
    corrected = np.array([corrected_ranks <= k for k in RECALL_AT], float)  # (K, Q)
    intervals = bootstrap_intervals(corrected - plain).tolist()

    row: dict[str, object] = {"language": config.language}
    for i, k in enumerate(RECALL_AT):
        row[f"recall@{k}"] = float(plain[i].mean())
        row[f"corrected recall@{k}"] = float(corrected[i].mean())
        row[f"low@{k}"], row[f"high@{k}"] = intervals[i]
    return row


def _ranks(evaluation: Evaluation) -> np.ndarray:
    return np.array(evaluation.ranks[DIRECTION])


def presence(config: ExperimentConfig) -> dict[str, object]:
    """Measure how well the best score of a word separates present from absent words of a language.

    Return the language, the numbers of gallery images, present words and absent words, and the area
    under the curve.
    """
    if config.gallery != "images":
        raise ConfigError(f"gallery: expected images with --presence, got {config.gallery}")

    config, choice = with_adapter(config)
    with use_threads(config.threads):
        towers = towers_of(config)
        inputs = without_training_pairs(read_evaluation(config, towers), choice.read(towers.text))
        bank = choice.bank(towers.text, inputs.test_language)
        language = inputs.test_language
        words, is_present = words_of(inputs.texts("test"), inputs.places("test"), language)
        if is_present.all() or not is_present.any():
            raise DataError(f"--presence: expected words that only some of the captions have, got {len(words)} words")

        gallery = F.normalize(embed_images(inputs)[inputs.gallery_items("test")[::EVERY]], dim=1)  # (G, D)
        best = (bank.encode_text(words, language) @ gallery.T).amax(dim=1).numpy()  # (W, D) x (D, G): (W,)

    area = area_under_curve(best[is_present], best[~is_present])
    counts = {"images": len(gallery), "present": int(is_present.sum()), "absent": int((~is_present).sum())}
    return {"language": config.language, **counts, "area": area}


def words_of(
    captions: Sequence[str],
    places: Sequence[int],
    language: str,
) -> tuple[list[str], np.ndarray]:
    """Return the words that count, and for each, (W,) bool, whether a caption of an image in the gallery has it.

    `places` has the number of each caption's image; every fourth is in the gallery.
    """
    stop = stop_words([language])
    counts: dict[str, int] = {}
    present = set[str]()
    for caption, index in zip(captions, places, strict=True):
        # and marks, as in Hindi
        letters = (c if unicodedata.category(c)[0] in "LM" else " " for c in caption.lower())
        words_of_caption = {word for word in "".join(letters).split() if sum(map(str.isalpha, word)) >= LETTERS} - stop
        counts |= {word: counts.get(word, 0) + 1 for word in words_of_caption}
        present |= words_of_caption if index % EVERY == 0 else set()

    words = sorted(word for word, count in counts.items() if count >= FEWEST)
    return words, np.array([word in present for word in words], bool)


def area_under_curve(present: np.ndarray, absent: np.ndarray) -> float:
    """Return the share of pairs of a present (P,) and an absent (A,) score in which the present one is larger.

    Equal scores count half.
    """
    ordered = np.sort(absent)
    below, not_above = (np.searchsorted(ordered, present, side) for side in ("left", "right"))
    return float((below + not_above).sum() / (2 * len(present) * len(absent)))
