"""Classes for other packages, used by those packages' own stores, on tiny towers."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from helpers.exporting import image_tower, text_tower, write_adapters
from helpers.small_index import paint

from pecl.adapters.formats.convert import merge_adapter

LINES = ["pes na pláži", "kočka na okně", "auto ve městě"]


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """Embeddings of the lines by the Czech tower, and of three images; both as arrays."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pecl.encoders.towers.load_text_encoder", lambda *_, **__: text_tower())
    monkeypatch.setattr("pecl.encoders.towers.load_image_encoder", lambda *_, **__: image_tower())
    monkeypatch.setattr("pecl.adapters.ready.ready_adapters", lambda *_: {})
    merged = merge_adapter(write_adapters(tmp_path)["cs"], text_tower())
    paths = [Path(f"{i}.png") for i in range(3)]
    for i, path in enumerate(paths):
        paint(path, seed=i)
    return merged.encode_text(LINES).numpy(), image_tower().encode_image(paths).numpy()


def test_langchain(rows):
    stores = pytest.importorskip("langchain_core.vectorstores", reason="langchain-core is not there")
    from pecl.integrations.langchain import PeclEmbeddings

    embeddings = PeclEmbeddings("mini", language="cs", adapters=["cs.safetensors"])
    assert np.allclose(embeddings.embed_documents(LINES), rows[0], atol=1e-5)
    assert np.allclose(embeddings.embed_image(["0.png", "1.png", "2.png"]), rows[1], atol=1e-5)
    found = stores.InMemoryVectorStore.from_texts(LINES, embeddings).similarity_search_with_score(LINES[1], k=3)
    assert found[0][0].page_content == LINES[1]
    assert np.allclose([score for _, score in found], np.sort(rows[0] @ rows[0][1])[::-1], atol=1e-5)


def test_llama_index(rows):
    core = pytest.importorskip("llama_index.core", reason="llama-index-core is not there")
    from llama_index.core.schema import TextNode

    from pecl.integrations.llama_index import PeclMultiModalEmbedding

    embedding = PeclMultiModalEmbedding("mini", language="cs", adapters=["cs.safetensors"])
    assert np.allclose(embedding.get_text_embedding_batch(LINES), rows[0], atol=1e-5)
    given = ["0.png", "1.png", BytesIO(Path("2.png").read_bytes())]
    assert np.allclose(embedding.get_image_embedding_batch(given), rows[1], atol=1e-5)
    nodes = [TextNode(text=f"{i}.png", embedding=row.tolist()) for i, row in enumerate(rows[1])]
    retriever = core.VectorStoreIndex(nodes, embed_model=embedding).as_retriever(similarity_top_k=3)
    found = retriever.retrieve(LINES[0])
    assert [one.text for one in found] == [f"{i}.png" for i in np.argsort(-(rows[1] @ rows[0][0]))]
