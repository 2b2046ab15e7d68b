"""Recall with corrected hubs, next to plain recall: `pecl evaluate --correct-hubs`, see `pecl.retrieval.hubs`."""

import numpy as np
import torch
import torch.nn.functional as F

from pecl.config import ExperimentConfig
from pecl.errors import ConfigError, setting
from pecl.experiment.evaluation import with_adapter
from pecl.experiment.frozen import embed_images
from pecl.experiment.inputs import read_evaluation
from pecl.experiment.tested_pairs import without_training_pairs
from pecl.experiment.towers import towers_of
from pecl.retrieval.evaluator import Evaluation, RetrievalEvaluator
from pecl.retrieval.hubs import References, find_references
from pecl.retrieval.measures import RECALL_AT, bootstrap_intervals
from pecl.training.distributed import use_threads

DIRECTION = "text_to_image"  # corrections are for photographs, so the other direction has the same ranks


def check_corrections(config: ExperimentConfig) -> References:
    """Return the reference captions for a config's towers. Raise ConfigError if there are none."""
    if config.gallery != "images":
        raise ConfigError(f"expected images with {setting(correct_hubs=True)}, got {config.gallery}", field="gallery")
    if config.image_embeddings is not None:
        raise ConfigError(
            f"expected no {setting('image_embeddings')} with it: corrections are for pecl's own images",
            field="correct_hubs",
        )

    towers = towers_of(config)
    fingerprints = {"image": towers.image.fingerprint, "text": towers.text.fingerprint}
    references = find_references(config.profile, fingerprints)
    if references is None:
        names = f"{towers.text.name} and {towers.image.name}"
        raise ConfigError(
            f"no reference captions are known for {names}, expected the profile mini", field="correct_hubs"
        )

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
