"""Ranks of correct items in both directions, from blocks of similarities: the (Q, G) matrix is never held whole.

Q texts are compared with a gallery of G items, and each text has one item there. A tie counts against the query: an
item's rank is one more than the number of *other* items that are at least as similar, so equal similarities give the
worst rank, never a lucky one. Correct items of one query do not count against each other's rank by ties.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from pecl.errors import NotFiniteError
from pecl.retrieval.measures import RECALL_AT, RetrievalMetrics

BLOCK = 1 << 23  # similarities held at once, 32 MiB in float32; up to 2,896 x 2,896 are one matrix product
Blocks = Callable[[], Iterator[tuple[slice, torch.Tensor]]]  # yields rows, and the similarities (B, G) of these rows


@dataclass(frozen=True)
class Comparison:
    """The comparison of Q texts with a gallery; tensors of int64, on the CPU.

    Attributes:
        ahead_of_item: (Q,) for each text the number of other gallery items at least as similar to it as its own.
        ahead_of_text: (Q,) for each text the number of texts of other items at least as similar to its item as it is.
        nearest: (Q, N) for each text the indices of the most similar gallery items, nearest first; ties go to
            the first in the gallery.
    """

    ahead_of_item: torch.Tensor
    ahead_of_text: torch.Tensor
    nearest: torch.Tensor


def cosine_blocks(
    texts: torch.Tensor, gallery: torch.Tensor, block: int = BLOCK, corrections: torch.Tensor | None = None
) -> Blocks:
    """Return the cosines of texts (Q, D) with a gallery (G, D) on the same device, as blocks of whole rows.

    Each call computes them again, with the same shapes and so with the same bits.

    Args:
        texts: (Q, D) embeddings.
        gallery: (G, D) embeddings.
        block: similarities held at once.
        corrections: (G,) numbers that are subtracted from all similarities to a gallery item.

    Raises:
        NotFiniteError: an embedding holds a value that is not a number.
    """
    texts, gallery = F.normalize(texts, dim=-1), F.normalize(gallery, dim=-1)
    if bool(texts.isnan().any() | gallery.isnan().any()):
        raise NotFiniteError("the embeddings contain NaN")
    rows = max(block // len(gallery), 1)

    def blocks() -> Iterator[tuple[slice, torch.Tensor]]:
        for start in range(0, len(texts), rows):
            similarity = texts[start : start + rows] @ gallery.T
            yield slice(start, start + rows), similarity if corrections is None else similarity - corrections

    return blocks


def compare(blocks: Blocks, item: torch.Tensor, nearest: int, block: int = BLOCK) -> Comparison:
    """Compare each text with the whole gallery, and each gallery item with all texts, on the very same values.

    Args:
        blocks: gives the similarities (Q, G), see `cosine_blocks`; called twice.
        item: (Q,) int64, for each text the index of its gallery item; on the device of the similarities.
        nearest: how many gallery items to keep for each text; fewer if the gallery is smaller.
        block: pairs of texts compared at once.
    """
    own = torch.cat([similarity.gather(1, item[rows, None]) for rows, similarity in blocks()])  # (Q, 1)
    ahead_of_item = []
    ahead_of_text = torch.zeros_like(item)
    places = []
    for rows, similarity in blocks():
        ahead_of_item.append((similarity >= own[rows]).sum(dim=1) - 1)  # (B,): all but the item itself
        ahead_of_text += _others_ahead(similarity, own[:, 0], item, item[rows], block)
        places.append(_nearest(similarity, min(nearest, similarity.shape[1])))
    return Comparison(torch.cat(ahead_of_item).cpu(), ahead_of_text.cpu(), torch.cat(places).cpu())


def _others_ahead(
    similarity: torch.Tensor, own: torch.Tensor, item: torch.Tensor, item_of_row: torch.Tensor, block: int
) -> torch.Tensor:
    """Return (Q,): for each text the number of rows of other items at least as similar to its item as it is."""
    counts = []
    for columns in torch.arange(len(item), device=item.device).split(max(block // len(similarity), 1)):
        at_least = similarity[:, item[columns]] >= own[columns]  # (B, C)
        counts.append((at_least & (item_of_row[:, None] != item[columns])).sum(dim=0, dtype=torch.int32))
    return torch.cat(counts)


def _nearest(similarity: torch.Tensor, count: int) -> torch.Tensor:
    """Return (B, count): the indices of the largest values of each row; ties go to the first index."""
    left, places = similarity.clone(), []
    for _ in range(count):
        places.append(left.argmax(dim=1, keepdim=True))  # the first of equal ones, unlike topk
        left.scatter_(1, places[-1], -torch.inf)
    return torch.cat(places, dim=1)


def correct_ranks(ahead: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Return (P,) int64: the rank of each correct item, from 1.

    Args:
        ahead: (P,) for each pair of a query and a correct item, the number of wrong items at least as similar.
        query: (P,) the query of each pair.
    """
    order = ahead.argsort(stable=True)
    order = order[query[order].argsort(stable=True)]  # pairs of one query lie together, best first
    ordered = query[order]
    before = torch.arange(len(order)) - torch.searchsorted(ordered, ordered)  # correct items of the query before it
    return torch.empty_like(ahead).scatter_(0, order, ahead[order] + before + 1)


def best_ranks(ranks: torch.Tensor, query: torch.Tensor) -> torch.Tensor:
    """Return (Q,) int64: for each query the best of the ranks (P,) of its pairs; each query needs one."""
    best = torch.zeros(int(query.max()) + 1, dtype=ranks.dtype)
    return best.scatter_reduce(0, query, ranks, "amin", include_self=False)


def metrics(ranks: torch.Tensor, query: torch.Tensor, gallery: int) -> RetrievalMetrics:
    """Return the metrics of one direction.

    Args:
        ranks: (P,) the rank of each pair of a query and a correct item, as `correct_ranks` returns them.
        query: (P,) the query of each pair; each query needs one.
        gallery: number of items that are ranked.
    """
    best = best_ranks(ranks, query).double()  # (Q,)
    correct = query.bincount()  # (Q,)
    hits = {k: query[ranks <= k].bincount(minlength=len(best)) for k in RECALL_AT}  # (Q,) each
    return RetrievalMetrics(
        queries=len(best),
        gallery=gallery,
        recall={k: float((best <= k).double().mean()) for k in RECALL_AT},
        true_recall={k: float((hits[k] / correct.double()).mean()) for k in RECALL_AT},
        mean_rank=float(best.mean()),
        median_rank=float(np.median(best.numpy())),
    )
