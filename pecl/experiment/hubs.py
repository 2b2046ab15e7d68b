"""Recall of an evaluation with hubs corrected, next to plain recall: see `pecl.retrieval.hubs`."""

import numpy as np
import torch
import torch.nn.functional as F

from pecl.config import ExperimentConfig
from pecl.errors import ConfigError
from pecl.experiment.prepared import prepare_evaluation
from pecl.experiment.run import towers_of, with_adapter
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.retrieval.hubs import References, find_references
from pecl.retrieval.measures import RECALL_AT, bootstrap_intervals
from pecl.training.distributed import use_threads

DIRECTION = "text_to_image"  # the other direction has the same ranks


def check_corrections(config: ExperimentConfig) -> References:
    """Return the reference captions for a config's towers, or raise ConfigError if none are known for them."""
    if config.gallery != "images":
        raise ConfigError(f"gallery: expected images with --correct-hubs, got {config.gallery}")
    if config.image_embeddings is not None:
        raise ConfigError("--correct-hubs: expected no --embeddings with it: corrections are for pecl's own images")
    towers = towers_of(config)
    fingerprints = {"image": towers.image.fingerprint, "text": towers.text.fingerprint}
    found = find_references(config.profile, fingerprints)
    if found is None:
        names = f"{towers.text.name} and {towers.image.name}"
        raise ConfigError(f"--correct-hubs: no reference captions are known for {names}, expected the profile mini")
    return found


def corrected_recall(config: ExperimentConfig) -> dict[str, object]:
    """Return recall@k from texts to images, plain and with hubs corrected.

    From low@k to high@k is the 95 % bootstrap interval of corrected - plain, paired by query.
    """
    config, choice = with_adapter(config)
    with use_threads(config.threads):
        references, towers = check_corrections(config), towers_of(config)
        prepared = prepare_evaluation(config, towers)
        text = choice.bank(towers.text, config.language)
        embeddings = text.encode_text(prepared.texts("test"), config.language)  # (Q, D)
        gallery = F.normalize(prepared.images[prepared.gallery_items("test")], dim=1)  # (G, D)
        corrections = torch.from_numpy(references.corrections(gallery.numpy()))
        ranks = [
            np.array(RetrievalEvaluator(gallery, prepared.places("test"), corrections=own)(embeddings).ranks[DIRECTION])
            for own in (None, corrections)
        ]
    plain, corrected = (np.array([rank <= k for k in RECALL_AT], float) for rank in ranks)  # (K, Q)
    row: dict[str, object] = {"language": config.language}
    for k, own, others, (low, high) in zip(
        RECALL_AT, plain, corrected, bootstrap_intervals(corrected - plain).tolist(), strict=True
    ):
        row |= {f"recall@{k}": float(own.mean()), f"corrected recall@{k}": float(others.mean())}
        row |= {f"low@{k}": low, f"high@{k}": high}
    return row
