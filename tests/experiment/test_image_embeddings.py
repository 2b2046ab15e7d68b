"""`pecl evaluate --embeddings`: recall among images that another program has embedded."""

import hashlib
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.folders import flags
from helpers.image_rows import write_parquet, write_parquet_folder
from helpers.small_experiment import tiny_towers, use_towers

from pecl import load_dataset
from pecl.cli import build_parser, main
from pecl.commands.options import language_configs
from pecl.errors import ConfigError
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train
from pecl.results.result import read_result


@pytest.fixture
def rows(small, tmp_path, monkeypatch):
    """Rows of the images by the image tower, in another order, with one that the data set lacks; and their paths."""
    monkeypatch.chdir(tmp_path)
    images = load_dataset(small["dataset"], "de").images
    embedded = tiny_towers().image.encode_image(images.load(i) for i in range(len(images))).numpy()
    order = [*range(len(images))[::-1], 0]
    paths = [f"/elsewhere/{images.ids[i]}" for i in order[:-1]] + ["/elsewhere/other.png"]
    return embedded[order], paths


def fields(written):
    """Return what was written as fields of a config."""
    return {f"image_{name}": path for name, path in written.items()}


@pytest.mark.parametrize("write", [write_parquet, write_parquet_folder])
def test_recall_is_that_of_the_images_and_the_result_names_the_file(small, rows, write):
    values = {name: small[name] for name in ("dataset", "language", "out")}
    own, other = evaluate(values), evaluate({**values, "seed": 3, **fields(write(*rows))})
    (again,) = language_configs(build_parser().parse_args(shlex.split(other.command)[1:]))
    assert again.run_id("evaluate") == other.run_id
    for direction in ("text_to_image", "image_to_text"):
        assert other.ranks(direction) == own.ranks(direction)
    assert other.run_id != own.run_id
    assert other.towers.image != own.towers.image
    written = read_result(other.path)
    if write is write_parquet_folder:
        assert written.towers.image.name == "embeddings embedded"
        assert written.data.files["image_embeddings"] == written.towers.image.fingerprint
    else:
        files = {
            name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for name, path in fields(write(*rows)).items()
        }
        assert written.data.files == files
        assert written.towers.image.fingerprint == files["image_embeddings"]


def test_other_rows_give_other_ranks_by_hand_without_the_image_tower(small, rows, capsys):
    use_towers(image=lambda: pytest.fail("the image tower was loaded"))
    drawn = F.normalize(torch.randn(rows[0].shape), dim=1).numpy()
    write_parquet(drawn, rows[1])
    command = ["evaluate", "--dataset", small["dataset"], "--language", "de", "--out", small["out"], "--json"]
    assert main([*command, "--embeddings", "images.parquet"]) == 0
    (document,) = json.loads(capsys.readouterr().out)
    captions = load_dataset(small["dataset"], "de")
    texts = tiny_towers().text.encode_text(captions.target).numpy()
    scores = texts @ drawn[[rows[1].index(f"/elsewhere/{name}") for name in captions.images.ids]].T
    right = float(np.mean(scores.argmax(axis=1) == np.arange(len(texts))))
    assert document["metrics"]["test"]["zero_shot"]["text_to_image"]["recall@1"] == pytest.approx(right)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda rows, paths: write_parquet(rows[1:], paths[1:]), "got 0 and 1 of "),
        (lambda rows, paths: write_parquet(rows, range(len(rows))), "got 0 and 1 of "),
        (
            lambda rows, paths: write_parquet(rows, paths) | {"gallery": "english"},
            "expected the gallery images with it",
        ),
    ],
)
def test_rows_that_do_not_fit_are_one_sentence_and_nothing_is_written(small, rows, change, sentence, capsys):
    assert main(["evaluate", *flags({"dataset": small["dataset"], "out": small["out"]} | change(*rows))]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not list(Path(small["out"]).glob("*.json"))


def test_only_plain_evaluations_take_them(small, rows, capsys):
    with pytest.raises(ConfigError, match="image_embeddings: expected none in a training"):
        train({**small, **fields(write_parquet(*rows))})
    with pytest.raises(ConfigError, match="weights: expected none"):
        train({**small, "weights": "a.safetensors"})
    command = ["evaluate", "--dataset", small["dataset"], "--language", "de", "--embeddings", "images.parquet"]
    assert main([*command, "--correct-hubs"]) == 2
    assert "--correct-hubs: expected no --embeddings with it" in capsys.readouterr().err
    assert main([*command, "--dry-run"]) == 0
    capsys.readouterr()
    assert main([*command, "--out", small["out"]]) == 0
    assert "mean R@1" in capsys.readouterr().out
