"""The pairs that trained an adapter or chose its weights, as short hashes in the header of its file.

A pair is known by its photograph and by its English caption, or by its caption if its data have no English. So it is
recognised in every language, in another order, and in a larger table.
"""

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pecl.data.captions import ParallelCaptions

_BYTES = 6  # of a hash: among 100,000 of them, a new pair has one by chance once in 3 billion


@dataclass(frozen=True)
class TrainingPairs:
    """The pairs of one split, or of several if a training started from another adapter."""

    splits: tuple[str, ...]  # such as "captions.csv, 50 shots, split seed 42"
    count: int  # number of pairs of the last split
    hashes: frozenset[str]  # of their captions and photographs, hexadecimal

    def with_those_of(self, start: "TrainingPairs | None") -> "TrainingPairs":
        """Return these pairs and those of the adapter that the training started from."""
        if start is None:
            return self
        splits = tuple(dict.fromkeys([*start.splits, *self.splits]))
        return TrainingPairs(splits, self.count, start.hashes | self.hashes)

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object of a file's header."""
        joined = b"".join(map(bytes.fromhex, sorted(self.hashes)))
        return {"splits": list(self.splits), "count": self.count, "hashes": base64.b64encode(joined).decode()}

    @classmethod
    def from_json(cls, document: Any) -> "TrainingPairs":
        """Return the pairs from `to_json`. Raise KeyError, TypeError or ValueError for anything else."""
        joined = base64.b64decode(document["hashes"], validate=True)
        if len(joined) % _BYTES:
            raise ValueError(f"hashes of training pairs: expected a multiple of {_BYTES} bytes, got {len(joined)}")
        hashes = frozenset(joined[i : i + _BYTES].hex() for i in range(0, len(joined), _BYTES))
        return cls(tuple(map(str, document["splits"])), int(document["count"]), hashes)


def hashes_of_pairs(
    data: ParallelCaptions, indices: Sequence[int], photographs: Sequence[str] | None
) -> list[frozenset[str]]:
    """Return the hashes of each pair at `indices`: of its caption, and of its photograph if those are known.

    `photographs` has the fingerprint of each image of `data`.
    """
    captions = data.target if data.english is None else data.english
    hashes = []
    for i in indices:
        contents = [f"caption {captions[i]}"]
        if photographs is not None and data.image_index is not None:
            contents.append(f"photograph {photographs[data.image_index[i]]}")
        hashes.append(frozenset(map(_hash, contents)))
    return hashes


def union_of(hashes: Iterable[frozenset[str]]) -> frozenset[str]:
    """Return all hashes of several pairs."""
    return frozenset().union(*hashes)


def _hash(content: str) -> str:
    return hashlib.sha256(content.encode()).digest()[:_BYTES].hex()
