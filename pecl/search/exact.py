"""The exact search: one matrix of embeddings in memory, compared with a query as a whole.

N photographs take N x D x 4 bytes of memory, 1 GB for a million of width 256.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

_SCORES = 1 << 24  # similarities that are in memory at a time


@dataclass(eq=False)
class ExactSearch:
    """The embeddings of an index of N photographs."""

    matrix: np.ndarray  # (N, D) float32, each row of length 1
    corrections: np.ndarray | None = None  # (N,) float32, see `pecl.retrieval.hubs`

    def nearest(
        self, queries: np.ndarray, top: int, corrected: np.ndarray, rows: np.ndarray | None = None
    ) -> list[list[tuple[int, float]]]:
        """Return the `top` nearest photographs of each of Q queries, (Q, D) of length 1, nearest first.

        Each is its row, and its cosine similarity, from which its correction is subtracted where `corrected`, (Q,)
        bool, is True. Only `rows`, (M,) ascending, are searched if given. Ties go to the first row.
        """
        matrix = self.matrix if rows is None else self.matrix[rows]
        found: list[list[tuple[int, float]]] = []
        for block in in_blocks(len(queries), max(1, _SCORES // max(len(matrix), 1))):
            scores = queries[block.start : block.stop] @ matrix.T  # (Q, D) x (D, N): (Q, N)
            if self.corrections is not None:
                own = self.corrections if rows is None else self.corrections[rows]
                scores[corrected[block.start : block.stop]] -= own
            for one in scores:
                places = _best(one, min(top, len(one)))
                names = places if rows is None else rows[places]
                found.append(list(zip(names.tolist(), one[places].tolist(), strict=True)))
        return found

    def close(self) -> None:
        """Close nothing: the matrix goes with its last user."""


def _best(scores: np.ndarray, top: int) -> np.ndarray:
    if top == len(scores):
        return np.argsort(-scores, kind="stable")
    least = np.partition(scores, len(scores) - top)[len(scores) - top]
    places = np.flatnonzero(scores >= least)  # more than `top` where several are equal to the least
    return places[np.argsort(-scores[places], kind="stable")][:top]


def in_blocks(count: int, block: int) -> Iterator[range]:
    """Yield 0 to `count` - 1 in ranges of at most `block`."""
    for start in range(0, count, block):
        yield range(start, min(start + block, count))
