"""`PeclMultiModalEmbedding`: LlamaIndex embeds texts with the adapters of their languages, and images, into one space.

Needs `pip install llama-index-core`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr  # pyright: ignore[reportMissingImports]
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding  # pyright: ignore[reportMissingImports]

from pecl.files.pictures import decode_picture
from pecl.search.queries import QueryEncoder


class PeclMultiModalEmbedding(MultiModalEmbedding):  # pyright: ignore[reportUntypedBaseClass]
    """Embeddings (D,) of length 1; arguments as of `pecl.integrations.langchain.PeclEmbeddings`."""

    language: str | None = None
    _encoder: QueryEncoder = PrivateAttr()

    def __init__(
        self,
        profile: str = "mini",
        *,
        language: str | None = None,
        adapters: Iterable[str | Path] = (),
        device: str = "cpu",
        **options: Any,
    ) -> None:
        super().__init__(model_name=profile, language=language, **options)
        self._encoder = QueryEncoder(profile, adapters, device)

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex calls the class."""
        return cls.__name__

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._encoder.encode_text(texts, self.language).tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, query)

    def _get_image_embedding(self, img_file_path: Any) -> list[float]:
        return self._encoder.encode_image([_image(img_file_path)])[0].tolist()

    async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)


def _image(source: Any) -> Any:
    """Return an image as pecl takes it: a path or an open image; LlamaIndex gives a path or a file in memory."""
    if isinstance(source, str):
        return Path(source)
    return decode_picture(source.getvalue()) if isinstance(source, BytesIO) else source
