"""A complete result is of the photographs that it was made with."""

import json
from pathlib import Path

import pytest
from helpers.small_experiment import PAIRS
from PIL import Image

from pecl.experiment.run import train
from pecl.files import sha256_file
from pecl.files.images import _fingerprint_of
from pecl.grid import run_grid
from pecl.grid.configs import expand


def overwrite(paths, colour):
    """Overwrite pictures; size and time of a file may stay, as on a file system with coarse times."""
    for path in paths:
        Image.new("RGB", (6, 6), colour).save(path)


def pictures_of(config, parts):
    """The files of the pictures of some parts, from the manifest of the split."""
    manifest = json.loads(next((Path(config["out"]) / "splits").glob("*.json")).read_text())
    return [Path(config["dataset"]).parent / f"{i}.png" for part in parts for i in manifest["indices"][part]]


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_run_whose_photographs_were_overwritten_is_made_again(small, caplog, part):
    first = train(small)
    assert train(small) == first
    overwrite(pictures_of(small, [part])[:1], (1, 2, 3))
    again = train(small)
    assert "is of other photographs; running it again" in caplog.text
    assert again.run_id == first.run_id
    assert again.data.photographs != first.data.photographs
    fresh = train({**small, "out": small["out"] + "-fresh"})
    assert (again.metrics, again.data.photographs) == (fresh.metrics, fresh.data.photographs)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"image_weight": 0}, ["train"]),  # trains on text, retrieves photographs
        ({"gallery": "english"}, ["val", "test"]),  # trains on photographs, retrieves text
        ({"gallery": "english", "image_weight": 0}, ["train", "val", "test"]),
    ],
)
def test_photographs_that_a_run_does_not_use_change_nothing(small, values, parts):
    config = {**small, **values}
    first = train(config)
    overwrite(pictures_of(config, parts), (1, 2, 3))
    (Path(first.path)).touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pecl.experiment.checks.towers_of", None)  # nothing is trained
        assert train(config) == first


def test_a_grid_reads_each_photograph_once(small, monkeypatch):
    configs = expand({**small, "seed": [1, 2], "split_seed": [1, 2], "language": ["de", "fr"]})
    run_grid(configs)
    read = []
    monkeypatch.setattr("pecl.files.images.sha256_file", lambda path: read.append(path) or sha256_file(path))
    _fingerprint_of.cache_clear()
    assert all(result.status == "complete" for result in run_grid(configs).results)
    assert len(read) == len(set(read)) == PAIRS
