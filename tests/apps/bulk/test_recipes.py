"""The recipes of docs/tools.md, run as the page has them with the real packages; towers are tiny."""

import re
import types
from pathlib import Path

import numpy as np
import pytest
from helpers.exporting import image_tower, text_tower, write_adapters
from helpers.loopback import without_proxies
from helpers.project import ROOT
from helpers.serving import make_service, running
from helpers.small_index import paint

import pecl.adapters.ready
from pecl.adapters.formats.files import merge_adapter
from pecl.apps.serving.models import Models
from pecl.cli import main

PAGE = (ROOT / "docs" / "tools.md").read_text("utf-8")
PHOTOGRAPHS, QUERY = 9, "pes na pláži"


def recipe(heading, kind="python"):
    """Return the block of code below a heading of the page."""
    (section,) = re.findall(rf"^#+ {heading}\n(.*?)(?=^## |^### |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    (block,) = re.findall(rf"^```{kind}\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    return block


def run(heading, **given):
    """Run a recipe in the current folder, and return its names."""
    names = {**given}
    exec(compile(recipe(heading), f"docs/tools.md, {heading}", "exec"), names)
    return types.SimpleNamespace(**names)


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    """The page's folder of photographs embedded, and the Czech query's embedding and bank, by the towers themselves."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_adapters(Path("shipped", "mini"))
    Path("cs.safetensors").symlink_to("shipped/mini/cs.safetensors")
    monkeypatch.setattr(pecl.adapters.ready, "SHIPPED", Path("shipped"))
    monkeypatch.setattr("pecl.encoders.towers.load_text_encoder", lambda *_, **__: text_tower())
    monkeypatch.setattr("pecl.encoders.towers.load_image_encoder", lambda *_, **__: image_tower())
    for i in range(PHOTOGRAPHS):
        paint(Path("photographs", f"{i}.png"), seed=i)
    for command in recipe("Embeddings in other tools", "bash").splitlines():
        assert main(command.split()[1:]) == 0
    bank = pecl.load_bank("mini")
    return types.SimpleNamespace(bank=bank, query=bank.encode_text(QUERY, "cs").numpy())


@pytest.fixture
def expected(embedded):
    """Names and scores of the five best, by the towers and torch."""
    tower = merge_adapter(write_adapters(Path("again"))["cs"], text_tower())
    texts = tower.encode_text([QUERY])
    paths = sorted(Path("photographs").iterdir())
    images = image_tower().encode_image(paths)
    scores, rows = (images @ texts[0]).topk(5)
    return [paths[row].name for row in rows.tolist()], scores.numpy()


def test_numpy(expected, capsys):
    found = run("NumPy")
    assert found.rows.dtype == np.float32
    assert [found.ids[row] for row in found.best] == expected[0]
    assert np.allclose(found.rows[found.best] @ found.query[0], expected[1], atol=1e-5)
    assert capsys.readouterr().out == f"{expected[0]}\n"
    assert np.array_equal(pecl.open_embeddings("embedded"), found.rows)
    assert pecl.read_ids("embedded") == found.ids


def test_faiss(embedded, expected):
    pytest.importorskip("faiss", reason="needs faiss-cpu")
    found = run("FAISS", query=embedded.query)
    assert [found.ids[row] for row in found.places[0]] == expected[0]
    assert np.allclose(found.scores[0], expected[1], atol=1e-5)
    assert found.index.ntotal == PHOTOGRAPHS


def test_langchain_without_a_server(embedded):
    pytest.importorskip("langchain_core", reason="needs langchain-core")
    found = run("LangChain without a server")
    assert found.best[0][0].page_content == QUERY
    assert found.best[0][1] == pytest.approx(1, abs=1e-5)
    assert np.allclose(found.images, image_tower().encode_image(Path("photographs", "0.png")), atol=1e-5)


def test_langchain(embedded, monkeypatch):
    pytest.importorskip("langchain_openai", reason="needs langchain-openai")
    without_proxies(monkeypatch)
    models = Models("mini", text_tower().eval())
    models.add("cs", write_adapters(Path("served"))["cs"])
    code = recipe("LangChain")
    with running(make_service(models)) as address:
        names = {}
        exec(compile(code.replace("http://127.0.0.1:8000", address), "docs/tools.md, LangChain", "exec"), names)
        many = names["server"].embed_documents([f"věta {i}" for i in range(40)])
    (text, score), (_, second) = ((document.page_content, score) for document, score in names["found"])
    assert text == QUERY
    assert score == pytest.approx(1, abs=1e-5)
    assert second < score
    own = embedded.bank.encode_text([f"věta {i}" for i in range(40)], "cs")
    assert np.allclose(many, own, atol=1e-5)


def test_llama_index(embedded, expected):
    pytest.importorskip("llama_index.core", reason="needs llama-index-core")
    found = run("LlamaIndex").retriever.retrieve(QUERY)
    assert [one.text for one in found] == expected[0]
    assert np.allclose([one.score for one in found], expected[1], atol=1e-5)


def test_fastembed(embedded):
    pytest.importorskip("fastembed", reason="needs fastembed")
    pytest.importorskip("onnxscript", reason="needs onnxscript")
    assert main(recipe("fastembed", "bash").split()[1:]) == 0
    vectors = run("fastembed").vectors
    own = embedded.bank.encode_text([QUERY, "kočka na okně"], "cs")
    assert np.allclose(np.stack(vectors), own, atol=1e-5)


def test_txtai(embedded):
    pytest.importorskip("txtai", reason="needs txtai")
    assert main(recipe("txtai", "bash").split()[1:]) == 0
    index = run("txtai").index
    rows = embedded.bank.encode_text([QUERY, "kočka na okně", "auto ve městě"], "cs").numpy()
    found = index.search(QUERY, 3)
    assert [row for row, _ in found] == list(np.argsort(-(rows @ rows[0])))
    assert np.allclose([score for _, score in found], np.sort(rows @ rows[0])[::-1], atol=1e-5)
