import logging
from functools import partial

import pytest
import torch
from helpers.tiny import sentences, tiny_tower
from PIL import Image
from tokenizers.normalizers import Replace

from pecl.encoders.image import ImageEncoder
from pecl.encoders.store import EmbeddingStore, image_embeddings, store_of, text_embeddings
from pecl.errors import DataError
from pecl.files.images import ImageFiles


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


def kept(tower, images, folder):
    """Embeddings by a new store, as another run has it."""
    return image_embeddings(tower, images, EmbeddingStore(tower.fingerprint, folder))


@pytest.fixture
def images(tmp_path):
    paths = tuple(tmp_path / f"{i}.png" for i in range(5))
    for i, path in enumerate(paths):
        Image.new("RGB", (8, 8), (40 * i, 10, 255 - 40 * i)).save(path)
    return ImageFiles(paths)


def test_an_image_is_encoded_once_whatever_asks_for_it(images, tmp_path):
    tower = image_tower()
    first = kept(tower, images.subset([0, 1, 2]), tmp_path)
    assert tower.backbone.seen == 3
    second = kept(tower, images.subset([3, 2, 1, 3]), tmp_path)  # an overlapping list in another order, one image twice
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


def test_an_image_overwritten_between_hash_and_decoding_is_not_kept_under_its_hash(images, tmp_path):
    tower, prints = image_tower(), [images.fingerprint(i) for i in range(5)]
    store = EmbeddingStore(tower.fingerprint, tmp_path)
    Image.new("RGB", (8, 8), (1, 2, 3)).save(images.paths[0])
    with pytest.raises(DataError, match=r"^cannot read image .*0\.png: it changed while it was read"):
        image_embeddings(tower, images, store, prints)
    assert not any(one in store for one in prints)


def test_each_list_has_embeddings_of_its_own(tmp_path, monkeypatch):
    """Padding makes the last bits of an embedding depend on its neighbours, so a text in two lists has two."""
    tower = tiny_tower()
    one, two = sentences(7), sentences(9, seed=3)
    lists = [one, two, one[:4], one[::-1], [one[0], *two]]
    lists += [["ein\nHund", "zwei"], ["ein", "Hund\nzwei"], ["ein", "Hund", "zwei"]]  # which read alike when joined
    expected = [tower.encode_text(texts, 64, normalize=False) for texts in lists]
    for _ in range(2):  # computed, then read
        store = EmbeddingStore(tower.fingerprint, tmp_path)
        for texts, embeddings in zip(lists, expected, strict=True):
            assert torch.equal(text_embeddings(tower, texts, store), embeddings)
        monkeypatch.setattr(tower, "encode_batches", lambda *_, **__: pytest.fail("encoded again"))


def test_texts_are_read_by_the_tokenizer_of_today(tmp_path):
    """A new version of a tokenizer, with the weights as they were, gives texts other embeddings."""
    tower, texts = tiny_tower(), sentences(5)
    store = EmbeddingStore(tower.fingerprint, tmp_path)
    before = text_embeddings(tower, texts, store)
    tower.tokenizer.backend_tokenizer.normalizer = Replace("r", "l")
    after = text_embeddings(tower, texts, store)
    assert torch.equal(after, tower.encode_text(texts, normalize=False))
    assert not torch.equal(after, before)


@pytest.mark.parametrize("keys", ["cba", "abab", "xaybz"])
def test_a_store_computes_each_missing_key_once_in_order(tmp_path, keys):
    store = EmbeddingStore("t", tmp_path)
    store.get("b", lambda missing: [(missing, torch.tensor([[float(ord("b"))]]))])
    asked = []

    def compute(missing):
        asked.extend(keys[i] for i in missing)
        return [(missing, torch.tensor([[float(ord(keys[i]))] for i in missing]))]

    assert store.get(keys, compute).flatten().tolist() == [float(ord(key)) for key in keys]
    assert asked == list(dict.fromkeys(key for key in keys if key != "b"))
    assert EmbeddingStore("t", tmp_path).get(keys, lambda _: pytest.fail("computed again")).shape == (len(keys), 1)


