"""Ranks and recall: pure functions of a similarity matrix and a list of correspondences.

Orientation: `similarity` is (Q, G), a row for each query and a column for each gallery item, higher is nearer.
`correct` is (Q, G) bool. A tie counts against the query: an item's rank is one more than the number of
*other* items that are at least as similar, so a constant matrix gives the worst rank, never a lucky one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from pecl.errors import NotFiniteError
from pecl.retrieval.measures import RECALL_AT, RetrievalMetrics


def correct_ranks(similarity: torch.Tensor, correct: torch.Tensor) -> torch.Tensor:
    """Return (Q, C) int64: for each query the ranks of its correct items, best first.

    C is the largest number of correct items of a query; queries with fewer are filled up with G + 1.
    """
    size = similarity.shape[1]
    correct = correct.to(similarity.device)
    wrong = torch.where(correct, -torch.inf, similarity)  # (Q, G): -inf sorts below everything
    below = torch.searchsorted(
        wrong.sort(dim=1).values, similarity.contiguous()
    )  # (Q, G): wrong, strictly less similar
    ahead = torch.where(correct, size - below, size + 1)  # (Q, G): wrong items at least as similar
    most = int(correct.sum(dim=1).max())
    ahead = ahead.sort(dim=1).values[:, :most]  # (Q, C)
    before = torch.arange(1, most + 1, device=ahead.device)
    return (ahead + before).clamp(max=size + 1)  # a correct item comes after those before it


def correspondence(query_item: Sequence[int], gallery_item: Sequence[int]) -> torch.Tensor:
    """Return (Q, G) bool, on the CPU: query i and gallery item j are of the same item (image)."""
    return torch.tensor(query_item).unsqueeze(1) == torch.tensor(gallery_item).unsqueeze(0)


def metrics(similarity: torch.Tensor, correct: torch.Tensor) -> RetrievalMetrics:
    """Return the metrics of one direction from (Q, G) similarity and correspondence, which may lie on any devices.

    Raises:
        ValueError: shapes differ, or a query has no correct item.
        NotFiniteError: a similarity is not a number.
    """
    if similarity.shape != correct.shape:
        raise ValueError(f"correct: expected similarity's shape {tuple(similarity.shape)}, got {tuple(correct.shape)}")
    if not bool(correct.any(dim=1).all()):
        raise ValueError(f"query {int((~correct.any(dim=1)).nonzero()[0])} has no correct item in the gallery")
    if bool(similarity.isnan().any()):
        raise NotFiniteError("similarity: expected numbers, got NaN; the embeddings are damaged")
    all_ranks = correct_ranks(similarity, correct).cpu()  # (Q, C)
    correct = correct.cpu()
    best = all_ranks[:, 0].double()  # (Q,)
    per_query = correct.sum(dim=1).double()  # (Q,)
    size = similarity.shape[1]
    hits = {k: (all_ranks <= min(k, size)).sum(dim=1) for k in RECALL_AT}  # (Q,) each; G + 1: no item
    return RetrievalMetrics(
        queries=len(similarity),
        gallery=size,
        recall={k: float((best <= k).double().mean()) for k in RECALL_AT},
        true_recall={k: float((hits[k] / per_query).mean()) for k in RECALL_AT},
        mean_rank=float(best.mean()),
        median_rank=float(np.median(best.numpy())),
    )


def cosine_similarity(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Return the cosine of every row of (Q, D) with every row of (G, D): (Q, G)."""
    return F.normalize(a, dim=-1) @ F.normalize(b, dim=-1).T
