import hashlib
import json
import sys

import numpy as np
import open_clip
import pytest
import timm
import torch
from helpers.checkpoints import write_base, write_clip, write_siglip
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_model_data_config
from transformers import AutoImageProcessor, CLIPVisionModelWithProjection, SiglipModel, SiglipVisionModel

from pecl.encoders.loading.image import load_image_checkpoint
from pecl.encoders.loading.text import load_text_checkpoint
from pecl.encoders.towers import load_towers
from pecl.errors import WeightsError


@pytest.fixture(scope="module")
def images():
    """Noise of several sizes and shapes."""
    generator = np.random.default_rng(0)
    sizes = ((40, 60), (60, 40), (32, 32), (100, 35), (9, 9))
    return [Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in sizes]


@pytest.mark.parametrize(
    ("write", "part", "width"), [(write_clip, "whole", 12), (write_clip, "vision", 12), (write_siglip, "whole", 32)]
)
def test_it_gives_what_transformers_gives(tmp_path, images, write, part, width):
    model = write(tmp_path)
    pixels = AutoImageProcessor.from_pretrained(tmp_path, backend="pil")(images=images, return_tensors="pt")
    with torch.no_grad():
        expected = model.get_image_features(pixels["pixel_values"]).pooler_output
    if part == "vision":
        CLIPVisionModelWithProjection.from_pretrained(tmp_path).save_pretrained(tmp_path)
    tower = load_image_checkpoint(tmp_path)
    assert tower.embedding_dim == expected.shape[1] == width
    assert torch.allclose(tower.encode_image(images, batch_size=2, normalize=False), expected, atol=1e-5)
    half = load_image_checkpoint(tmp_path, dtype=torch.bfloat16)
    assert torch.cosine_similarity(half.encode_image(images, normalize=False), expected).min() > 0.99
    assert half.fingerprint != tower.fingerprint


@pytest.mark.parametrize("part", ["whole", "vision"])
def test_a_siglip_without_its_pooling_head_is_refused(tmp_path, part):
    """transformers pools no features of such a model, so an image has no embedding."""
    config = write_siglip(tmp_path).config
    config.vision_config.vision_use_head = False
    model = SiglipModel(config) if part == "whole" else SiglipVisionModel(config.vision_config)
    pixels = torch.zeros(1, 3, 32, 32)
    assert (model.vision_model if part == "whole" else model)(pixel_values=pixels).pooler_output is None
    model.save_pretrained(tmp_path)
    with pytest.raises(WeightsError, match=r"config\.json has vision_use_head: false, .* a checkpoint with it"):
        load_image_checkpoint(tmp_path)


# timm


def write_timm(folder, name="test_resnet", projection=None):
    """A model as timm saves it for the hub, with its classifier."""
    torch.manual_seed(4)
    model = timm.create_model(name, num_classes=7).eval()
    timm.models.save_for_hf(model, str(folder), safe_serialization=True)
    if projection is not None:
        save_file(projection, folder / "projection.safetensors")
    return model


def timm_features(model, images):
    transform = create_transform(**resolve_model_data_config(model), is_training=False)
    pixels = torch.stack([transform(image) for image in images])
    with torch.no_grad():
        return model.forward_head(model.forward_features(pixels), pre_logits=True)


@pytest.mark.parametrize("is_projected", [False, True])
def test_timm(tmp_path, images, is_projected):
    layer = torch.nn.Linear(timm.create_model("test_resnet").num_features, 5)
    projection = {name: value.detach() for name, value in layer.named_parameters()}
    features = timm_features(write_timm(tmp_path, projection=projection if is_projected else None), images)
    expected = layer(features).detach() if is_projected else features
    tower = load_image_checkpoint(tmp_path)
    assert tower.embedding_dim == expected.shape[1]
    assert torch.allclose(tower.encode_image(images, normalize=False), expected, atol=1e-5)


# open_clip

SMALL_OPEN_CLIP = {
    "embed_dim": 10,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 8, "vocab_size": 50, "width": 64, "heads": 2, "layers": 1},
}
PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.3, 0.4], "size": 32, "interpolation": "bicubic"}


