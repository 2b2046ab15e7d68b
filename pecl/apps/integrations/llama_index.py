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

from pecl.apps.search.encoder import QueryEncoder
from pecl.files.images import decode_picture


class PeclMultiModalEmbedding(MultiModalEmbedding):  # pyright: ignore[reportUntypedBaseClass]
    """LlamaIndex's embeddings, of length 1; arguments as in `PeclEmbeddings`, and `options` for LlamaIndex."""

    _encoder: QueryEncoder = PrivateAttr()
    _language: str | None = PrivateAttr()

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
        self._encoder = QueryEncoder(profile, adapters, device)
        self._language = language

    @classmethod
    def class_name(cls) -> str:
        """Return the name of the class in LlamaIndex's records."""
        return cls.__name__

    def _get_text_embeddings(self, texts: list[str]) -> list[list[float]]:
        return self._encoder.encode_text(texts, self._language).tolist()

    def _get_text_embedding(self, text: str) -> list[float]:
        return self._get_text_embeddings([text])[0]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return await asyncio.to_thread(self._get_text_embedding, query)

    def _get_image_embedding(self, img_file_path: Any) -> list[float]:
        if isinstance(img_file_path, BytesIO):
            image = decode_picture(img_file_path.getvalue())
        else:
            image = Path(img_file_path) if isinstance(img_file_path, str) else img_file_path
        return self._encoder.encode_image([image]).tolist()[0]

    async def _aget_image_embedding(self, img_file_path: Any) -> list[float]:
        return await asyncio.to_thread(self._get_image_embedding, img_file_path)
