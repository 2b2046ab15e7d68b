"""Every call, command and server gives embeddings of length 1, and the same ones; exports have tests of their own."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.exporting import export_towers, image_tower, text_tower, write_adapters
from helpers.serving import client_of, data_uri
from helpers.small_index import paint
from PIL import Image

import pecl
from pecl.adapters.formats.convert import merge_adapter
from pecl.adapters.formats.files import load_adapter_file
from pecl.commands.main import main
from pecl.search.queries import QueryEncoder
from pecl.serving.models import Models
from pecl.serving.service import Service

LINES = ["pes na pláži", "kočka na okně", "auto"]


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A current folder with lines, photographs and a Czech adapter, and the towers by which commands embed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("pecl.bulk.job.load_towers", export_towers)
    monkeypatch.setattr("pecl.encoders.towers.load_text_encoder", lambda *_, **__: text_tower())
    monkeypatch.setattr("pecl.encoders.towers.load_image_encoder", lambda *_, **__: image_tower())
    monkeypatch.setattr("pecl.adapters.ready.ready_adapters", lambda *_: {})
    Path("lines.txt").write_text("".join(f"{line}\n" for line in LINES), "utf-8")
    write_adapters(tmp_path)
    for i in range(3):
        paint(Path("photographs", f"{i}.png"), seed=i)
    return tmp_path


def pictures():
    return sorted(Path("photographs").glob("*.png"))


def served(inputs, language=None):
    models = Models("mini", text_tower().eval())
    models.load("cs.safetensors")
    with client_of(Service(models, image_tower())) as client:
        body = {"model": "mini", "input": inputs, "encoding_format": "base64"}
        answer = client.post("/v1/embeddings", json=body | ({} if language is None else {"language": language}))
    rows = [base64.b64decode(row["embedding"]) for row in answer.json()["data"]]
    return np.stack([np.frombuffer(row, np.float32) for row in rows])


def embedded(source, **options):
    pecl.embed(source, "embedded", **options)
    return pecl.open_embeddings("embedded")


def by_command(source, *flags):
    assert main(["embed", source, *flags, "--out", "by-command"]) == 0
    return pecl.open_embeddings("by-command")


def by_index(queries=None, language=None):
    """Return the embeddings of queries, or without any those of the photographs."""
    pecl.build_index("photographs", "index")
    with pecl.ImageIndex.open("index", adapters=["cs.safetensors"]) as index:
        return np.array(index.embeddings) if queries is None else index.embed(queries, language)


def merged():
    return merge_adapter(load_adapter_file("cs.safetensors"), text_tower())


def bank():
    return pecl.AdapterBank.from_files(text_tower(), ["cs.safetensors"])


TEXT_WAYS = {
    "tower": lambda: merged().encode_text(LINES),
    "bank": lambda: bank().encode_text(LINES, "cs"),
    "queries": lambda: QueryEncoder("mini", ["cs.safetensors"]).encode_text(LINES, "cs"),
    "index": lambda: by_index(LINES, "cs"),
    "embed": lambda: embedded(LINES, adapter="cs.safetensors"),
    "embed, the command": lambda: by_command("lines.txt", "--adapter", "cs.safetensors"),
    "server": lambda: served(LINES, "cs"),
}
IMAGE_WAYS = {
    "tower": lambda: image_tower().encode_image(pictures()),
    "queries": lambda: QueryEncoder("mini").encode_image(pictures()),
    "index": lambda: by_index(pictures()),
    "index, its rows": by_index,
    "embed": lambda: embedded("photographs"),
    "embed, the command": lambda: by_command("photographs"),
    "server": lambda: served([{"image": data_uri(path.read_bytes())} for path in pictures()]),
}


def check(found, raw):
    """Compare rows with those of the tower's own lengths, which are none of them 1."""
    lengths = np.linalg.norm(raw.double().numpy(), axis=1, keepdims=True)
    assert np.abs(lengths - 1).min() > 0.01
    rows = np.asarray(found, np.float64)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(rows, raw.double().numpy() / lengths, atol=1e-5)


@pytest.mark.parametrize("way", TEXT_WAYS)
def test_texts(place, way):
    tower = merged()
    batch = tower.pad(tower.tokenize(LINES), range(len(LINES)))
    with torch.no_grad():
        raw = tower.eval()(batch.input_ids, batch.attention_mask)[batch.indices.argsort()]
    check(TEXT_WAYS[way](), raw)


@pytest.mark.parametrize("way", IMAGE_WAYS)
def test_images(place, way):
    with torch.no_grad():
        tower = image_tower()
        raw = tower(torch.stack([tower.preprocess(Image.open(path).convert("RGB")) for path in pictures()]))
    check(IMAGE_WAYS[way](), raw)


def test_the_command_keeps_the_lengths_of_the_tower(place, capsys):
    assert main(["embed", "lines.txt", "--out", "embedded", "--no-normalize", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["normalize"] is False
    assert np.abs(np.linalg.norm(pecl.open_embeddings("embedded"), axis=1) - 1).min() > 0.01
