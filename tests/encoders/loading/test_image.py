import hashlib
import json
import sys

import numpy as np
import pytest
import timm
import torch
from helpers.checkpoints import write_base, write_clip, write_mclip, write_siglip, xlm_roberta_config
from PIL import Image
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_model_data_config
from transformers import AutoImageProcessor, CLIPVisionModelWithProjection

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


def library_pixels(folder, images):
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    return processor(images=images, return_tensors="pt")["pixel_values"]  # (N, 3, H, W)


@pytest.mark.parametrize("part", ["whole", "vision only"])
def test_clip_gives_what_transformers_gives(tmp_path, images, part):
    model = write_clip(tmp_path)
    with torch.no_grad():
        expected = model.get_image_features(library_pixels(tmp_path, images)).pooler_output
    if part == "vision only":
        CLIPVisionModelWithProjection.from_pretrained(tmp_path).save_pretrained(tmp_path)
    tower = load_image_checkpoint(tmp_path)
    assert tower.embedding_dim == expected.shape[1] == 12
    assert torch.allclose(tower.encode_image(images, batch_size=2, normalize=False), expected, atol=1e-5)


def test_clip_pixels_by_hand(tmp_path):
    """A grey image: (128 / 255 - mean) / deviation, with CLIP's published means and deviations."""
    write_clip(tmp_path)
    pixels = load_image_checkpoint(tmp_path).preprocess(Image.new("RGB", (50, 70), (128, 128, 128)))
    means, deviations = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    expected = torch.tensor([(128 / 255 - mean) / dev for mean, dev in zip(means, deviations, strict=True)])
    assert pixels.shape == (3, 32, 32)
    assert torch.allclose(pixels, expected.view(3, 1, 1).expand(3, 32, 32), atol=1e-5)


def test_siglip_gives_what_transformers_gives(tmp_path, images):
    model = write_siglip(tmp_path)
    with torch.no_grad():
        expected = model.get_image_features(library_pixels(tmp_path, images)).pooler_output
    tower = load_image_checkpoint(tmp_path)
    assert tower.embedding_dim == 32
    assert torch.allclose(tower.encode_image(images, normalize=False), expected, atol=1e-5)


