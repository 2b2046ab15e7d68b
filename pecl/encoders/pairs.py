"""The pairs of towers by name, and the terms under which towers are published.

Nothing here needs torch: `pecl towers list` and the options of commands read it.
"""

import logging
import re
from dataclasses import dataclass

logger = logging.getLogger(__name__)

MINI = "mini"
MINI_POOLED = "mini-pooled"  # its text tower without the linear layer: for text to text

MIT, APACHE, NONCOMMERCIAL = "MIT", "Apache-2.0", "CC-BY-NC-4.0"
# Towers whose terms forbid commercial use, by their names
_NONCOMMERCIAL = re.compile(r"facebook/metaclip-2-.*|open_clip:(nllb-clip-|ViT-\w+-14-worldwide).*")


@dataclass(frozen=True)
class Pair:
    """A text tower and the image tower whose space it was trained into.

    Attributes:
        text: name of the text tower, see `load_text_encoder`.
        image: name of the image tower, see `load_image_encoder`.
        description: what the pair is, in one line.
        licence: of the weights, as their pages state it.
        vocabulary: whose words the text tower reads, which decides the languages that it can spell.
    """

    text: str
    image: str
    description: str
    licence: str = MIT
    vocabulary: str = "XLM-R"


def _both(name: str, description: str, licence: str, vocabulary: str) -> Pair:
    """Return a pair whose halves are one checkpoint."""
    return Pair(name, name, description, licence, vocabulary)


_SIGLIP2 = "google/siglip2"
_METACLIP2 = "facebook/metaclip-2"

PAIRS: dict[str, Pair] = {
    MINI: Pair(MINI, MINI, "multilingual-e5-small and EfficientNet-Lite0; small, and needs no model hub"),
    "paper": Pair(
        "M-CLIP/XLM-Roberta-Large-Vit-L-14",
        "openai/clip-vit-large-patch14",
        "the paper's: M-CLIP XLM-R Large and CLIP ViT-L/14, 768 wide",
    ),
    "vit-b-32": Pair(
        "M-CLIP/XLM-Roberta-Large-Vit-B-32",
        "openai/clip-vit-base-patch32",
        "M-CLIP XLM-R Large and CLIP ViT-B/32, 512 wide",
    ),
    "vit-b-16-plus": Pair(
        "M-CLIP/XLM-Roberta-Large-Vit-B-16Plus",
        "open_clip:ViT-B-16-plus-240/laion400m_e32",
        "the paper's second: M-CLIP XLM-R Large and OpenCLIP ViT-B-16-plus-240, 640 wide",
    ),
    "labse": Pair(
        "M-CLIP/LABSE-Vit-L-14",
        "openai/clip-vit-large-patch14",
        "M-CLIP LaBSE and CLIP ViT-L/14, 768 wide",
        vocabulary="LaBSE",
    ),
    "clip-b32-multilingual": Pair(
        "sentence-transformers/clip-ViT-B-32-multilingual-v1",
        "openai/clip-vit-base-patch32",
        "DistilBERT of sentence-transformers and CLIP ViT-B/32, 512 wide",
        APACHE,
        "mBERT",
    ),
    "xlm-r-b32": _both(
        "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", "open_clip's XLM-R Base and ViT-B/32", MIT, "XLM-R"
    ),
    "xlm-r-h14": _both(
        "open_clip:xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k",
        "open_clip's XLM-R Large and ViT-H/14",
        MIT,
        "XLM-R",
    ),
    "siglip2-b16": _both(f"{_SIGLIP2}-base-patch16-224", "SigLIP 2 ViT-B/16, 224 pixels", APACHE, "Gemma"),
    "siglip2-l16": _both(f"{_SIGLIP2}-large-patch16-256", "SigLIP 2 ViT-L/16, 256 pixels", APACHE, "Gemma"),
    "siglip2-so400m": _both(f"{_SIGLIP2}-so400m-patch14-384", "SigLIP 2 So400m/14, 384 pixels", APACHE, "Gemma"),
    "siglip2-gopt": _both(f"{_SIGLIP2}-giant-opt-patch16-256", "SigLIP 2 g-opt/16, 256 pixels", APACHE, "Gemma"),
    "msiglip-b16": _both(
        "open_clip:ViT-B-16-SigLIP-i18n-256/webli", "multilingual SigLIP ViT-B/16, 256 pixels", APACHE, "mT5"
    ),
    "msiglip-so400m": _both(
        "open_clip:ViT-SO400M-16-SigLIP-i18n-256/webli", "multilingual SigLIP So400m/16, 256 pixels", APACHE, "mT5"
    ),
    "metaclip2-mt5-s16": _both(
        f"{_METACLIP2}-mt5-worldwide-s16", "MetaCLIP 2 ViT-S/16 with mT5's words", NONCOMMERCIAL, "mT5"
    ),
    "metaclip2-mt5-m16": _both(
        f"{_METACLIP2}-mt5-worldwide-m16", "MetaCLIP 2 ViT-M/16 with mT5's words", NONCOMMERCIAL, "mT5"
    ),
    "metaclip2-mt5-b32": _both(
        f"{_METACLIP2}-mt5-worldwide-b32", "MetaCLIP 2 ViT-B/32 with mT5's words", NONCOMMERCIAL, "mT5"
    ),
    "metaclip2-s16": _both(f"{_METACLIP2}-worldwide-s16", "MetaCLIP 2 ViT-S/16", NONCOMMERCIAL, "XLM-V"),
    "metaclip2-b16": _both(f"{_METACLIP2}-worldwide-b16", "MetaCLIP 2 ViT-B/16", NONCOMMERCIAL, "XLM-V"),
    "metaclip2-l14": _both(f"{_METACLIP2}-worldwide-l14", "MetaCLIP 2 ViT-L/14", NONCOMMERCIAL, "XLM-V"),
    "metaclip2-h14": _both(f"{_METACLIP2}-worldwide-huge-quickgelu", "MetaCLIP 2 ViT-H/14", NONCOMMERCIAL, "XLM-V"),
    "nllb-base": _both("open_clip:nllb-clip-base-siglip/v1", "NLLB-CLIP base with SigLIP B/16", NONCOMMERCIAL, "NLLB"),
    "nllb-large": _both(
        "open_clip:nllb-clip-large-siglip/v1", "NLLB-CLIP large with SigLIP So400m/14", NONCOMMERCIAL, "NLLB"
    ),
}

