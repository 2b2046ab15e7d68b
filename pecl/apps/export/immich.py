"""The folder of a CLIP model for immich's machine learning service, with one adapter merged into the text tower.

An adapter changes only the text tower, so photographs that immich has indexed stay as they are. A
folder holds `config.json`, `textual/` with `model.onnx` and the tokenizer, and `visual/`. Every
graph takes one text or image of fixed size and returns one embedding (1, D), float32, of length 1.
Source: immich-app/immich, the folder machine-learning/immich_ml/models.
"""

import re
import string
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL.Image import Resampling
from torch import nn

from pecl.apps.export import contract
from pecl.apps.export.onnx import ImageModule, TextModule, check_packages, check_pictures, write_graph
from pecl.apps.export.open_clip import preprocessing_of
from pecl.encoders.cleaning import CANONICALIZE
from pecl.encoders.image import ImageEncoder
from pecl.encoders.loading.open_clip import LENGTH
from pecl.encoders.pairs import PAIRS
from pecl.encoders.text import MultilingualTextEncoder
from pecl.encoders.towers import check_pair
from pecl.errors import not_none, setting
from pecl.files import checked_folder, load_json, write_json

MODEL = "model.onnx"
CONFIG = "config.json"
TEXTUAL = "textual"
VISUAL = "visual"
_FLORES = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


class ImmichModel(NamedTuple):
    """A model of immich's list, by the names of its towers."""

    text: str
    image: str
    # whether the textual graph has two inputs, ids and mask, as M-CLIP's models have
    is_mclip: bool = False
    profile: str | None = None  # name of the pair in `PAIRS`, if one has it


_OPEN_CLIP = (  # models whose halves are one checkpoint of open_clip
    *("nllb-clip-base-siglip__mrl", "nllb-clip-large-siglip__mrl", "ViT-B-32-SigLIP2-256__webli"),
    *("ViT-L-16-SigLIP2-384__webli", "ViT-L-16-SigLIP2-512__webli", "ViT-SO400M-14-SigLIP2__webli"),
    *("ViT-SO400M-16-SigLIP2-256__webli", "ViT-SO400M-16-SigLIP2-384__webli", "ViT-SO400M-16-SigLIP2-512__webli"),
    "ViT-gopt-16-SigLIP2-384__webli",
)
# The multilingual models that immich lists, by its names for them
MODELS: dict[str, ImmichModel] = {
    pair.immich: ImmichModel(pair.text, pair.image, pair.text.startswith("M-CLIP/"), name)
    for name, pair in PAIRS.items()
    if pair.immich
} | {name: ImmichModel(tower := f"open_clip:{name.replace('__', '/')}", tower) for name in _OPEN_CLIP}


def names_of(profile: str, text_model: str | None) -> list[str]:
    """Return immich's names of the models whose text tower a profile has, or `text_model` in its place."""
    if text_model is None:
        return [name for name, model in MODELS.items() if model.profile == profile]
    return [name for name, model in MODELS.items() if model.text == text_model]


def export_immich(
    text: MultilingualTextEncoder,
    image: ImageEncoder | None,
    target: str | Path,
    *,
    language: str | None = None,
    is_mclip: bool = False,
) -> Path:
    """Write the folder of a model with an adapter merged into its text tower, and compare its graph with the tower.

    Without an image tower the folder has no `visual/`. `language` is that of the adapter, for
    towers whose texts begin with a token of their language; for `is_mclip` see `ImmichModel`.

    Raises:
        ConfigError: packages are missing, or immich lacks the image tower's preprocessing.
        WeightsError: the towers differ in width.
        OutputError: `target` exists already or cannot be written.
        RunError: a tower has an operation that ONNX lacks, or onnxruntime's embeddings differ from the tower's.
    """
    check_packages()
    tokenizer = contract.portable_tokenizer(text, with_prefix=True)
    # of texts in immich
    length = text.positions if text.family is not None and text.family.is_fixed else LENGTH
    settings: dict[str, Any] = {"embed_dim": text.embedding_dim, "text_cfg": {"context_length": length}}
    if text.clean == CANONICALIZE:  # immich cleans so before it looks for special tokens
        settings["text_cfg"]["tokenizer_kwargs"] = {"clean": CANONICALIZE}

    preprocessing = None
    if image is not None:
        check_pair(text, image)
        preprocessing = _preprocessing(image)
        settings["vision_cfg"] = {"image_size": preprocessing["size"][0]}

    with checked_folder(target, partial(_check, text, image, language)) as folder:
        (folder / TEXTUAL).mkdir()
        write_textual(text, folder / TEXTUAL / MODEL, length, language=language, is_mclip=is_mclip)
        tokenizer.model_max_length = length
        tokenizer.save_pretrained(folder / TEXTUAL)
        write_json(folder / CONFIG, settings)

        if image is not None and preprocessing is not None:
            (folder / VISUAL).mkdir()
            pixels = torch.zeros(1, 3, *preprocessing["size"])  # (1, 3, H, W)
            write_graph(ImageModule(image).eval(), {"pixels": pixels}, None, folder / VISUAL / MODEL, ["image"])
            write_json(folder / VISUAL / "preprocess_cfg.json", preprocessing)

    return Path(target)


def write_textual(
    text: MultilingualTextEncoder, path: Path, length: int, *, language: str | None, is_mclip: bool
) -> None:
    """Write the textual graph of a tower for texts of `length` tokens; the rest is as in `export_immich`.

    Raise ConfigError if the tower has no token for the language.
    """
    module = _Textual(text, language).eval()
    ids = torch.full((1, length), not_none(text.tokenizer.pad_token_id, "pad token"), dtype=torch.int32)  # (1, L)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)} if is_mclip else {"input_ids": ids}
    write_graph(module, inputs, None, path, list(inputs) if is_mclip else ["text"])


