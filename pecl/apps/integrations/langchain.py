"""`PeclEmbeddings`: LangChain embeds texts with the adapters of their languages, and images, into one space.

Needs `pip install langchain-core`.
"""

from collections.abc import Iterable
from pathlib import Path

from langchain_core.embeddings import Embeddings

from pecl.apps.search.encoder import QueryEncoder


class PeclEmbeddings(Embeddings):
    """LangChain's embeddings, of length 1.

    Args:
        profile: name of the pair of towers.
        language: language of all texts; None detects it in each text, and `none` uses the base encoder.
        adapters: paths of adapters to add to the shipped ones, one per language.
        device: device of the towers.

    Raises:
        ConfigError: no such profile, device or adapter.
        WeightsError: weights or adapters cannot be used.

    Example:
        >>> embeddings = PeclEmbeddings("mini", language="cs")
        >>> store = InMemoryVectorStore(embeddings)
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

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the embeddings of N texts: N lists of D numbers."""
        return self.encoder.encode_text(texts, self.language).tolist()

    def embed_query(self, text: str) -> list[float]:
        """Return the embedding of a text: D numbers."""
        return self.embed_documents([text])[0]

    def embed_image(self, uris: list[str]) -> list[list[float]]:
        """Return the embeddings of N image files: N lists of D numbers. LangChain's vector stores call this method."""
        return self.encoder.encode_image([Path(uri) for uri in uris]).tolist()
