from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pecl.encoders.image import ImageEncoder
from pecl.encoders.loading.mini import HEADS
from pecl.encoders.towers import PAIRS, Towers, check_pair, load_image_encoder, load_text_encoder
from pecl.errors import ConfigError, DataError, WeightsError


def to_pixels(image):
    return torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float()


class MeanColour(nn.Module):
    """Features (B, 3): the mean of each colour, times a weight."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))
        self.batch_sizes = []

    def forward(self, pixels):
        self.batch_sizes.append(len(pixels))
        return pixels.mean((2, 3)) * self.weight


def encoder(head=None, size=8, name="colours"):
    return ImageEncoder(MeanColour(), head, to_pixels, name=name, preprocessing={"size": size})


def colours(*values):
    return [Image.new("RGB", (8, 8), value) for value in values]


def test_images_are_encoded_in_order_and_in_batches():
    tower = encoder()
    values = [(i, 2 * i, 255 - i) for i in range(7)]
    found = tower.encode_image(colours(*values), batch_size=3, normalize=False)
    assert found.tolist() == [list(map(float, value)) for value in values]
    assert tower.backbone.batch_sizes == [3, 3, 1]


def test_a_generator_is_read_one_batch_at_a_time():
    tower, waiting = encoder(), []

    def images():
        for i in range(6):
            waiting.append(i - sum(tower.backbone.batch_sizes))
            yield colours((i, 0, 0))[0]

    tower.encode_image(images(), batch_size=2)
    assert waiting == [0, 1, 0, 1, 0, 1]


def test_the_head_is_a_linear_layer_of_the_features():
    head = nn.Linear(3, 2)
    head.weight.data = torch.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    head.bias.data = torch.tensor([0.5, -1.0])
    tower = encoder(head)
    assert tower.embedding_dim == 2
    assert tower.encode_image(colours((1, 2, 3)), normalize=False).tolist() == [[4.5, 3.0]]  # 1 + 3 + 0.5, 2 * 2 - 1


def test_the_backbone_is_put_in_evaluation_mode_and_gives_no_gradients():
    backbone = nn.Sequential(MeanColour(), nn.Dropout(0.5)).train()
    tower = ImageEncoder(backbone, None, to_pixels, name="colours", preprocessing={})
    found = tower.encode_image(colours((8, 16, 32), (2, 4, 6)), normalize=False)
    assert found.tolist() == [[8.0, 16.0, 32.0], [2.0, 4.0, 6.0]]
    assert not found.requires_grad


def test_half_precision_gives_float32():
    found = encoder().to(torch.bfloat16).encode_image(colours((8, 16, 32)), normalize=False)
    assert found.dtype == torch.float32
    assert found.tolist() == [[8.0, 16.0, 32.0]]


def test_a_path_and_a_picture_are_one_image_and_may_stand_side_by_side(tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (8, 8), (200, 10, 20)).save(path)
    (blue,) = colours((1, 2, 250))
    red, both = [200.0, 10.0, 20.0], [[200.0, 10.0, 20.0], [1.0, 2.0, 250.0]]
    tower = encoder()
    for images, expected in ((path, [red]), (str(path), [red]), (blue, both[1:]), ([path, blue], both)):
        assert tower.encode_image(images, normalize=False).tolist() == expected
    assert tower.encode_image((item for item in (str(path), blue)), normalize=False).tolist() == both


def test_no_images_give_no_rows():
    assert encoder().encode_image([]).shape == (0, 3)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (None, "images: expected a path, a picture or several of them, got None (NoneType)"),
        (["/nowhere/a.jpg"], "cannot read image /nowhere/a.jpg"),
        (np.zeros((8, 8, 3)), "images: expected a path or a picture at position 0, got ndarray"),
        ([*colours((1, 1, 1)), 4], "images: expected a path or a picture at position 1, got int"),
    ],
)
def test_what_is_no_image_is_named(images, message):
    with pytest.raises(DataError) as caught:
        encoder().encode_image(images)
    assert message in str(caught.value)


def test_normalised_embeddings_have_length_1():
    found = encoder().encode_image(colours((30, 40, 0), (0, 0, 9)))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]))


def test_the_repr_is_one_line_without_the_layers():
    # a linear layer 3 -> 2 has 8 parameters, the features' weight 3
    assert repr(encoder(nn.Linear(3, 2))) == "ImageEncoder(name='colours', width=2, parameters=11, device='cpu')"


def test_fingerprint_covers_weights_and_preprocessing():
    changed = encoder()
    changed.backbone.weight.data[0] = 2
    headed = encoder(nn.Linear(3, 2))
    other_head = encoder(nn.Linear(3, 2))
    towers = [encoder(), encoder(size=16), changed, headed, other_head]
    prints = [tower.fingerprint for tower in towers]
    assert len(set(prints)) == len(prints)
    assert encoder().fingerprint == prints[0]


# Pairs


class Text:
    """Stands in for a text tower: `check_pair` looks at no more."""

    def __init__(self, width):
        self.name, self.embedding_dim, self.fingerprint = "words", width, "f00"


def test_towers_of_two_widths_are_refused_with_both_named():
    check_pair(Text(3), encoder())
    with pytest.raises(WeightsError) as caught:
        check_pair(Text(4), encoder())
    for part in ("words", "4 dimensions", "colours", "into 3", "--text-model", "--image-model"):
        assert part in str(caught.value)


def test_a_tower_is_loaded_once_and_only_when_asked_for():
    loaded = []

    def load(what, tower):
        loaded.append(what)
        return tower

    towers = Towers(lambda: load("text", Text(3)), lambda: load("image", encoder()))
    assert repr(towers) == "Towers(\n  text=not loaded yet,\n  image=not loaded yet,\n)"
    assert loaded == []
    assert towers.text.name == "words"
    assert towers.describe() == {"text": {"name": "words", "fingerprint": "f00"}, "image": None}
    assert loaded == ["text"]
    assert towers.image is towers.image
    assert loaded == ["text", "image"]
    assert "image=ImageEncoder(name='colours', width=3," in repr(towers)
    assert towers.describe()["image"] == {"name": "colours", "fingerprint": encoder().fingerprint}


def test_a_tower_alone_is_found_by_the_name_of_its_pair_a_hub_id_or_a_folder(monkeypatch):
    asked = []
    places = ("text.load_text_checkpoint", "image.load_image_checkpoint", "mini.load_mini_text", "mini.load_mini_image")
    for place in places:
        instead = partial(lambda function, *args, **kwargs: asked.append((function, *args, kwargs)), place)
        monkeypatch.setattr(f"pecl.encoders.loading.{place}", instead)
    plain = {"device": "cpu", "dtype": torch.float32}
    text = {**plain, "max_length": None, "pooling": None}
    for load, name, *expected in (
        (load_text_encoder, "mini", "mini.load_mini_text", {"heads": HEADS, **plain}),
        (load_text_encoder, "mini-pooled", "mini.load_mini_text", {"heads": None, **plain}),
        (load_text_encoder, "labse", "text.load_text_checkpoint", "M-CLIP/LABSE-Vit-L-14", text),
        (load_text_encoder, "some/model", "text.load_text_checkpoint", "some/model", text),
        (load_text_encoder, "./labse", "text.load_text_checkpoint", "./labse", text),
        (load_image_encoder, "mini", "mini.load_mini_image", plain),
        (load_image_encoder, "paper", "image.load_image_checkpoint", "openai/clip-vit-large-patch14", plain),
        (load_image_encoder, "./mini", "image.load_image_checkpoint", "./mini", plain),
    ):
        load(name)
        assert asked.pop() == tuple(expected)
    load_text_encoder("paper", max_length=16, pooling="cls", dtype=torch.bfloat16)
    assert asked.pop()[2] == {"device": "cpu", "dtype": torch.bfloat16, "max_length": 16, "pooling": "cls"}


def test_the_settings_of_mini_are_fixed():
    with pytest.raises(ConfigError, match="max_length, pooling: expected neither with mini"):
        load_text_encoder("mini", pooling="cls")


def test_pairs():
    """The pairs of the M-CLIP README."""
    named = {(pair.text, pair.image) for pair in PAIRS.values()}
    assert named >= {
        ("M-CLIP/XLM-Roberta-Large-Vit-L-14", "openai/clip-vit-large-patch14"),
        ("M-CLIP/XLM-Roberta-Large-Vit-B-32", "openai/clip-vit-base-patch32"),
        ("M-CLIP/XLM-Roberta-Large-Vit-B-16Plus", "open_clip:ViT-B-16-plus-240/laion400m_e32"),
        ("M-CLIP/LABSE-Vit-L-14", "openai/clip-vit-large-patch14"),
        ("mini", "mini"),
    }
