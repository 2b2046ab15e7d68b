"""The correction of hubs: photographs near to many captions, which are found for queries about other photographs.

Each photograph has one number, its correction: `weight` times a soft maximum of its similarities to reference captions.
A search subtracts it from the photograph's similarities. With a weight of 1, this is the inverted softmax (Smith et
al., arXiv 1702.03859); NNN (Chowdhury et al., arXiv 2410.24114) uses the mean of the k nearest captions in place of the
soft maximum. The reference captions of a pair of towers ship with pecl as embeddings, see `tools/make_references.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from safetensors import safe_open

from pecl.files import sha256_bytes, sha256_json

REFERENCES = Path(__file__).with_name("references")
ROWS = "embeddings"  # the tensor of a file: (R, D / 4) uint8, see `unpacked`
SHIFTS = np.array([0, 2, 4, 6], np.uint8)  # of the four codes in a byte, in bits
_VALUES = (np.arange(256, dtype=np.uint8)[:, None] >> SHIFTS & 3) - np.float32(1.5)  # per byte: four of -1.5 to 1.5
_BLOCK = 1 << 24  # similarities in memory at a time


@dataclass(frozen=True)
class References:
    """Reference captions of a pair of towers."""

    codes: np.ndarray  # (R, D / 4) uint8, the embeddings in 2 bits per number
    sharpness: float  # beta of the soft maximum, `log(mean(exp(beta * similarity))) / beta`
    weight: float  # factor of the soft maximum
    fingerprint: str  # hash of the embeddings and both settings, 64 hexadecimal digits

    @cached_property
    def embeddings(self) -> np.ndarray:
        """Embeddings (R, D) float32, each row of length 1; unpacked at the first use, which takes a moment."""
        return unpacked(self.codes)

    def corrections(self, gallery: np.ndarray) -> np.ndarray:
        """Return the correction of each photograph, (N,) float32, from embeddings (N, D) float32 of length 1."""
        corrections = np.empty(len(gallery), np.float32)
        rows = max(_BLOCK // len(self.embeddings), 1)
        for start in range(0, len(gallery), rows):
            similar = gallery[start : start + rows] @ self.embeddings.T  # (B, D) x (D, R): (B, R)
            soft_maximum = np.log(np.exp(self.sharpness * similar).mean(axis=1)) / self.sharpness
            corrections[start : start + rows] = self.weight * soft_maximum
        return corrections


def find_references(profile: str, towers: Mapping[str, str]) -> References | None:
    """Return a pair's reference captions; None if none ship for it and the fingerprints `towers` (image, text)."""
    path = {file.stem: file for file in REFERENCES.glob("*.safetensors")}.get(profile)
    if path is None:
        return None

    with safe_open(path, "np") as file:
        metadata = file.metadata()
        if any(metadata[which] != towers.get(which) for which in ("image", "text")):
            return None
        codes = file.get_tensor(ROWS)

    sharpness = float(metadata["sharpness"])
    weight = float(metadata["weight"])
    fingerprint = sha256_json([sha256_bytes(codes.tobytes()), sharpness, weight])
    return References(codes, sharpness, weight, fingerprint)


def unpacked(codes: np.ndarray) -> np.ndarray:
    """Unpack rows (R, D / 4) uint8 to embeddings (R, D) float32 of length 1.

    A number has 2 bits: its sign, and whether it is large in its row. `tools/make_references.py` packs them.
    """
    values = _VALUES[codes].reshape(len(codes), -1)  # (R, D)
    return values / np.linalg.norm(values, axis=1, keepdims=True)
