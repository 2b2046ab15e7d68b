"""The exact search: one matrix of embeddings in memory, compared with a query as a whole.

N photographs take N x D x 4 bytes of memory, 1 GB for a million of width 256.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(eq=False)
class ExactSearch:
    """The embeddings of an index of N photographs."""

    matrix: np.ndarray  # (N, D) float32, each row of length 1
    corrections: np.ndarray | None = None  # (N,) float32, see `pecl.retrieval.hubs`

    def nearest(
        self, query: np.ndarray, top: int, corrected: bool, rows: np.ndarray | None = None
    ) -> list[tuple[int, float]]:
        """Return the `top` photographs nearest to a query, (D,) of length 1, nearest first.

        Each is its row, and its cosine similarity, from which with `corrected` its correction is subtracted. Only
        `rows`, (M,) ascending, are searched if given. Ties go to the first row.
        """
        searched = slice(None) if rows is None else rows
        scores = self.matrix[searched] @ query  # (M, D) x (D,): (M,)
        if corrected and self.corrections is not None:
            scores -= self.corrections[searched]
        places = np.arange(len(scores))
        if top < len(scores):
            least = np.partition(scores, len(scores) - top)[len(scores) - top]
            places = np.flatnonzero(scores >= least)  # more than `top` where several are equal to the least
        places = places[np.argsort(-scores[places], kind="stable")][:top]
        names = places if rows is None else rows[places]
        return list(zip(names.tolist(), scores[places].tolist(), strict=True))

    def close(self) -> None:
        """Close nothing: the matrix goes with its last user."""
