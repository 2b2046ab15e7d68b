"""`pecl search --embeddings`: embeddings of another program, in each of the three forms."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers.exporting import image_tower, text_tower, write_adapters
from helpers.small_index import paint

from pecl.adapters.formats.convert import merge_adapter
from pecl.cli import main

COUNT, QUERY = 13, "pes na pláži"
PATHS = [f"/photos/{i}.png" for i in range(COUNT)]


@pytest.fixture(scope="module")
def computed(tmp_path_factory):
    """Embeddings of images by their tower, and of the query by the Czech one; and a folder with the adapter."""
    folder = tmp_path_factory.mktemp("rows")
    for i in range(COUNT):
        paint(folder / f"{i}.png", seed=i)
    images = image_tower().encode_image([folder / f"{i}.png" for i in range(COUNT)]).numpy()
    merged = merge_adapter(write_adapters(folder)["cs"], text_tower())
    return images, merged.encode_text(QUERY).numpy()[0], folder


@pytest.fixture
def pecl(computed, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pecl.encoders.towers.load_text_encoder", lambda *_, **__: text_tower())
    monkeypatch.setattr("pecl.encoders.towers.load_image_encoder", lambda *_, **__: image_tower())
    monkeypatch.setattr("pecl.adapters.ready.ready_adapters", lambda *_: {})

    def run(*words):
        adapter = computed[2] / "cs.safetensors"
        status = main(["search", *words, QUERY, "--language", "cs", "--adapter", str(adapter)])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def write_npy(rows):
    np.save("images.npy", rows)
    Path("paths.txt").write_text("".join(f"{path}\n" for path in PATHS), "utf-8")
    return ["--embeddings", "images.npy", "--paths", "paths.txt"]


def write_parquet(rows):
    pd.DataFrame({"id": PATHS, "embedding": list(rows)}).to_parquet("images.parquet")
    return ["--embeddings", "images.parquet"]


def write_clip_retrieval(rows):
    """Eleven parts, of 16 bits, as clip-retrieval writes them; part 10 follows part 9."""
    for name in ("img_emb", "metadata"):
        Path("found", name).mkdir(parents=True)
    for i, places in enumerate(np.array_split(np.arange(COUNT), 11)):
        np.save(f"found/img_emb/img_emb_{i}.npy", rows[places].astype(np.float16))
        table = pd.DataFrame({"image_path": [PATHS[place] for place in places]})
        table.to_parquet(f"found/metadata/metadata_{i}.parquet")
    return ["--embeddings", "found"]


@pytest.mark.parametrize("write", [write_npy, write_parquet, write_clip_retrieval])
def test_the_nearest_come_first_in_every_form(pecl, computed, write):
    images, query, folder = computed
    words = write(images)
    status, out, error = pecl(*words, "--json", "--top", "5")
    assert status == 0, error
    found = json.loads(out)["images"]
    best = np.argsort(-(images @ query))[:5]
    assert [hit["path"] for hit in found] == [PATHS[i] for i in best]
    tolerance = 2e-3 if write is write_clip_retrieval else 1e-5
    assert np.allclose([hit["score"] for hit in found], (images @ query)[best], atol=tolerance)
    both = images @ (query + images[4])
    shown = pecl(*words, "--image", str(folder / "4.png"), "--top", "1")[1]
    assert shown.endswith(f"{PATHS[int(both.argmax())]}\n")


def changed(rows, change):
    rows = rows.copy()
    change(rows)
    return rows


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (lambda rows: write_npy(rows[:, :5]), "expected rows of 8 floats, as mini gives, got shape (13, 5)"),
        (lambda rows: write_npy(rows * 3), "expected rows of length 1, got lengths from 3 to 3"),
        (
            lambda rows: write_npy(changed(rows, lambda found: found.__setitem__((7, 0), np.nan))),
            "row 7 (/photos/7.png) holds NaN",
        ),
        (lambda rows: write_npy((rows * 9).astype(int)), "of int64"),
        (lambda rows: write_npy(rows[:5]), "expected one path per embedding, got 5 and 13"),
        (lambda rows: write_npy(rows)[:2], "expected --paths FILE with an array"),
        (lambda rows: [*write_parquet(rows), "--paths", "paths.txt"], "expected no --paths"),
        (lambda rows: write_npy(np.array([{}])), "expected an array of NumPy"),
        (lambda rows: ["--embeddings", "nothing.npy", "--paths", "p"], "nothing.npy: expected an array of NumPy"),
        (lambda rows: ["--embeddings", "nothing.parquet"], "expected parquet with the columns id, embedding"),
        (lambda rows: ["--embeddings", "."], "expected a folder of clip-retrieval"),
        (lambda rows: [*write_npy(rows), "--profile", "minj"], "did you mean 'mini'?"),
        (lambda rows: ["--paths", "paths.txt"], "expected an INDEX, or --embeddings FILE"),
    ],
)
def test_bad_embeddings_are_one_sentence(pecl, computed, words, sentence):
    status, out, error = pecl(*words(computed[0]))
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert sentence in error