def test_type_of_the_weights(tmp_path, images):
    write_clip(tmp_path)
    full, half = load_image_checkpoint(tmp_path), load_image_checkpoint(tmp_path, dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16
    found = half.encode_image(images, normalize=False)
    assert found.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(found, full.encode_image(images, normalize=False)).min() > 0.99
    assert full.fingerprint != half.fingerprint


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


def test_timm_features(tmp_path, images):
    model = write_timm(tmp_path)
    expected = timm_features(model, images)
    tower = load_image_checkpoint(tmp_path)
    assert tower.embedding_dim == expected.shape[1]
    assert torch.allclose(tower.encode_image(images, normalize=False), expected, atol=1e-5)


def test_timm_with_a_linear_layer(tmp_path, images):
    width = timm.create_model("test_resnet").num_features
    layer = torch.nn.Linear(width, 5)
    model = write_timm(tmp_path, projection={k: v.detach() for k, v in layer.named_parameters()})
    with torch.no_grad():
        expected = layer(timm_features(model, images))
    assert torch.allclose(load_image_checkpoint(tmp_path).encode_image(images, normalize=False), expected, atol=1e-5)


def test_timm_mistakes(tmp_path):
    write_timm(tmp_path, projection={"weight": torch.ones(5, 3)})
    with pytest.raises(WeightsError, match=r"projection.safetensors takes 3 features, but test_resnet gives \d+"):
        load_image_checkpoint(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architecture": "test_rsnet"}))
    with pytest.raises(WeightsError, match=r"names 'test_rsnet', expected a model of timm; did you mean 'test_resnet'"):
        load_image_checkpoint(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({**config, "architecture": "test_vit"}))
    with pytest.raises(WeightsError, match="do not fit timm's test_vit"):
        load_image_checkpoint(tmp_path)


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
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not there")
    (tmp_path / "Small-open.json").write_text(json.dumps(SMALL_OPEN_CLIP))
    open_clip.add_model_config(tmp_path / "Small-open.json")
    torch.manual_seed(5)
    model = open_clip.create_model("Small-open").eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    return model


def test_open_clip_by_name(tmp_path, images, open_clip_model):
    import open_clip

    preprocess = open_clip.image_transform(32, is_train=False)
    with torch.no_grad():
        expected = open_clip_model.encode_image(torch.stack([preprocess(image) for image in images]))
    tower = load_image_checkpoint(f"open_clip:Small-open/{tmp_path / 'weights.pt'}")
    assert tower.embedding_dim == 10
    assert torch.allclose(tower.encode_image(images, normalize=False), expected, atol=1e-5)


def test_open_clip_weights_that_are_pinned(tmp_path, images, open_clip_model, monkeypatch):
    """The checksum is of the file that is read: of a path, or of what open_clip downloads by a name."""
    import open_clip

    weights, plain = tmp_path / "weights.pt", f"open_clip:Small-open/{tmp_path / 'weights.pt'}"
    right, wrong = hashlib.sha256(weights.read_bytes()).hexdigest(), "0" * 64
    expected = load_image_checkpoint(plain).encode_image(images)
    assert torch.equal(load_image_checkpoint(f"{plain}@{right}").encode_image(images), expected)
    with pytest.raises(WeightsError, match=f"the weights {weights} have the SHA-256 {right}, expected {wrong}"):
        load_image_checkpoint(f"{plain}@{wrong}")
    asked = []
    monkeypatch.setattr(open_clip, "download_pretrained", lambda known: asked.append(known) or str(weights))
    with pytest.raises(WeightsError, match=f"have the SHA-256 {right}, expected {wrong}"):
        load_image_checkpoint(f"open_clip:ViT-B-16-plus-240/laion400m_e32@{wrong}")
    assert asked == [open_clip.get_pretrained_cfg("ViT-B-16-plus-240", "laion400m_e32")]


def test_open_clip_folder_with_its_own_preprocessing(tmp_path, images, open_clip_model):
    import open_clip

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


def test_open_clip_mistakes(tmp_path, open_clip_model, monkeypatch):
    with pytest.raises(WeightsError, match=r"unknown open_clip model .*did you mean 'ViT-B-16-plus-240'"):
        load_image_checkpoint("open_clip:ViT-B-16-pls-240/laion400m_e32")
    with pytest.raises(
        WeightsError, match=r"unknown weights .*did you mean 'laion400m_e32'.*path of a file of weights"
    ):
        load_image_checkpoint("open_clip:ViT-B-16-plus-240/laion400_e32")
    (tmp_path / "weights.pt").write_bytes((tmp_path / "weights.pt").read_bytes()[:3000])
    with pytest.raises(
        WeightsError, match=r"open_clip cannot load open_clip:Small-open/.*--image-model open_clip:Small-op"
    ):
        load_image_checkpoint(f"open_clip:Small-open/{tmp_path / 'weights.pt'}")
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(WeightsError, match=r"needs open_clip: pip install 'pecl\[openclip\]'"):
        load_image_checkpoint("open_clip:ViT-B-16-plus-240/laion400m_e32")


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
    write_base(tmp_path / "text")
    with pytest.raises(
        WeightsError, match="holds the architecture 'xlm-roberta', expected an image tower: one of clip"
    ):
        load_image_checkpoint(tmp_path / "text")


def test_preprocessing_is_needed(tmp_path):
    write_clip(tmp_path)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(WeightsError, match=r"lacks preprocessor_config.json"):
        load_image_checkpoint(tmp_path)


# A pair


def test_a_pair_of_local_folders(tmp_path):
    (tmp_path / "base").mkdir()
    xlm_roberta_config().save_pretrained(tmp_path / "base")
    write_mclip(tmp_path / "text", tmp_path / "base", dim=12)
    write_mclip(tmp_path / "narrow", tmp_path / "base", dim=8)
    write_clip(tmp_path / "image")
    towers = load_towers("paper", str(tmp_path / "text"), str(tmp_path / "image"))
    assert towers.image.embedding_dim == towers.text.embedding_dim == 12
    towers = load_towers("paper", str(tmp_path / "narrow"), str(tmp_path / "image"))
    with pytest.raises(WeightsError, match=r"narrow embeds into 8 dimensions and image tower .*image into 12"):
        _ = towers.image
