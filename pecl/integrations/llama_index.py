"""`PeclMultiModalEmbedding`: LlamaIndex embeds texts with the adapters of their languages, and images, into one space.

Needs `pip install llama-index-core`.
"""

import asyncio
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

from llama_index.core.bridge.pydantic import PrivateAttr  # pyright: ignore[reportMissingImports]
from llama_index.core.embeddings.multi_modal_base import MultiModalEmbedding  # pyright: ignore[reportMissingImports]

from pecl.files.pictures import decode_picture
from pecl.integrations.embedder import Embedder


class PeclMultiModalEmbedding(MultiModalEmbedding):  # pyright: ignore[reportUntypedBaseClass]
    """LlamaIndex's embedding; arguments as in `Embedder`, and `options` of LlamaIndex."""

    _embedder: Embedder = PrivateAttr()

    def __init__(
        self,
        profile: str = "mini",
        *,
        language: str | None = None,
        adapters: Iterable[str | Path] = (),
        device: str = "cpu",
        **options: Any,
    ) -> None:
        super().__init__(model_name=profile, **options)
        self._embedder = Embedder(profile, language=language, adapters=adapters, device=device)

    @classmethod
    def class_name(cls) -> str:
        """Return the name by which LlamaIndex calls the class."""
        return cls.__name__

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._embedder.embed_texts(texts)

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._embedder.embed_texts([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, query)

    def _get_image_embedding(self, img_file_path: Any) -> list[float]:
        if isinstance(img_file_path, BytesIO):
            img_file_path = decode_picture(img_file_path.getvalue())
        return self._embedder.embed_images([img_file_path])[0]

    async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)