class _Textual(nn.Module):
    """A text tower as a graph of one text: (1, L) int32 token ids to (1, D).

    immich writes the language of its user interface before the text, after the tokenizer's own
    token of English. A tower that pools the first token needs the merged language in its place, and no other.
    """

    def __init__(self, text: MultilingualTextEncoder, language: str | None) -> None:
        super().__init__()
        self.tower = TextModule(text, None)
        self.first: int | None = None
        self.codes: torch.Tensor

        if text.names_languages:
            self.first = text.language_token(language or "en")
            codes = [i for name, i in text.tokenizer.get_vocab().items() if _FLORES.fullmatch(name)]
            self.register_buffer("codes", torch.tensor(sorted(codes)))  # (C,)

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the embedding (1, D), of length 1."""
        ids = input_ids.long()  # (1, L)
        if self.first is not None:
            repeated = (ids[:, 1:2] == self.codes).any(dim=1, keepdim=True)  # (1, C) -> (1, 1)
            padding = torch.full_like(ids[:, :1], self.tower.padding)
            ids = torch.where(repeated, torch.cat([ids[:, :1], ids[:, 2:], padding], dim=1), ids)
            ids = torch.cat([torch.full_like(ids[:, :1], self.first), ids[:, 1:]], dim=1)
        return self.tower(ids, torch.ones_like(ids) if attention_mask is None else attention_mask)


def _opened(folder: Path) -> tuple[int, Callable[[str], str], Callable[[str], np.ndarray]]:
    """Return a textual model's length in tokens, its cleaning, and its function from text to (D,), as in immich."""
    import onnxruntime
    from tokenizers import Tokenizer

    settings = load_json(folder / CONFIG)["text_cfg"]
    length = settings["context_length"]
    canonicalize = settings.get("tokenizer_kwargs", {}).get("clean") == CANONICALIZE
    padding = str(load_json(folder / TEXTUAL / "tokenizer_config.json").get("pad_token"))
    tokenizer = Tokenizer.from_file(str(folder / TEXTUAL / "tokenizer.json"))
    tokenizer.enable_padding(length=length, pad_token=padding, pad_id=tokenizer.token_to_id(padding))
    tokenizer.enable_truncation(max_length=length)
    session: Any = onnxruntime.InferenceSession(folder / TEXTUAL / MODEL, providers=["CPUExecutionProvider"])

    def cleaned(text: str) -> str:
        text = " ".join(text.split())
        return text.translate(_PUNCTUATION).lower() if canonicalize else text

    def embed(text: str) -> np.ndarray:
        tokens = tokenizer.encode(cleaned(text))
        values = {"text": tokens.ids, "input_ids": tokens.ids, "attention_mask": tokens.attention_mask}
        feed = {
            graph_input.name: np.array([values[graph_input.name]], dtype=np.int32)
            for graph_input in session.get_inputs()
        }
        return session.run(None, feed)[0][0]

    return length, cleaned, embed


def _check(text: MultilingualTextEncoder, image: ImageEncoder | None, language: str | None, folder: Path) -> None:
    """Compare the models with their towers, on texts as immich passes them; `language` is as in `export_immich`."""
    with contract.opening("onnxruntime"):
        length, cleaned, embed = _opened(folder)

    longest = text.max_length
    text.max_length = min(text.max_length, length)

    def expected(sentences: Sequence[str]) -> torch.Tensor:
        return text.encode_text([cleaned(sentence) for sentence in sentences], language=language)

    def rows(prefix: str, sentences: Sequence[str]) -> np.ndarray:
        return np.stack([embed(prefix + sentence) for sentence in sentences])  # (N, D)

    try:
        for prefix in ("", "deu_Latn", "eng_Latn") if text.names_languages else ("",):
            texts = contract.texts_for(text, has_prefix=True)
            if prefix:  # the prefix takes one of the tokens that a text is cut to
                del texts[contract.LONG]
            contract.check_equal("onnxruntime", partial(rows, prefix), expected, texts)
        contract.write_card(folder, "immich", text, partial(rows, ""), expected)
    finally:
        text.max_length = longest

    if image is not None:
        check_pictures(image, folder / VISUAL / MODEL)


def _preprocessing(image: ImageEncoder) -> dict[str, Any]:
    """Return the preprocessing of images in open_clip's terms; raise ConfigError if immich lacks it."""
    settings = image.preprocessing
    if "input_size" in settings:
        return preprocessing_of(image)

    if "size" in settings and "resize_mode" in settings:  # open_clip's own
        size = settings["size"]
        preprocessing = {name: value for name, value in settings.items() if name != "library"}
        return preprocessing | {"size": list(size) if isinstance(size, tuple | list) else [size, size]}

    scaled = settings.get("size") or {}
    crop = settings.get("crop_size") or {}
    edge = scaled.get("shortest_edge")
    size = scaled if edge is None else crop
    if "height" not in size or (edge is not None and (size["height"], size.get("width")) != (edge, edge)):
        expected = "images that are cropped to the size to which they are scaled, or scaled to one size"
        raise contract.refused(image, "immich", f"{expected}; {setting(text_only=True)} leaves them out")

    return {
        "size": [size["height"], size["width"]],
        "mode": "RGB",
        "mean": settings["image_mean"],
        "std": settings["image_std"],
        "interpolation": Resampling(settings["resample"]).name.lower(),
        "resize_mode": "squash" if edge is None else "shortest",
    }