KEYS = [f"key {i}" for i in range(600)]


def compute_in_batches(places, asked=None):
    """Yield batches of places and their embeddings, known from only the place; the list `asked` notes the places."""
    if asked is not None:
        asked.extend(places)
    for start in range(0, len(places), 50):
        batch = places[start : start + 50]
        yield batch, torch.tensor(batch, dtype=torch.float32).unsqueeze(1) + torch.arange(4) / 10


def test_a_list_of_texts_gives_the_same_bits_wherever_an_earlier_process_stopped(tmp_path):
    tower = tiny_tower()
    texts = sentences(40)  # some repeat
    whole = text_embeddings(tower, texts, EmbeddingStore("t", tmp_path / "whole"), batch_size=8)
    torch.testing.assert_close(whole, tower.encode_text(texts, normalize=False))
    plain = tower.encode_batches

    def stopped(*arguments, **options):
        for count, batch in enumerate(plain(*arguments, **options)):
            if count == 2:
                raise KeyboardInterrupt
            yield batch

    tower.encode_batches = stopped
    with pytest.raises(KeyboardInterrupt):
        text_embeddings(tower, texts, EmbeddingStore("t", tmp_path / "stopped"), batch_size=8)
    tower.encode_batches = plain
    seen = []
    tower.register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    resumed = text_embeddings(tower, texts, EmbeddingStore("t", tmp_path / "stopped"), batch_size=8)
    assert torch.equal(resumed, whole)
    assert sum(seen) == len(set(texts)) - 16 < 24, "repeated texts are embedded once"


@pytest.mark.parametrize(("place", "known"), [(0, False), (0.4, True), (-1, False)])
def test_a_flipped_bit_anywhere_is_found(tmp_path, caplog, place, known):
    store = EmbeddingStore("t", tmp_path)
    expected = store.get(KEYS, compute_in_batches)
    path = sorted(store.folder.iterdir())[0]
    content = bytearray(path.read_bytes())
    content[int(place * len(content)) if isinstance(place, float) else place] ^= 1
    path.write_bytes(content)
    again = []
    with caplog.at_level(logging.WARNING):
        used = store if known else EmbeddingStore("t", tmp_path)
        found = used.get(KEYS, partial(compute_in_batches, asked=again))
    assert torch.equal(found, expected)
    assert 0 < len(again) <= 300
    assert "damaged" in caplog.text
    assert EmbeddingStore("t", tmp_path).get(KEYS, lambda _: pytest.fail("computed again")).equal(expected)


def test_embeddings_that_are_not_finite_are_not_stored(tmp_path):
    tower = tiny_tower()
    tower.weights_path = tmp_path / "weights.safetensors"
    named = f"embeddings contain NaN or infinity: the weights of {tower.weights_path} are damaged; delete them"
    with torch.no_grad():
        tower.head.bias.fill_(torch.nan)
    with pytest.raises(DataError, match=named):
        text_embeddings(tower, ["a"], store_of(tower))
    store = EmbeddingStore("t", tmp_path)
    with pytest.raises(DataError, match="the weights of the tower t are damaged"):
        store.get(["a"], lambda places: [(places, torch.full((1, 4), torch.nan))])
    assert "a" not in EmbeddingStore("t", tmp_path)


def test_a_tower_in_half_precision_has_a_store_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path))
    tower, half = tiny_tower(), tiny_tower()
    assert half.fingerprint == tower.fingerprint  # computed before the conversion
    half.to(torch.bfloat16)
    rounded = text_embeddings(half, sentences(4), store_of(half))
    plain = text_embeddings(tower, sentences(4), store_of(tower))
    assert torch.equal(plain, tower.encode_text(sentences(4), normalize=False))
    assert not torch.equal(plain, rounded)


def test_no_texts_are_no_rows(tmp_path):
    tower = tiny_tower()
    assert text_embeddings(tower, [], EmbeddingStore("x", tmp_path)).shape == (0, tower.embedding_dim)
