"""Frozen embeddings and refusals of `Prepared`: each tower has a store, each list its own embeddings."""

import pytest
import torch
from helpers.small_experiment import tiny_towers
from helpers.tiny import tiny_tower

import pecl.experiment.inputs
from pecl.config import make_config
from pecl.data.captions import ParallelCaptions
from pecl.data.registry import load_dataset
from pecl.data.splits import few_shot_split
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, DataError
from pecl.experiment.prepared import prepare_evaluation, prepare_training


def towers_of(seed):
    return Towers(lambda: tiny_tower(seed=seed), lambda: tiny_towers().image)


def test_each_text_tower_has_frozen_embeddings_of_its_own(small):
    """Of the same texts, in one cache, next to the same image tower."""
    texts = load_dataset(small["dataset"], "de").target
    for seed in (21, 22):
        towers = towers_of(seed)
        found = prepare_evaluation(make_config(small), towers).zero_shot("test")
        torch.testing.assert_close(found, towers.text.encode_text(texts, normalize=False))


def test_frozen_embeddings_are_those_of_the_parts_captions_and_images(small):
    towers, split = towers_of(23), few_shot_split(24, 6)
    data = load_dataset(small["dataset"], "de", need=["english_to_target"])
    prepared = prepare_training(make_config({**small, "anchor": "frozen", "route": "method2"}), towers)
    images = towers.image.encode_image((data.images.load(i) for i in range(24)), normalize=False)
    torch.testing.assert_close(prepared.train_images, images[list(split.train)])
    anchors = towers.text.encode_text([data.english_to_target[i] for i in split.train], normalize=False)
    torch.testing.assert_close(prepared.frozen_anchor, anchors)
    for part in ("val", "test"):
        texts = [data.target[i] for i in getattr(split, part)]
        torch.testing.assert_close(
            prepared.zero_shot(part), towers.text.encode_text(texts, normalize=False), rtol=1e-4, atol=1e-5
        )
        assert prepared.tokens(part) == towers.text.tokenize(texts)
        torch.testing.assert_close(prepared.evaluator(part).gallery, images[list(getattr(split, part))])


def test_training_on_text_alone_has_no_training_images(small):
    prepared = prepare_training(make_config({**small, "image_weight": 0.0}), tiny_towers())
    assert prepared.train_images is None
    assert prepared.images.shape == (24, 8)  # for validation


def test_a_training_takes_no_weights_of_an_evaluation(small):
    with pytest.raises(ConfigError, match="weights: expected none"):
        prepare_training(make_config({**small, "weights": "a.safetensors"}), tiny_towers())


@pytest.mark.parametrize(("gallery", "image_weight"), [("english", 1.0), ("images", 0.0), ("english", 0.0)])
def test_images_are_needed_for_the_gallery_or_the_loss_alone(small, tmp_path, gallery, image_weight):
    lines = (tmp_path / "captions.csv").read_text("utf-8").splitlines()
    (tmp_path / "text.csv").write_text("\n".join(line.partition(",")[2] for line in lines) + "\n", "utf-8")
    values = {"dataset": str(tmp_path / "text.csv"), "gallery": gallery, "image_weight": image_weight}
    config = make_config({**small, **values, "alignment_weight": 1.0})
    if (gallery, image_weight) == ("english", 0.0):
        assert prepare_training(config, tiny_towers()).train_images is None
        return
    with pytest.raises(DataError, match="has no images here"):
        prepare_training(config, tiny_towers())


@pytest.mark.parametrize(
    ("route", "missing"),
    [("baseline2", "target_to_english"), ("method2", "english_to_target"), ("method3", "target_to_english")],
)
def test_text_to_train_on_must_have_the_columns_of_the_route(small, monkeypatch, route, missing):
    text = ParallelCaptions("text", "de", ("a",) * 9, ("b",) * 9)
    monkeypatch.setattr(pecl.experiment.inputs, "flickr30k200_text", lambda _: text)
    values = {"route": route, "train_on": "flickr30k200", "image_weight": 0.0}
    with pytest.raises(ConfigError, match=f"route {route}: expected data with {missing}, which text does not have"):
        prepare_training(make_config({**small, **values}), tiny_towers())
