import logging

import pytest
import torch
from helpers.tiny import sentences, tiny_tower
from PIL import Image

from pecl.adapters.adapter import attach
from pecl.adapters.kinds.lora import LoraConfig
from pecl.data.captions import ImageFiles
from pecl.encoders.image import ImageEncoder
from pecl.encoders.store import EmbeddingStore, image_embeddings, text_embeddings
from pecl.errors import OutputError


class Counting(torch.nn.Module):
    """An image backbone that counts the images it sees."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))
        self.seen = 0

    def forward(self, pixels):
        self.seen += len(pixels)
        return pixels.mean(dim=(2, 3)) * self.weight  # (B, 3, H, W) -> (B, 3)


def pixels(image):
    return torch.tensor(list(image.convert("RGB").resize((2, 2)).tobytes())).view(2, 2, 3).permute(2, 0, 1) / 255


def image_tower(**preprocessing):
    return ImageEncoder(Counting(), None, pixels, name="counting", preprocessing=preprocessing)


@pytest.fixture
def images(tmp_path):
    paths = []
    for i in range(5):
        paths.append(tmp_path / f"{i}.png")
        Image.new("RGB", (8, 8), (40 * i, 10, 255 - 40 * i)).save(paths[-1])
    return ImageFiles(tuple(paths))


def test_an_image_is_encoded_once_whatever_asks_for_it(images, tmp_path):
    tower = image_tower()
    first = image_embeddings(tower, images.subset([0, 1, 2]), EmbeddingStore(tower.fingerprint, tmp_path / "cache"))
    assert tower.backbone.seen == 3
    # another run: a new store on the same folder, an overlapping list in another order, one image twice
    store = EmbeddingStore(tower.fingerprint, tmp_path / "cache")
    second = image_embeddings(tower, images.subset([3, 2, 1, 3]), store)
    assert tower.backbone.seen == 4
    assert torch.equal(second[1], first[2])
    assert torch.equal(second[0], second[3])
    expected = torch.stack([pixels(images.load(i)).mean(dim=(1, 2)) for i in (3, 2, 1, 3)])
    torch.testing.assert_close(second, expected)


def test_changed_content_or_preprocessing_is_encoded_anew(images, tmp_path):
    tower = image_tower()
    store = EmbeddingStore(tower.fingerprint, tmp_path / "cache")
    before = image_embeddings(tower, images, store)
    Image.new("RGB", (8, 8), (255, 255, 255)).save(images.paths[0])
    after = image_embeddings(tower, images, store)
    assert tower.backbone.seen == 6
    assert torch.equal(after[1:], before[1:])
    torch.testing.assert_close(after[0], torch.ones(3))
    assert image_tower(size=3).fingerprint != tower.fingerprint


@pytest.mark.parametrize("damage", [b"", b"not safetensors", None])
def test_a_damaged_shard_is_dropped_with_a_warning_and_made_anew(images, tmp_path, caplog, damage):
    tower = image_tower()
    expected = image_embeddings(tower, images, EmbeddingStore(tower.fingerprint, tmp_path / "cache"))
    (shard,) = (tmp_path / "cache").rglob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:-5] if damage is None else damage)
    with caplog.at_level(logging.WARNING):
        found = image_embeddings(tower, images, EmbeddingStore(tower.fingerprint, tmp_path / "cache"))
    assert "dropping damaged cache file" in caplog.text
    assert torch.equal(found, expected)
    assert tower.backbone.seen == 10


def test_a_shard_of_another_tower_is_not_believed(images, tmp_path, caplog):
    tower = image_tower()
    image_embeddings(tower, images, EmbeddingStore("0" * 16 + "a" * 48, tmp_path / "cache"))
    found = EmbeddingStore("0" * 16 + "b" * 48, tmp_path / "cache")
    image_embeddings(tower, images, found)
    assert tower.backbone.seen == 10
    assert "another tower" in caplog.text


def test_texts_are_encoded_once_a_list(tmp_path, monkeypatch):
    tower = tiny_tower()
    texts = sentences(7)
    first = text_embeddings(tower, texts, EmbeddingStore(tower.fingerprint, tmp_path))
    torch.testing.assert_close(first, tower.encode_text(texts))
    monkeypatch.setattr(tower, "encode_text", lambda *_, **__: pytest.fail("encoded again"))
    assert torch.equal(text_embeddings(tower, texts, EmbeddingStore(tower.fingerprint, tmp_path)), first)


def test_an_adapted_tower_has_no_frozen_embeddings(tmp_path):
    tower = tiny_tower()
    attach(tower, LoraConfig(r=1))
    with pytest.raises(ValueError, match="detach it first"):
        text_embeddings(tower, ["a"], EmbeddingStore("x", tmp_path))


def test_a_store_that_cannot_be_written_names_the_variable_of_its_folder(images, tmp_path):
    (tmp_path / "file").write_text("in the way")
    tower = image_tower()
    with pytest.raises(OutputError, match=r"cannot write .*; PECL_CACHE_DIR names another folder"):
        image_embeddings(tower, images, EmbeddingStore(tower.fingerprint, tmp_path / "file"))


def test_each_list_has_embeddings_of_its_own(tmp_path):
    """Padding makes the last bits of an embedding depend on its neighbours, so a text in two lists has two."""
    tower = tiny_tower()
    one, two = sentences(7), sentences(9, seed=3)
    lists = [one, two, one[:4], one[::-1], [one[0], *two]]
    store = EmbeddingStore(tower.fingerprint, tmp_path)
    for _ in range(2):  # computed, then read
        for texts in lists:
            assert torch.equal(text_embeddings(tower, texts, store), tower.encode_text(texts, 64))
        store = EmbeddingStore(tower.fingerprint, tmp_path)


def test_each_tower_has_embeddings_of_its_own(images, tmp_path):
    plain, other = image_tower(), image_tower(size=3)
    with torch.no_grad():
        other.backbone.weight.fill_(2.0)
    first, second = (image_embeddings(t, images, EmbeddingStore(t.fingerprint, tmp_path / "c")) for t in (plain, other))
    torch.testing.assert_close(second, 2 * first)
    assert torch.equal(image_embeddings(plain, images, EmbeddingStore(plain.fingerprint, tmp_path / "c")), first)
    assert plain.backbone.seen == 5  # what the other tower wrote did not push it out
    texts = sentences(5)
    for seed in (1, 2):
        tower = tiny_tower(seed=seed)
        found = text_embeddings(tower, texts, EmbeddingStore(tower.fingerprint, tmp_path / "c"))
        torch.testing.assert_close(found, tower.encode_text(texts))


def test_a_store_sees_what_another_adds_and_gives_the_same_bits(images, tmp_path):
    tower = image_tower()
    one, two = (EmbeddingStore(tower.fingerprint, tmp_path / "cache") for _ in range(2))
    assert not one.keys() | two.keys()
    first = image_embeddings(tower, images.subset([0, 1, 2]), one)
    assert two.keys() == {images.fingerprint(i) for i in range(3)}
    second = image_embeddings(tower, images.subset([4, 2, 0]), two)
    assert torch.equal(second[1:], first[[2, 0]])
    third = image_embeddings(tower, images, one)
    assert torch.equal(third[[4, 2, 0]], second)
    assert tower.backbone.seen == 5
    assert third.dtype == torch.float32


@pytest.mark.parametrize("keys", ["abc", "cba", "abab", "xaybz", "aa"])
def test_a_store_computes_each_missing_key_once_in_order(tmp_path, keys):
    store = EmbeddingStore("t", tmp_path)
    store.get("b", lambda missing: torch.tensor([[float(ord("b"))]]))
    asked = []

    def compute(missing):
        asked.extend(keys[i] for i in missing)
        return torch.tensor([[float(ord(keys[i]))] for i in missing])

    assert store.get(keys, compute).flatten().tolist() == [float(ord(key)) for key in keys]
    assert asked == list(dict.fromkeys(key for key in keys if key != "b"))
    assert EmbeddingStore("t", tmp_path).get(keys, lambda _: pytest.fail("computed again")).shape == (len(keys), 1)
