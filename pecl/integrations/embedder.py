"""`Embedder`: texts and images to lists of numbers, the form that other packages take."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pecl.search.queries import QueryEncoder

if TYPE_CHECKING:
    from PIL import Image


class Embedder:
    """Embeddings (D,) of length 1, as lists of numbers.

    Args:
        profile: name of the pair of towers.
        language: language of all texts; None detects it in each text, and `none` leaves texts to the plain tower.
        adapters: adapters that are added to the shipped ones: paths, one per language.
        device: device of the towers.

    Raises:
        ConfigError: no such profile, device or adapter.
        WeightsError: weights or adapters cannot be used.
    """

    def __init__(
        self,
        profile: str = "mini",
        *,
        language: str | None = None,
        adapters: Iterable[str | Path] = (),
        device: str = "cpu",
    ) -> None:
        self.language = language
        self.encoder = QueryEncoder(profile, adapters, device)

    def embed_texts(self, texts: Sequence[str]) -> list[list[float]]:
        """Return the embeddings of N texts."""
        return self.encoder.encode_text(texts, self.language).tolist()

    def embed_images(self, images: Sequence[str | Path | Image.Image]) -> list[list[float]]:
        """Return the embeddings of N image files or open images."""
        return self.encoder.encode_image([Path(one) if isinstance(one, str) else one for one in images]).tolist()
