"""Similarities as plain matrices, and ranks by sorting them: what the evaluator's blocks are compared with."""

from statistics import mean, median

from torch.nn.functional import normalize


def cosine_similarity(a, b):
    """Return the cosine of every row of (Q, D) with every row of (G, D): (Q, G)."""
    return normalize(a, dim=-1) @ normalize(b, dim=-1).T


def sorted_ranks(similarity, item):
    """Return the ranks of correct items of both directions, best first: (of each text, of each gallery item).

    Each list is sorted by similarity, wrong items before correct ones in a tie.
    """
    rows = similarity.tolist()
    columns = similarity.T.tolist()
    of_texts = [_ranks(row, {own}) for row, own in zip(rows, item, strict=True)]
    own_texts = [{i for i, own in enumerate(item) if own == j} for j in range(len(columns))]
    return of_texts, [_ranks(column, own) for column, own in zip(columns, own_texts, strict=True)]


def _ranks(values, correct):
    order = sorted(range(len(values)), key=lambda j: (-values[j], j in correct))
    return [place + 1 for place, j in enumerate(order) if j in correct]


def plain_metrics(ranks, gallery):
    """Return the metrics of one direction from the ranks of each query, as results hold them."""
    best = [own[0] for own in ranks]

    def share(own, k):
        return sum(rank <= k for rank in own) / len(own)

    return {
        "queries": len(ranks),
        "gallery": gallery,
        **{f"recall@{k}": share(best, k) for k in (1, 5, 10)},
        **{f"true_recall@{k}": sum(share(own, k) for own in ranks) / len(ranks) for k in (1, 5, 10)},
        "mean_rank": mean(best),
        "median_rank": median(best),
    }
