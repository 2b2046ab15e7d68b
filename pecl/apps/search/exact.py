"""The exact search: a query is compared with the whole matrix of embeddings in memory.

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

        Each is given as its row and its cosine similarity, minus its hub correction if `corrected`.
        `rows`, (M,) ascending, restricts the search to these rows. Ties go to the first row.
        """
        searched = slice(None) if rows is None else rows
        scores = self.matrix[searched] @ query  # (M, D) x (D,): (M,)
        if corrected and self.corrections is not None:
            scores -= self.corrections[searched]

        places = np.arange(len(scores))
        if top < len(scores):
            least = np.partition(scores, len(scores) - top)[len(scores) - top]
            # more than `top` if several tie for the last place
            places = np.flatnonzero(scores >= least)

        places = places[np.argsort(-scores[places], kind="stable")][:top]
        names = places if rows is None else rows[places]
        return list(zip(names.tolist(), scores[places].tolist(), strict=True))

    def close(self) -> None:
        """Do nothing; other engines close their connection."""
