"""Tiny towers that other packages can open, with an adapter of two languages, and pictures, for the export tests."""

import timm
import torch
from PIL import Image
from timm.data import create_transform

from helpers.adapter_towers import states, tower_of
from pecl.adapters.formats.files import load_adapter_file, save_adapter
from pecl.adapters.spec import parse_adapter
from pecl.encoders.image import ImageEncoder
from pecl.encoders.towers import Towers

PREPROCESSING = {
    "input_size": (3, 32, 32),
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "crop_mode": "squash",
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}
LANGUAGES = ("de", "cs")


def text_tower(architecture="xlm-roberta"):
    """A text tower of width 8 that puts a prefix before every text."""
    tower = tower_of(architecture, torch.float32)
    tower.text_prefix = "query: "
    return tower


def image_tower(dim=8):
    """timm's smallest model with random weights, and a linear layer."""
    torch.manual_seed(5)
    backbone = timm.create_model("test_efficientnet", pretrained=False, num_classes=0)
    head = torch.nn.Linear(backbone.num_features, dim)
    preprocess = create_transform(**PREPROCESSING, is_training=False)
    return ImageEncoder(backbone, head, preprocess, name="tiny-timm", preprocessing=PREPROCESSING)


def export_towers(*_, **__):
    """Stand-in for `load_towers`."""
    return Towers(text_tower, image_tower)


def write_adapters(folder, spec="lora+head"):
    """Write an adapter of each language into `folder` and return the files by language."""
    tower = text_tower()
    written = {}
    for language, state in zip(LANGUAGES, states(tower, spec, len(LANGUAGES)), strict=True):
        path = save_adapter(folder / f"{language}.safetensors", state, parse_adapter(spec), language, tower)
        written[language] = load_adapter_file(path)
    return written


def pictures(count=6):
    """Pictures of coloured noise, each another."""
    generator = torch.Generator().manual_seed(11)
    shapes = [(30 + 3 * i, 24, 3) for i in range(count)]
    return [Image.fromarray(torch.randint(0, 256, shape, generator=generator).byte().numpy()) for shape in shapes]
