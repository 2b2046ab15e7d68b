"""A folder of small photographs and tiny towers in place of the profile's, for tests of search."""

import contextlib
import sqlite3
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import pecl.adapters.ready
import pecl.encoders.towers
from helpers.small_experiment import tiny_towers
from helpers.tiny import tiny_tower
from pecl.apps.search.catalogue import FILE

COUNT = 12


def paint(path, seed):
    """Write a picture of four random colours, another for each seed."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.randint(0, 256, (2, 2, 3), generator=generator, dtype=torch.uint8).numpy()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colours).resize((8, 8), Image.Resampling.NEAREST).save(path)
    return path


def by_hand(path):
    """The embedding of a picture by the formula of the tiny tower: a random projection of four pixels, of length 1."""
    pixels = np.asarray(Image.open(path).convert("RGB").resize((2, 2)), np.float64) / 255  # (2, 2, 3)
    weight = torch.randn(12, 8, generator=torch.Generator().manual_seed(3)).double().numpy()
    embedding = pixels.transpose(2, 0, 1).reshape(-1) @ weight
    return embedding / np.linalg.norm(embedding)


def edit(place, statement, *values):
    """Change an index as any other program could."""
    with contextlib.closing(sqlite3.connect(place / FILE)) as database, database:
        return database.execute(statement, values).fetchall()


def unit(rows):
    """Return rows in double precision, each scaled to length 1."""
    rows = np.asarray(rows, np.float64)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def check_hits(hits, expected):
    """Compare what a search found with (path, score) in their order."""
    assert [hit.path for hit in hits] == [path for path, _ in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [score for _, score in expected], atol=1e-5)


def counted_towers():
    """Return a function that loads the tiny image tower, and an object whose `pictures` counts what it embeds."""
    counted = SimpleNamespace(pictures=0)

    def load(*_, **__):
        image = tiny_towers().image

        def count(module, inputs):
            counted.pictures += len(inputs[0])

        image.head.register_forward_pre_hook(count)  # `encode_pixels` calls the parts, not the tower
        return image

    return load, counted


@pytest.fixture
def towers(monkeypatch, tmp_path):
    """Tiny towers in place of the profile's, and a cold cache; gives the count of embedded pictures."""
    load, counted = counted_towers()
    monkeypatch.setattr(pecl.encoders.towers, "load_image_encoder", load)
    monkeypatch.setattr(pecl.encoders.towers, "load_text_encoder", lambda *_, **__: tiny_tower())
    monkeypatch.setattr(pecl.adapters.ready, "ready_adapters", lambda *_: {})  # which are for the profile's tower
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PECL_INDEX_DIR", str(tmp_path / "indexes"))
    return counted


def paint_album(folder, shift=0):
    """Paint twelve photographs at three depths, each in the colours of the one that is `shift` places behind it."""
    for i in range(COUNT):
        paint(folder / ("", "2019", "2019/summer")[i % 3] / f"{i:02}.png", seed=(i + shift) % COUNT)
    return folder


@pytest.fixture
def photographs(tmp_path, towers):
    return paint_album(tmp_path / "photographs")


def words_of(selection):
    """Return the words of a query that are names."""
    return tuple(name.word for name in selection.names)
