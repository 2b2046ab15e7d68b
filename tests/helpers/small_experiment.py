"""A whole experiment in a second: tiny random towers, small pictures with invented captions, translated text."""

import csv

import pytest
import torch
from PIL import Image

import pecl.encoders.towers
from helpers.tiny import sentences, tiny_tower
from pecl.encoders.image import ImageEncoder
from pecl.encoders.towers import Towers

PAIRS = 24
# A config of eight steps; data and results are wherever a test has them
SMALL = {"language": "de", "shots": 6, "epochs": 4, "batch_size": 3, "eval_every": 2, "rank": 2, "lr": 1e-2}
TEXT_PAIRS = 60
HELD_OUT = 12
DISTILLATION = {
    **{name: SMALL[name] for name in ("language", "shots")},
    "adapter": "lora:r=2+head:rank=3",
    "batch_size": 8,
    "epochs": 1,
    "eval_every": 2,
    "held_out": HELD_OUT,
    "lr": 1e-2,
    "solver": "closed-form+gradient+closed-form",
    "warmup": 2,
}  # over the defaults of `pecl distil`: six steps


class Colours(torch.nn.Module):
    """Maps pixels (B, 3, 2, 2) to a fixed random projection of them, (B, 8)."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(12, 8, generator=torch.Generator().manual_seed(3)))

    def forward(self, pixels):
        return pixels.flatten(1) @ self.weight


def _pixels(image):
    return torch.tensor(list(image.resize((2, 2)).tobytes())).view(2, 2, 3).permute(2, 0, 1) / 255


def tiny_towers(precision="fp32") -> Towers:
    def text():
        tower = tiny_tower()
        if precision == "bf16":
            tower.use_bfloat16()
        return tower

    return Towers(text, tiny_image_tower)


def write_folder(folder):
    """Write captions.csv and pictures, for German and French, into `folder` and return the path of the table."""
    generator = torch.Generator().manual_seed(7)
    colours = torch.randint(0, 256, (PAIRS, 3), generator=generator).tolist()
    columns = [sentences(PAIRS, seed=s) for s in range(7)]
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "en", "de", "en_to_de", "de_to_en", "fr", "en_to_fr", "fr_to_en"])
        for i in range(PAIRS):
            Image.new("RGB", (6, 6), tuple(colours[i])).save(folder / f"{i}.png")
            writer.writerow([f"{i}.png", *(f"{column[i]} {i}" for column in columns)])
    return folder / "captions.csv"


def write_text(path, pairs=None):
    """Write a table of English, German and French, or of given pairs (English, German), and return its path."""
    if pairs is None:
        columns = [sentences(TEXT_PAIRS, seed=40 + i) for i in range(3)]
        rows = ["\t".join(f"{word} t{i}" for word in row) for i, row in enumerate(zip(*columns, strict=True))]
        path.write_text("\n".join(["en\tde\tfr", *rows]) + "\n", "utf-8")
    else:
        path.write_text("\n".join(["en\tde", *("\t".join(pair) for pair in pairs)]) + "\n", "utf-8")
    return str(path)


def tiny_image_tower():
    return ImageEncoder(Colours(), None, _pixels, name="colours", preprocessing={})


def use_towers(text=tiny_tower, image=tiny_image_tower):
    """Give these towers wherever weights would be read, until the process ends."""
    pecl.encoders.towers.load_text_encoder = lambda *_, **__: text()
    pecl.encoders.towers.load_image_encoder = lambda *_, **__: image()


@pytest.fixture
def tiny_weights(monkeypatch):
    """Give tiny towers wherever weights would be read."""
    for name in ("load_text_encoder", "load_image_encoder"):
        monkeypatch.setattr(pecl.encoders.towers, name, getattr(pecl.encoders.towers, name))  # to be put back
    use_towers()


@pytest.fixture
def small(tmp_path, monkeypatch, tiny_weights):
    """Return config values of a small experiment; the towers are tiny, caches and results lie in `tmp_path`."""
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path / "cache"))
    return {**SMALL, "dataset": str(write_folder(tmp_path)), "out": str(tmp_path / "results")}
