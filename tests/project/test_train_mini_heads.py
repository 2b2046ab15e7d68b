"""Training of the mini profile's linear layers, on features with a planted relation."""

import importlib.util
import sys

import pytest
import torch
from helpers.project import ROOT
from torch.nn import functional as F

SCRIPT = ROOT / "scripts" / "train_mini_heads.py"
IMAGES, CAPTIONS, IMAGE_WIDTH, TEXT_WIDTH = 200, 3, 24, 16


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("train_mini_heads", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def features(script):
    """Both sides are linear maps of one hidden cause, far from standardised; captions of an image are scattered."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    cause = draw(IMAGES, 8)
    image_index = torch.arange(IMAGES).repeat(CAPTIONS)
    images = 5 * cause @ draw(8, IMAGE_WIDTH) + 30
    texts = 0.1 * (cause[image_index] @ draw(8, TEXT_WIDTH) + 0.2 * draw(IMAGES * CAPTIONS, TEXT_WIDTH)) - 1
    return script.Features(images, texts, image_index)


@pytest.fixture(scope="module")
def settings(script):
    return script.Settings(dim=12, epochs=60, batch_size=64, lr=1e-2)


def test_a_planted_relation_is_found(script, features, settings):
    text, image = script.train_heads(features, settings)
    with torch.no_grad():
        similarity = F.normalize(image(features.images), dim=1) @ F.normalize(text(features.texts[:IMAGES]), dim=1).T
    assert (similarity.argmax(1) == torch.arange(IMAGES)).float().mean() > 0.8  # chance is .005


def test_same_seed_same_bits(script, features, settings):
    first, again, other = (
        [p for head in script.train_heads(features, chosen) for p in head.parameters()]
        for chosen in (settings, settings, script.Settings(**(vars(settings) | {"seed": 1})))
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


def test_embeddings_have_the_norm_that_is_promised(script, features, settings):
    text, image = script.train_heads(features, settings)
    with torch.no_grad():
        assert text(features.texts).norm(dim=1).mean().item() == pytest.approx(script.NORM, rel=1e-4)
        assert image(features.images).norm(dim=1).mean().item() == pytest.approx(script.NORM, rel=1e-4)


def test_folded_layer_computes_the_same(script, features):
    layer = script.Standardised(features.texts, 12, dropout=0.5).eval()
    assert torch.allclose(layer.folded()(features.texts), layer(features.texts), atol=1e-4)


def test_sources_are_concatenated_by_image(script, features):
    """Two sources: the second's captions point at the second's images."""
    second = script.Features(torch.ones(2, IMAGE_WIDTH), torch.ones(3, TEXT_WIDTH), torch.tensor([1, 0, 1]))
    both = script.concatenate([features, second])
    assert both.image_index[-3:].tolist() == [IMAGES + 1, IMAGES, IMAGES + 1]
    assert torch.equal(both.images[both.image_index[-3:]], torch.ones(3, IMAGE_WIDTH))
    assert torch.equal(both.images[both.image_index[:-3]], features.images[features.image_index])


def test_scenes_of_the_script_are_not_the_data_sets(script):
    from pecl.data.scenes import load_scenes

    source, data = script.scenes_source(50), load_scenes("en", 50)
    assert not {source.images.fingerprint(i) for i in range(50)} & {data.images.fingerprint(i) for i in range(50)}
    assert source.image_index == (*range(50), *range(50))
