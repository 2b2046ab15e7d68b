import threading
from types import SimpleNamespace

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from pecl.encoders.image import ImageEncoder
from pecl.encoders.pairs import PAIRS
from pecl.encoders.towers import Towers
from pecl.errors import ConfigError, DataError


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


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_has_an_image(batch_size):
    with pytest.raises(ConfigError, match="batch_size: expected at least 1"):
        encoder().encode_image(colours(1), batch_size)


def test_a_generator_is_read_one_batch_at_a_time():
    tower, waiting = encoder(), []

    def images():
        for i in range(6):
            waiting.append(i - sum(tower.backbone.batch_sizes))
            yield colours((i, 0, 0))[0]

    tower.encode_image(images(), batch_size=2)
    assert waiting == [0, 1, 0, 1, 0, 1]


def test_a_sequence_is_decoded_in_a_thread_and_embedded_as_a_generator_is(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(7)]
    for i, path in enumerate(paths):
        Image.new("RGB", (8, 8), (30 * i, i, 255 - i)).save(path)
    threads = []
    tower = encoder()
    tower.preprocess = lambda image: threads.append(threading.current_thread()) or to_pixels(image)

    plain = tower.encode_image((path for path in paths), batch_size=3)
    assert set(threads) == {threading.main_thread()}
    threads.clear()
    ahead = tower.encode_image(paths, batch_size=3)
    assert threading.main_thread() not in threads
    assert torch.equal(ahead, plain)
    assert torch.equal(tower.encode_ahead(map(Image.open, paths), normalize=True), plain)


def test_a_sequence_of_one_batch_needs_no_thread():
    threads = []
    tower = encoder()
    tower.preprocess = lambda image: threads.append(threading.current_thread()) or to_pixels(image)
    tower.encode_image(colours((1, 2, 3), (4, 5, 6)), batch_size=2)
    assert threads == [threading.main_thread()] * 2


def test_an_unreadable_file_of_a_sequence_is_the_error_of_a_generator(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path in paths:
        Image.new("RGB", (8, 8)).save(path)
    paths[3].write_bytes(b"no image")
    messages = []
    for images in (paths, iter(paths)):
        tower = encoder()
        with pytest.raises(DataError, match=r"3\.png") as caught:
            tower.encode_image(images, batch_size=2)
        assert tower.backbone.batch_sizes == [2]  # the batch before the damaged file was embedded
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


def test_the_head_is_a_linear_layer_of_the_features():
    head = nn.Linear(3, 2)
    head.weight.data = torch.tensor([[1.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
    head.bias.data = torch.tensor([0.5, -1.0])
    tower = encoder(head)
    assert tower.embedding_dim == 2
    assert tower.encode_image(colours((1, 2, 3)), normalize=False).tolist() == [[4.5, 3.0]]  # 1 + 3 + 0.5, 2 * 2 - 1


def test_a_path_and_a_picture_are_one_image_and_may_stand_side_by_side(tmp_path):
    path = tmp_path / "red.png"
    Image.new("RGB", (8, 8), (200, 10, 20)).save(path)
    (blue,) = colours((1, 2, 250))
    red, both = [200.0, 10.0, 20.0], [[200.0, 10.0, 20.0], [1.0, 2.0, 250.0]]
    tower = encoder()
    for images, expected in ((path, [red]), (str(path), [red]), (blue, both[1:]), ([path, blue], both)):
        assert tower.encode_image(images, normalize=False).tolist() == expected
    assert tower.encode_image((item for item in (str(path), blue)), normalize=False).tolist() == both


def test_normalised_embeddings_have_length_1():
    found = encoder().encode_image(colours((30, 40, 0), (0, 0, 9)))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]))


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


def test_a_tower_is_loaded_once_and_only_when_asked_for():
    loaded = []

    def load(what, tower):
        loaded.append(what)
        return tower

    towers = Towers(
        lambda: load("text", SimpleNamespace(name="words", embedding_dim=3, fingerprint="f00")),
        lambda: load("image", encoder()),
    )
    assert towers.text.name == "words"
    assert towers.describe() == {"text": {"name": "words", "fingerprint": "f00"}, "image": None}
    assert loaded == ["text"]
    assert towers.image is towers.image
    assert loaded == ["text", "image"]
    assert towers.describe()["image"] == {"name": "colours", "fingerprint": encoder().fingerprint}


@pytest.mark.parametrize(("profile", "model"), [("paper", "ViT-L-14"), ("siglip2-b16", "ViT-B-16-SigLIP2")])
def test_sizes_in_the_table_of_pairs_are_those_of_open_clips_models(profile, model):
    settings = open_clip.get_model_config(model)
    with torch.device("meta"):
        tower = open_clip.model._build_vision_tower(settings["embed_dim"], settings["vision_cfg"])
        tower.train().requires_grad_(False)  # the fast path of `eval` would hide its operations
        with FlopCounterMode(display=False) as counter:
            tower(torch.zeros(2, 3, 224, 224))
    pair = PAIRS[profile]
    assert pair.image_parameters == pytest.approx(sum(one.numel() for one in tower.parameters()), rel=1e-3)
    assert pair.image_gflops == pytest.approx(counter.get_total_flops() / 2e9, rel=2e-3)