@pytest.fixture
def open_clip_model(tmp_path):
    """A small open_clip model known by the name `Small-open`, and its weights in a file."""
    (tmp_path / "Small-open.json").write_text(json.dumps(SMALL_OPEN_CLIP))
    open_clip.add_model_config(tmp_path / "Small-open.json")
    torch.manual_seed(5)
    model = open_clip.create_model("Small-open").eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    return model


def test_open_clip_by_name_and_weights_that_are_pinned(tmp_path, images, open_clip_model, monkeypatch):
    """The checksum is of the file that is read: of a path, or of what open_clip downloads by a name."""
    weights, plain = tmp_path / "weights.pt", f"open_clip:Small-open/{tmp_path / 'weights.pt'}"
    right, wrong = hashlib.sha256(weights.read_bytes()).hexdigest(), "0" * 64
    preprocess = open_clip.image_transform(32, is_train=False)
    with torch.no_grad():
        expected = open_clip_model.encode_image(torch.stack([preprocess(image) for image in images]))
    for name in (plain, f"{plain}@{right}"):
        found = load_image_checkpoint(name).encode_image(images, normalize=False)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    with pytest.raises(WeightsError, match=f"the weights {weights} have the SHA-256 {right}, expected {wrong}"):
        load_image_checkpoint(f"{plain}@{wrong}")
    asked = []
    monkeypatch.setattr(open_clip, "download_pretrained", lambda known: asked.append(known) or str(weights))
    with pytest.raises(WeightsError, match=f"have the SHA-256 {right}, expected {wrong}"):
        load_image_checkpoint(f"open_clip:ViT-B-16-plus-240/laion400m_e32@{wrong}")
    assert asked == [open_clip.get_pretrained_cfg("ViT-B-16-plus-240", "laion400m_e32")]


def test_open_clip_folder_with_its_own_preprocessing(tmp_path, images, open_clip_model):
    folder = tmp_path / "folder"
    folder.mkdir()
    config = {"model_cfg": SMALL_OPEN_CLIP, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(open_clip_model.state_dict(), folder / "open_clip_model.safetensors")
    preprocess = open_clip.image_transform(32, is_train=False, mean=PREPROCESS["mean"], std=PREPROCESS["std"])
    with torch.no_grad():
        expected = open_clip_model.encode_image(torch.stack([preprocess(image) for image in images]))
    tower = load_image_checkpoint(folder)
    assert torch.allclose(tower.encode_image(images, normalize=False), expected, atol=1e-5)
    assert tower.preprocessing["mean"] == PREPROCESS["mean"]


def test_open_clip_mistakes(monkeypatch):
    name = "open_clip:ViT-B-16-plus-240"
    with pytest.raises(WeightsError, match=r"unknown weights .*did you mean 'laion400m_e32'.*path of a file"):
        load_image_checkpoint(f"{name}/laion400_e32")
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(WeightsError, match=r"needs open_clip: pip install -e '.\[openclip\]'"):
        load_image_checkpoint(f"{name}/laion400m_e32")


# What does not fit


def test_weights_missing_by_name_and_wrong_architectures(tmp_path):
    write_clip(tmp_path / "clip")
    state = load_file(tmp_path / "clip" / "model.safetensors")
    lacking = {name: tensor for name, tensor in state.items() if name != "visual_projection.weight"}
    save_file(lacking, tmp_path / "clip" / "model.safetensors")
    with pytest.raises(WeightsError, match=r"lacks 1 weights \(visual_projection.weight\)"):
        load_image_checkpoint(tmp_path / "clip")
    with pytest.raises(WeightsError, match="holds the architecture 'clip', expected a text tower"):
        load_text_checkpoint(tmp_path / "clip")


def test_a_pair_of_two_widths_is_refused(tmp_path):
    write_base(tmp_path / "wide")
    write_clip(tmp_path / "image")
    towers = load_towers("paper", str(tmp_path / "wide"), str(tmp_path / "image"))
    with pytest.raises(WeightsError, match=r"wide embeds into 32 dimensions and image tower .*image into 12"):
        _ = towers.image
