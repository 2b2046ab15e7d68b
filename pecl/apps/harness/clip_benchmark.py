"""pecl's towers and data in CLIP_benchmark's retrieval measure."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import nn

from pecl.adapters.bank import AdapterBank
from pecl.encoders.image import ImageEncoder
from pecl.encoders.text import MultilingualTextEncoder
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
    """
    from clip_benchmark.metrics import zeroshot_retrieval

    values = [k for k in RECALL_AT if k <= min(len(images), sum(map(len, captions)))]
    chosen = (range(len(images))[start : start + _BATCH] for start in range(0, len(images), _BATCH))
    batches = (  # pixels (B, 3, H, W) and captions, read when they are used
        (torch.stack([model.image.preprocess(images.load(i)) for i in some]), [captions[i] for i in some])
        for some in chosen
    )
    return zeroshot_retrieval.evaluate(model, batches, tokenizer, "cpu", amp=False, recall_k_list=values)
