"""A result names the images that it was measured with, whatever happens to their files meanwhile."""

import pytest
from helpers.small_experiment import small  # noqa: F401
from PIL import Image

from pecl.config import make_config
from pecl.encoders.store import image_fingerprints
from pecl.errors import DataError
from pecl.experiment.prepared import Prepared
from pecl.experiment.run import train
from pecl.files.images import ImageFiles
from pecl.results.side_files import read_manifest


def test_the_manifest_is_of_the_images_that_were_embedded(small, tmp_path, monkeypatch):  # noqa: F811
    before = train(make_config({**small, "out": str(tmp_path / "before")}))
    made = Prepared.images.func

    def embed_and_exchange(prepared):
        embeddings = made(prepared)
        for path in tmp_path.glob("*.png"):
            Image.new("RGB", (6, 6)).save(path)
        return embeddings

    monkeypatch.setattr(Prepared.images, "func", embed_and_exchange)
    after = train(make_config(small))
    assert after.metrics == before.metrics
    assert read_manifest(after) == read_manifest(before)
    assert after.data.duplicates == before.data.duplicates


def test_images_that_cannot_be_hashed_are_counted(tmp_path):
    for i in range(12):
        (tmp_path / f"{i}.png").mkdir()
    Image.new("RGB", (6, 6)).save(tmp_path / "a.png")
    images = ImageFiles((tmp_path / "a.png", *(tmp_path / f"{i}.png" for i in range(12))))
    with pytest.raises(DataError, match=r"12 of 13 images cannot be read \(0\.png, .*9\.png, \.\.\.;"):
        image_fingerprints(images)
