"""`PeclEmbeddings`: LangChain embeds texts with the adapters of their languages, and images, into one space.

Needs `pip install langchain-core`.
"""

from langchain_core.embeddings import Embeddings

from pecl.integrations.embedder import Embedder


class PeclEmbeddings(Embedder, Embeddings):
    """LangChain's embeddings; arguments as in `Embedder`.

    Example:
        >>> embeddings = PeclEmbeddings("mini", language="cs")
        >>> store = InMemoryVectorStore(embeddings)
    """

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Return the embeddings of N texts."""
        return self.embed_texts(texts)

    def embed_query(self, text: str) -> list[float]:
        """Return the embedding of a text."""
        return self.embed_texts([text])[0]

    def embed_image(self, uris: list[str]) -> list[list[float]]:
        """Return the embeddings of N image files, as vector stores of LangChain ask for them."""
        return self.embed_images(uris)
