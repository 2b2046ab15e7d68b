"""pecl's towers in CLIP_benchmark: its own measure on pecl's data, and pecl as a type of model in its own command.

`python -m pecl.apps.harness.clip_benchmark eval --model_type pecl --model mini --pretrained
cs.safetensors ...` is CLIP_benchmark's command line with the same flags. CLIP_benchmark does not
tell a model which language it measures, so `--pretrained` names the adapter (`cs`, `mini:cs` or a
path), or `none` for the plain tower.
"""

from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import nn

from pecl.adapters.bank import AdapterBank
from pecl.adapters.choice import PLAIN, KnownAdapters
from pecl.adapters.formats.files import merge_adapter, read_adapter
from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import load_towers
from pecl.errors import ConfigError, install
from pecl.files.images import ImageSource
from pecl.retrieval.measures import RECALL_AT

_BATCH = 4  # images
_Tokenizer = Callable[[Sequence[str]], torch.Tensor]


class ClipModel(nn.Module):
    """Both towers as CLIP_benchmark calls them; `encode` maps ids and mask, each (B, L), to embeddings (B, D)."""

    def __init__(
        self,
        encode: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
        image: ImageEncoder,
    ) -> None:
        super().__init__()
        self.encode = encode
        self.image = image

    def encode_image(self, pixels: torch.Tensor) -> torch.Tensor:
        """Map pixels (B, 3, H, W) to embeddings (B, D)."""
        return self.image(pixels.to(self.image.device))

    def encode_text(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens and mask (B, 2, L), as `tokenize` gives them, to embeddings (B, D)."""
        return self.encode(tokens[:, 0], tokens[:, 1])


def tokenize(
    tower: MultilingualTextEncoder,
    texts: Sequence[str],
    language: str | None = None,
) -> torch.Tensor:
    """Map texts to token ids and mask in one tensor, (B, 2, L) int64: CLIP_benchmark passes only one tensor on."""
    batch = tower.pad(tower.tokenize(texts, language and [language] * len(texts)), range(len(texts)))
    return torch.stack([batch.input_ids, batch.attention_mask], dim=1)


def clip_model(
    text: AdapterBank,
    image: ImageEncoder,
    language: str,
) -> tuple[ClipModel, _Tokenizer]:
    """Return the model that embeds texts of one language, and its tokenizer."""
    if text.adapter_for(language) is None:
        return ClipModel(text.tower, image).eval(), partial(tokenize, text.tower, language=language)

    spec, slot = text.slot(language)

    def encode(input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return spec.tower(input_ids, attention_mask, torch.full((len(input_ids),), slot))

    return ClipModel(encode, image).eval(), partial(tokenize, spec.tower, language=language)


def measure(
    model: ClipModel, tokenizer: _Tokenizer, images: ImageSource, captions: Sequence[Sequence[str]]
) -> dict[str, float]:
    """Measure retrieval with CLIP_benchmark; `captions` has those of each image.

    Returns:
        `image_retrieval_recall@k` (texts search images) and `text_retrieval_recall@k`, in [0, 1].

    Raises:
        ConfigError: CLIP_benchmark is not installed.
    """
    zeroshot = _import("clip_benchmark.metrics.zeroshot_retrieval")
    values = [k for k in RECALL_AT if k <= min(len(images), sum(map(len, captions)))]
    chosen = (range(len(images))[start : start + _BATCH] for start in range(0, len(images), _BATCH))
    batches = (  # pixels (B, 3, H, W) and captions, read when they are used
        (torch.stack([model.image.preprocess(images.load(i)) for i in some]), [captions[i] for i in some])
        for some in chosen
    )
    return zeroshot.evaluate(model, batches, tokenizer, "cpu", amp=False, recall_k_list=values)


def load(
    model_name: str, pretrained: str = PLAIN, cache_dir: str | None = None, device: str = "cpu"
) -> tuple[ClipModel, Callable[..., torch.Tensor], _Tokenizer]:
    """Return model, preprocessing and tokenizer, as CLIP_benchmark expects them.

    The adapter `pretrained` (`cs`, `mini:cs`, a path, or `none`) is merged into the text tower of
    the pair. `cache_dir` is ignored: pecl's own is $PECL_CACHE_DIR.

    Raises:
        ConfigError: no such pair, or no adapter of this name.
        WeightsError: weights are missing or damaged, or the adapter does not fit the tower.
    """
    towers = load_towers(model_name, device=device)
    text = towers.text
    choice = KnownAdapters(model_name).choose(pretrained, None)
    if choice.path is not None:
        text = merge_adapter(read_adapter(choice.path, text), text)
    return ClipModel(text, towers.image).eval(), towers.image.preprocess, partial(tokenize, text)


def main() -> None:
    """Run CLIP_benchmark's command line, in which `pecl` is a type of model.

    Raises:
        ConfigError: CLIP_benchmark is not installed.
    """
    models = _import("clip_benchmark.models")
    models.TYPE2FUNC["pecl"] = load
    if "pecl" not in models.MODEL_TYPES:
        models.MODEL_TYPES.append("pecl")
    _import("clip_benchmark.metrics.zeroshot_classification").accuracy = accuracy
    _import("clip_benchmark.cli").main()


def accuracy(scores: torch.Tensor, target: torch.Tensor, topk: Sequence[int] = (1,)) -> list[float]:
    """Return for each k the share of the images whose class (N,) is among the k best of scores (N, C).

    It stands for CLIP_benchmark's own function, which fails with NumPy 2.4: that converts no array (1,) to a number.
    """
    best = scores.topk(max(topk), dim=1).indices  # (N, k)
    is_right = best == target[:, None]
    return [float(is_right[:, :k].any(dim=1).double().mean()) for k in topk]


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(f"CLIP_benchmark is needed: {install('harness')} ({error})") from error


if __name__ == "__main__":
    main()
