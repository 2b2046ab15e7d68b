"""Recall of an evaluation with hubs corrected, next to plain recall: see `pecl.retrieval.hubs`."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class CorrectedRecall:
    """Recall@k from texts to images by k, plain and with hubs corrected."""

    language: str
    plain: dict[int, float]
    corrected: dict[int, float]
    intervals: dict[int, tuple[float, float]]  # 95 % bootstrap interval of corrected - plain, paired by query

    def to_json(self) -> dict[str, object]:
        """Return the row as a JSON object."""
        row: dict[str, object] = {"language": self.language}
        for k in RECALL_AT:
            row |= {f"recall@{k}": self.plain[k], f"corrected recall@{k}": self.corrected[k]}
            row |= dict(zip((f"low@{k}", f"high@{k}"), self.intervals[k], strict=True))
        return row


def check_corrections(config: ExperimentConfig) -> References:
    """Return the reference captions for a config's towers.

    Raises:
        ConfigError: none are known for its towers, or its gallery is not images that pecl embeds.
    """
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


def corrected_recall(config: ExperimentConfig) -> CorrectedRecall:
    """Measure the recall of an evaluation, plain and with hubs corrected."""
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
    intervals = bootstrap_intervals(corrected - plain).tolist()
    return CorrectedRecall(
        config.language,
        dict(zip(RECALL_AT, plain.mean(axis=1).tolist(), strict=True)),
        dict(zip(RECALL_AT, corrected.mean(axis=1).tolist(), strict=True)),
        {k: (low, high) for k, (low, high) in zip(RECALL_AT, intervals, strict=True)},
    )
