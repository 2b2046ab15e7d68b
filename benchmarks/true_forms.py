"""Random checkpoints of each family of text towers, written by the package that publishes it, in published sizes.

All have mini's tokenizer, which is XLM-R's, in place of their own, so that no model hub is needed.
An image half is as small as its package allows. `FORMS` has a row per family.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

Embed = Callable[[list[str]], torch.Tensor]

_VISION = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 1}
_OPEN_CLIP_VISION = {"image_size": 8, "patch_size": 4, "width": 16, "layers": 1, "head_width": 8}
_LANGUAGE = "eng_Latn"


class Form(NamedTuple):
    """A form of checkpoints.

    Attributes:
        package: the package that publishes it.
        write: fills a folder.
        read: reads a folder with the package only, and returns its function of texts -> (N, D).
    """

    package: str
    write: Callable[[Path], None]
    read: Callable[[Path], Embed]


def _write_tokenizer(folder: Path, first: str) -> None:
    """Save mini's tokenizer with the token `first`, or none, before every text."""
    from tokenizers import processors

    from pecl.encoders.towers import load_text_encoder

    tokenizer = load_text_encoder("mini").tokenizer.in_transformers
    tokenizer.add_special_tokens({"extra_special_tokens": [_LANGUAGE]})
    special = [(token, tokenizer.convert_tokens_to_ids(token)) for token in (first, "</s>") if token]
    single = f"{first} $A </s>".strip()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    tokenizer.save_pretrained(folder)


def _write_siglip(folder: Path) -> None:
    from transformers import SiglipConfig, SiglipModel

    text = {"vocab_size": 256_000, "projection_size": 768}
    config = SiglipConfig(text_config=text, vision_config=_VISION | {"hidden_size": 768, "num_attention_heads": 12})
    SiglipModel(config).save_pretrained(folder)
    _write_tokenizer(folder, "")


def _write_metaclip(folder: Path) -> None:
    from transformers import MetaClip2Config, MetaClip2Model

    text = {"vocab_size": 250_112, "hidden_size": 384, "intermediate_size": 1536, "num_attention_heads": 6}
    text |= {"eos_token_id": 2, "max_position_embeddings": 77}
    config = MetaClip2Config(text_config=text, vision_config=_VISION, projection_dim=384)
    MetaClip2Model(config).save_pretrained(folder)
    _write_tokenizer(folder, "")


def _read_transformers(folder: Path) -> Embed:
    """Read a model of both halves, whose fixed text tower takes lower case and 64 positions."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    is_fixed = model.config.model_type == "siglip"
    options = {"padding": "max_length" if is_fixed else True, "max_length": 64 if is_fixed else 77}

    def embed(texts: list[str]) -> torch.Tensor:
        lower = [text.lower() for text in texts] if is_fixed else texts
        batch = tokenizer(lower, truncation=True, return_tensors="pt", **options)
        mask = {} if is_fixed else {"attention_mask": batch["attention_mask"]}
        return model.get_text_features(batch["input_ids"], **mask).pooler_output

    return embed


def _write_distilbert(folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import Dense, Pooling, Transformer
    from transformers import DistilBertConfig, DistilBertModel

    encoder = folder / "encoder"
    DistilBertModel(DistilBertConfig(vocab_size=250_112, pad_token_id=1)).save_pretrained(encoder)
    _write_tokenizer(encoder, "<s>")
    dense = Dense(768, 512, False, torch.nn.Identity())
    parts = [Transformer(str(encoder), max_seq_length=128), Pooling(768), dense]
    SentenceTransformer(modules=parts, device="cpu").save(str(folder), create_model_card=False)


def _read_sentence_transformers(folder: Path) -> Embed:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: model.encode(texts, show_progress_bar=False, convert_to_tensor=True)


def _write_open_clip(
    folder: Path,
    config: Any,
    pooler: str,
    head: str,
    width: int,
    first: str,
) -> None:
    """Write a text tower around an encoder of transformers."""
    from open_clip.model import CustomTextCLIP
    from safetensors.torch import save_file

    config.save_pretrained(folder)
    _write_tokenizer(folder, first)
    text = {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_model_pretrained": False}
    text |= {"hf_pooler_type": pooler, "hf_proj_type": head}
    model = CustomTextCLIP(width, _OPEN_CLIP_VISION, text)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    settings = {"embed_dim": width, "vision_cfg": _OPEN_CLIP_VISION, "text_cfg": text, "custom_text": True}
    document = {"model_cfg": settings, "preprocess_cfg": {"size": [8, 8]}}
    (folder / "open_clip_config.json").write_text(json.dumps(document))


def _read_open_clip(folder: Path) -> Embed:
    import open_clip

    model = open_clip.create_model(f"local-dir:{folder}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    return lambda texts: model.encode_text(tokenizer(texts))


def _write_xlm_r(folder: Path) -> None:
    from pecl.encoders.loading.text import base_config

    config = base_config("xlm-roberta-base")
    config.vocab_size = 250_112
    _write_open_clip(folder, config, "mean_pooler", "mlp", 512, "<s>")


def _write_nllb(folder: Path) -> None:
    from pecl.encoders.loading.text import base_config

    config = base_config("facebook/nllb-200-distilled-600M")
    config.decoder_layers = 1  # the decoder is built and discarded
    _write_open_clip(folder, config, "cls_pooler", "linear", 768, _LANGUAGE)


FORMS = {
    "SigLIP 2 B/16": Form("transformers", _write_siglip, _read_transformers),
    "MetaCLIP 2 mT5-S16": Form("transformers", _write_metaclip, _read_transformers),
    "XLM-R base": Form("open_clip", _write_xlm_r, _read_open_clip),
    "NLLB-CLIP base": Form("open_clip", _write_nllb, _read_open_clip),
    "DistilBERT": Form("sentence-transformers", _write_distilbert, _read_sentence_transformers),
}
