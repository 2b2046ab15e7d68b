"""Recall of captions on photographs of one's computer is one number: as evaluated, embedded, searched, served."""

import csv
import json
import re
import shutil
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from helpers.layouts import real_data_dir
from helpers.loopback import without_proxies

import pecl
from pecl.commands.main import main
from pecl.experiment.hubs import corrected_recall
from pecl.results.result import read_result

COUNT = 300

pytestmark = [pytest.mark.slow, pytest.mark.weights]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """300 photographs and a table of their captions in Czech and German, without English."""
    root = real_data_dir()
    sets = {code: pecl.load_dataset("multi30k-1k", code, data_dir=root).select(range(COUNT)) for code in ("cs", "de")}
    folder = tmp_path_factory.mktemp("own")
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *sets])
        for i, path in enumerate(sets["cs"].images.paths):
            (folder / "photographs" / str(i % 7)).mkdir(parents=True, exist_ok=True)
            place = folder / "photographs" / str(i % 7) / path.name
            shutil.copyfile(path, place)
            writer.writerow([place.relative_to(folder), *(captions.target[i] for captions in sets.values())])
    assert main(["index", str(folder / "photographs")]) == 0
    return folder


def captions_of(folder, language="cs"):
    found = pecl.load_dataset(str(folder / "captions.csv"), language)
    assert found.english is None
    assert list(found.image_index) == list(range(COUNT))
    return found


def evaluated(folder, language, out):
    """Return how many captions find their photograph first, as `pecl evaluate` says."""
    command = ["evaluate", "--dataset", str(folder / "captions.csv"), "--language", language]
    assert main([*command, "--adapter", language, "--out", str(out)]) == 0
    (path,) = out.glob("*.json")
    return round(read_result(path).recall(direction="text_to_image") * COUNT)


def corrected(folder, language):
    """Return how many captions find their photograph first with hubs corrected, as `pecl evaluate` says."""
    fields = {"dataset": str(folder / "captions.csv"), "language": language, "weights": language}
    return round(corrected_recall(pecl.make_config(fields)).corrected[1] * COUNT)


def first(texts, images):
    """Return how many rows of one array are nearest to the same row of the other, (N, D) of length 1 each."""
    texts, images = (np.asarray(rows) for rows in (texts, images))
    assert np.allclose(np.linalg.norm(texts, axis=1), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(images, axis=1), 1, atol=1e-5)
    return int(((texts @ images.T).argmax(axis=1) == np.arange(COUNT)).sum())


@pytest.mark.parametrize("language", ["cs", "de"])
def test_a_search_puts_the_right_photograph_first_as_often_as_evaluation_says(folder, language, tmp_path):
    captions = captions_of(folder, language)
    index = pecl.ImageIndex.open(folder / "photographs")
    for choice, expected in ((False, evaluated(folder, language, tmp_path)), (None, corrected(folder, language))):
        found = index.search(captions.target, language, top=1, corrected=choice)
        right = sum(hit.path.samefile(path) for (hit,), path in zip(found, captions.images.paths, strict=True))
        assert right == expected


def served(folder):
    """Return how many captions find their photograph first through the server."""
    captions, root = captions_of(folder), folder / "photographs"
    command = [sys.executable, "-m", "pecl", "serve", "--index", str(root), "--port", "0"]
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+(?= serves)", line)))
        right = 0
        for text, path in zip(captions.target, captions.images.paths, strict=True):
            body = json.dumps({"query": text, "language": "cs", "top": 1}).encode()
            request = urllib.request.Request(f"{address}/search", body, {"content-type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as answer:
                (hit,) = json.load(answer)["photographs"]
            right += (root / hit["name"]).samefile(path)
        return right
    finally:
        server.terminate()
        server.wait(60)


def embedded(folder, out):
    """Return how many captions find their photograph first among the arrays of `pecl embed`."""
    for kind in ("texts", "images"):
        command = ["embed", str(folder / "captions.csv"), "--language", "cs", "--kind", kind, "--format", "npy"]
        assert main([*command, "--out", str(out / kind)]) == 0
    return first(*(np.load(out / kind / "embeddings.npy") for kind in ("texts", "images")))


def test_czech_captions_find_their_photographs_equally_often_in_every_way(folder, tmp_path, monkeypatch):
    without_proxies(monkeypatch)
    by_evaluate, by_embed = evaluated(folder, "cs", tmp_path / "results"), embedded(folder, tmp_path)
    assert by_evaluate == by_embed
    assert served(folder) == corrected(folder, "cs")
    plain = pecl.load_text_encoder("mini").encode_text(captions_of(folder).target)
    assert first(plain, pecl.load_image_encoder("mini").encode_image(captions_of(folder).images.paths)) < by_embed
