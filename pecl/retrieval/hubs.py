"""The correction of hubs: photographs that are near to many captions, and so are found for queries of others.

Each photograph has one number, its correction: `weight` times the mean similarity of its k nearest reference captions.
A search subtracts it from the photograph's similarities (NNN, Chowdhury et al., arXiv 2410.24114). The reference
captions of a pair of towers ship with pecl as embeddings; `scripts/make_references.py` makes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pecl.files.rows import open_rows

REFERENCES = Path(__file__).with_name("references")
ROWS = "embeddings"  # the tensor of a file: (R, D) uint8, `ZERO` for 0; each row has a scale of its own
ZERO = 128
_BLOCK = 1 << 24  # similarities in memory at a time


@dataclass(frozen=True)
class References:
    """Reference captions of a pair of towers.

    Attributes:
        embeddings: (R, D) float32, each row of length 1.
        neighbours: k, reference captions that count for a photograph.
        weight: factor of their mean similarity.
        fingerprint: of the embeddings and both settings, 64 hexadecimal digits.
    """

    embeddings: np.ndarray
    neighbours: int
    weight: float
    fingerprint: str

    def corrections(self, gallery: np.ndarray) -> np.ndarray:
        """Return the correction of each of N photographs, (N,) float32.

        Args:
            gallery: (N, D) float32 embeddings of length 1.
        """
        found = np.empty(len(gallery), np.float32)
        rows = max(_BLOCK // len(self.embeddings), 1)
        for start in range(0, len(gallery), rows):
            similar = gallery[start : start + rows] @ self.embeddings.T  # (B, D) x (D, R): (B, R)
            nearest = np.partition(similar, -self.neighbours, axis=1)[:, -self.neighbours :]  # (B, k)
            found[start : start + rows] = self.weight * nearest.mean(axis=1)
        return found


def find_references(profile: str, towers: Mapping[str, str]) -> References | None:
    """Return the reference captions of a pair of towers; None where none ship for it, or for another state of it.

    Args:
        profile: name of the pair.
        towers: fingerprints of its `image` and `text` tower.

    Raises:
        DataError: the shipped file is damaged.
    """
    path = {file.stem: file for file in REFERENCES.glob("*.safetensors")}.get(profile)
    if path is None:
        return None
    tensors, metadata = open_rows(path, check=False)
    if any(metadata[which] != towers.get(which) for which in ("image", "text")):
        return None
    codes = tensors[ROWS].load().astype(np.float32) - ZERO  # (R, D)
    embeddings = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    return References(embeddings, int(metadata["neighbours"]), float(metadata["weight"]), metadata["digest"])


def encoded(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings (R, D) as a file holds them: (R, D) uint8, whose rows minus `ZERO` have their directions."""
    largest = np.abs(embeddings).max(axis=1, keepdims=True)
    return (np.rint(embeddings / largest * (ZERO - 1)) + ZERO).astype(np.uint8)
