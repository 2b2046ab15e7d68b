"""`pecl search --embeddings`: embeddings of another program, in each of their forms."""

import json

import numpy as np
import pyarrow as pa
import pytest
from helpers.exporting import image_tower, text_tower, write_adapters
from helpers.folders import flags
from helpers.image_rows import write_parquet, write_parquet_folder
from helpers.small_index import paint
from pyarrow import parquet

from pecl.adapters.formats.files import merge_adapter
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


def check_nearest(pecl, computed, words, names=PATHS, tolerance=1e-5):
    """Search by text, and by text and picture, and compare with products of the embeddings."""
    images, query, folder = computed
    status, out, error = pecl(*words, "--json", "--top", str(COUNT))
    assert status == 0, error
    found = json.loads(out)["images"]
    best = np.argsort(-(images @ query))
    assert [hit["path"] for hit in found] == [names[i] for i in best]
    assert np.allclose([hit["score"] for hit in found], (images @ query)[best], atol=tolerance)
    both = images @ (query + images[4])
    shown = pecl(*words, "--image", str(folder / "4.png"), "--top", "1")[1]
    assert shown.endswith(f"{names[int(both.argmax())]}\n")


def in_16_bits(rows, paths):
    return write_parquet(rows.astype(np.float16), paths)


@pytest.mark.parametrize(
    ("write", "tolerance"), [(write_parquet, 1e-5), (write_parquet_folder, 1e-5), (in_16_bits, 2e-3)]
)
def test_the_nearest_come_first_in_every_form(pecl, computed, write, tolerance):
    check_nearest(pecl, computed, flags(write(computed[0], PATHS)), tolerance=tolerance)


def test_a_text_without_itself_is_similar_to_nothing(pecl, computed):
    status, out, _ = pecl(*flags(write_parquet(computed[0], PATHS)), "--minus", QUERY, "--json", "--top", "2")
    assert (status, [hit["score"] for hit in json.loads(out)["images"]]) == (0, [0, 0])


def write_array(rows):
    """Write an array as docs/tools.md does; unlike pandas, it keeps NaN."""
    parquet.write_table(pa.table({"id": PATHS, "embedding": list(rows)}), "images.parquet")
    return {"embeddings": "images.parquet"}


def with_nan(rows):
    rows = rows.copy()
    rows[7, 0] = np.nan
    return rows


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (lambda rows: write_parquet(rows[:, :5], PATHS), "expected rows of 8 floats, as mini gives, got shape (13, 5)"),
        (lambda rows: write_parquet(rows * 3, PATHS), "expected rows of length 1, got length 3 in row 0"),
        (lambda rows: write_parquet(with_nan(rows), PATHS), "expected 8 numbers in each row, row 7 differs"),  # a null
        (lambda rows: write_array(with_nan(rows)), "got length nan in row 7 (/photos/7.png)"),
        (
            lambda rows: write_parquet([*rows[1:], None], PATHS),
            "images.parquet: expected 8 numbers in each row, row 12 differs",
        ),
        (lambda rows: write_parquet(rows, [None, *PATHS[1:]]), "expected one path per embedding, got 13 and 12"),
        (lambda rows: write_parquet([rows[0][:5], *rows[1:]], PATHS), "expected 5 numbers in each row, row 1 differs"),
        (
            lambda rows: write_parquet(PATHS, PATHS),
            "expected embeddings, lists of floats, got a column of",
        ),
        (lambda rows: {"embeddings": "nothing.npy"}, "nothing.npy: expected parquet with the columns id, embedding"),
    ],
)
def test_bad_embeddings_are_one_sentence(pecl, computed, words, sentence):
    status, out, error = pecl(*flags(words(computed[0])))
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert sentence in error


@pytest.fixture(scope="module")
def server(computed):
    """A Qdrant server with collections that other programs have made of the images, and with some that do not fit."""
    models = pytest.importorskip("qdrant_client").models
    from helpers.qdrant_server import qdrant_server

    def vector(size=8, distance="Cosine", **more):
        return models.VectorParams(size=size, distance=models.Distance(distance), **more)

    images, numbers = computed[0], range(COUNT)
    paths = [{"taken": 2019, "file_name": path} for path in PATHS[:-1]] + [{"path": 5}]  # the last names no path
    with qdrant_server() as running:
        for name, vectors, rows in (
            ("photos", {"image": vector(), "text": vector(5)}, [{"image": (3 * row).tolist()} for row in images]),
            ("plain", vector(distance="Dot"), images.tolist()),
            ("long", vector(distance="Dot"), (images * 3).tolist()),
            ("narrow", vector(5), []),
            ("far", vector(distance="Euclid"), []),
            ("many", vector(multivector_config=models.MultiVectorConfig(comparator="max_sim")), []),
            ("empty", vector(), []),
        ):
            running.double.create_collection(name, vectors)
            if rows:
                points = zip(numbers, rows, paths, strict=True)
                running.double.upsert(name, [models.PointStruct(id=i, vector=v, payload=p) for i, v, p in points])
        yield running


def words_for(server, collection, *more):
    return ["--engine", "qdrant", "--url", server.url, "--collection", collection, *more]


@pytest.mark.parametrize("words", [["photos", "--vector", "image"], ["plain"]])
def test_a_collection_of_another_program_is_searched_by_its_named_vector(pecl, computed, server, words):
    del server.asked[:]
    check_nearest(pecl, computed, words_for(server, *words), [*PATHS[:-1], str(COUNT - 1)])
    assert {path.rpartition("/")[2] for method, path in server.asked if method != "GET"} == {"query", "scroll"}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["photos"], "expected image, text, got none"),
        (["plain", "--vector", "image"], "expected none, since its vector has no name, got image"),
        (["long"], "expected vectors of length 1 with the distance Dot, got lengths from 3 to 3"),
        (["narrow"], "expected one vector of width 8, as mini gives, got width 5: choose the profile"),
        (["far"], "expected the distance Cosine or Dot, got Euclid"),
        (["many"], "got several for each image"),
        (["empty"], "expected images, got no point"),
        (["photoz"], "unknown collection 'photoz': expected one of "),
        (["plain", "--html", "page.html"], "--html: expected an INDEX"),
        (["plain", "--url", ""], "expected --engine qdrant, --url URL and --collection NAME together"),
        (["plain", "--url", "http://127.0.0.1:9"], "qdrant at http://127.0.0.1:9: "),
    ],
)
def test_collections_that_do_not_fit_are_one_sentence(pecl, server, words, sentence):
    status, out, error = pecl(*words_for(server, *words))
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert sentence in error


def test_a_folder_in_place_of_a_server_is_never_opened(pecl, server, tmp_path):
    """Qdrant's local mode keeps its points as pickles."""
    client = pytest.importorskip("qdrant_client").QdrantClient(path=tmp_path / "local")
    client.create_collection("plain", server.double.get_collection("plain").config.params.vectors)
    client.close()
    for url in ("local", str(tmp_path / "local"), (tmp_path / "local").as_uri()):
        status, out, error = pecl(*words_for(server, "plain", "--url", url))
        assert (status, out, error.count("\n")) == (2, "", 1)
        assert f"qdrant at {url}: " in error