# name of a pair -> parameters of its text tower, and width of its embeddings, so that a list of them builds none
SIZES = {
    "mini": (117_604_480, 256),
    "paper": (560_677_632, 768),
    "vit-b-32": (560_415_232, 512),
    "vit-b-16-plus": (560_546_432, 640),
    "labse": (471_517_440, 768),
    "clip-b32-multilingual": (135_127_296, 512),
    "xlm-r-b32": (278_862_848, 512),
    "xlm-r-h14": (561_987_584, 1024),
    "siglip2-b16": (282_303_744, 768),
    "siglip2-l16": (565_570_560, 1024),
    "siglip2-so400m": (707_782_896, 1152),
    "siglip2-gopt": (708_225_648, 1536),
    "msiglip-b16": (277_695_744, 768),
    "msiglip-so400m": (699_542_640, 1152),
    "metaclip2-mt5-s16": (117_514_368, 384),
    "metaclip2-mt5-m16": (166_188_544, 512),
    "metaclip2-mt5-b32": (166_188_544, 512),
    "metaclip2-s16": (367_696_896, 384),
    "metaclip2-b16": (499_765_248, 512),
    "metaclip2-l14": (778_156_032, 768),
    "metaclip2-h14": (1_226_706_944, 1024),
    "nllb-base": (414_298_112, 768),
    "nllb-large": (767_270_912, 1152),
}

# Models of open_clip -> their repositories on the model hub, as open_clip's table has them
_REPOSITORIES = {
    "open_clip:ViT-B-16-plus-240/laion400m_e32": "timm/vit_base_patch16_plus_clip_240.laion400m_e31",
    "open_clip:xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k": "laion/CLIP-ViT-B-32-xlm-roberta-base-laion5B-s13B-b90k",
    "open_clip:xlm-roberta-large-ViT-H-14/frozen_laion5b_s13b_b90k": (
        "laion/CLIP-ViT-H-14-frozen-xlm-roberta-large-laion5B-s13B-b90k"
    ),
    "open_clip:ViT-B-16-SigLIP-i18n-256/webli": "timm/ViT-B-16-SigLIP-i18n-256",
    "open_clip:ViT-SO400M-16-SigLIP-i18n-256/webli": "timm/ViT-SO400M-16-SigLIP-i18n-256",
    "open_clip:nllb-clip-base-siglip/v1": "visheratin/nllb-clip-base-siglip",
    "open_clip:nllb-clip-large-siglip/v1": "visheratin/nllb-clip-large-siglip",
}
_FILES = ("config.json", "modules.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")


def is_cached(pair: Pair) -> bool:
    """Return whether something of both towers lies in the local cache of the model hub; no network is asked."""
    from huggingface_hub import try_to_load_from_cache  # which takes a third of a second, and every command reads this

    repositories = {_REPOSITORIES.get(name, name) for name in (pair.text, pair.image)} - {MINI}
    return all(
        any(isinstance(try_to_load_from_cache(repository, file), str) for file in _FILES) for repository in repositories
    )


def warn_of_licence(name: str) -> None:
    """Log a warning if the terms of the tower `name` forbid commercial use."""
    if _NONCOMMERCIAL.fullmatch(name):
        logger.warning("%s is published under %s: no commercial use, nor of adapters on it", name, NONCOMMERCIAL)
