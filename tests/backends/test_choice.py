"""`auto` takes OpenVINO where it is installed and pays, and states its reason; nothing is replaced in silence."""

import importlib.util

import pytest
import torch
from helpers.adapter_towers import TEXTS, tower_of
from helpers.exporting import image_tower, pictures

import pecl
from pecl import backends
from pecl.backends import AUTO_BACKEND, choose_backend, set_backend
from pecl.encoders.store import store_of
from pecl.errors import ConfigError
from pecl.machine import AUTO_PRECISION


@pytest.fixture
def installed(monkeypatch):
    """Set whether openvino is installed."""
    monkeypatch.delenv(AUTO_BACKEND)

    def set_installed(is_there):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: object() if is_there else None)

    return set_installed


@pytest.mark.parametrize(
    ("is_there", "device", "items", "expected", "reason"),
    [
        (True, "cpu", None, "openvino", "it is installed"),
        (True, "cpu", 500, "openvino", "it is installed"),
        (True, "cpu", 499, "torch", "499 items take less time than a graph"),
        (True, "cuda:1", None, "torch", "the device is cuda:1"),
        (False, "cpu", None, "torch", "openvino is not installed: pip install"),
    ],
)
def test_the_choice_and_its_reason(is_there, device, items, expected, reason, installed):
    installed(is_there)
    choice = choose_backend("auto", device, items, pays=500)
    assert choice.backend == expected
    assert choice.reason.startswith(reason)


def test_the_environment_decides_what_auto_is(installed, monkeypatch):
    installed(True)
    monkeypatch.setenv(AUTO_BACKEND, "torch")
    assert choose_backend("auto").backend == "torch"
    assert choose_backend("openvino").backend == "openvino"
    monkeypatch.setenv(AUTO_BACKEND, "openvinno")
    with pytest.raises(ConfigError, match="did you mean 'openvino'"):
        choose_backend("auto")


def test_large_layers_and_other_types_stay_with_pytorch(installed, monkeypatch):
    installed(True)
    assert "float64" in set_backend(tower_of("mini"), "auto").reason
    monkeypatch.setattr(backends, "LARGEST", 1000)
    tower = tower_of("mini", torch.float32)
    assert "GiB" in set_backend(tower, "auto").reason
    assert tower.runtime is None


def test_bf16_of_pytorch_is_that_of_the_tower_and_of_photographs():
    text, image, plain = tower_of("mini", torch.float32), image_tower(), image_tower()
    weights = {name: tensor.clone() for name, tensor in image.state_dict().items()}
    for tower in (text, image):
        set_backend(tower, "torch", "bf16")
        assert tower.precision == "bf16"
    expected = tower_of("mini", torch.float32).encode_text(TEXTS)
    assert torch.cosine_similarity(text.encode_text(TEXTS), expected).min() > 0.999

    rows, expected = image.encode_image(pictures()), plain.encode_image(pictures())
    assert rows.dtype == torch.float32
    assert not torch.equal(rows, expected)
    assert torch.cosine_similarity(rows, expected).min() > 0.999
    assert all(torch.equal(tensor, weights[name]) for name, tensor in image.state_dict().items())
    assert image.fingerprint == plain.fingerprint
    assert store_of(image).tower != store_of(plain).tower  # cached embeddings of the two are not mixed


def test_the_loaders_pass_backend_and_precision_on(monkeypatch):
    calls = []
    monkeypatch.setattr("pecl.backends.loading.set_backend", lambda tower, *settings: calls.append(settings))
    monkeypatch.setattr("pecl.encoders.towers.load_text_encoder", lambda *_, **__: tower_of("mini", torch.float32))
    monkeypatch.setattr("pecl.encoders.towers.load_image_encoder", lambda *_, **__: image_tower())
    pecl.load_text_encoder("mini", precision="fp32", backend="torch")
    pecl.load_image_encoder("mini")
    towers = pecl.load_towers("mini", precision="fp32")
    assert calls == [("torch", "fp32"), ("auto", "auto")]
    assert towers.text.runtime is None
    assert calls[2:] == [("auto", "fp32")]
    for load in (pecl.load_text_encoder, pecl.load_image_encoder, pecl.load_towers, pecl.load_bank):
        with pytest.raises(ConfigError, match="did you mean 'openvino'"):
            load("mini", backend="openvinno")
        with pytest.raises(ConfigError, match="unknown precision 'fp8'"):
            load("mini", precision="fp8")


def test_a_precision_of_the_environment_stands_for_auto(monkeypatch):
    monkeypatch.setenv(AUTO_PRECISION, "bf16")
    tower = tower_of("mini", torch.float32)
    set_backend(tower, "torch", "auto")
    assert tower.precision == "bf16"
