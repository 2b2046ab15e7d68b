"""Tiny random checkpoints of each family of text towers, in the true form, made by the package that publishes it.

`WRITERS` has one function per form. It fills a folder, and returns the package's own text half, which embeds texts
without any code of pecl.
"""

import json
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.model import CustomTextCLIP
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file
from transformers import DistilBertConfig, DistilBertModel, XLMRobertaConfig

from helpers.tiny import tiny_tokenizer

TEXTS = ["ein Hund", "A dog, and two cats!", "a", "Dva psi běží po sněhu za míčem", "犬が走る", "zwei rote Autos"]
WIDTH = 12  # of the embeddings
VISION = {"image_size": 8, "patch_size": 4, "width": 16, "layers": 1, "head_width": 8}


@dataclass
class Reference:
    """The package's own text half.

    Attributes:
        embed: texts -> (N, D), with gradients.
        backbone: the encoder in it, whose layers have the paths of `tower.backbone`; None where they have not.
        modules: the modules that `embed` uses.
    """

    embed: Any
    backbone: Any
    modules: list

    def double(self):
        """The same in float64."""
        for module in self.modules:
            module.double()
        return self


def _save(folder, model, config, **extra):
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / "open_clip_model.safetensors")
    document = {"model_cfg": config, "preprocess_cfg": {"size": [8, 8]}, **extra}
    (folder / "open_clip_config.json").write_text(json.dumps(document))


def write_open_clip_xlm_r(folder):
    """open_clip's XLM-R with a head of two layers: xlm-roberta-base-ViT-B-32, frozen_laion5b."""
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config = XLMRobertaConfig(**sizes, vocab_size=260, max_position_embeddings=114, type_vocab_size=1, pad_token_id=1)
    config.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    text = {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_pooler_type": "mean_pooler"}
    torch.manual_seed(1)
    model = CustomTextCLIP(WIDTH, VISION, {**text, "hf_model_pretrained": False}).eval()
    _save(folder, model, {"embed_dim": WIDTH, "vision_cfg": VISION, "text_cfg": text})
    tokenizer = HFTokenizer(str(folder), context_length=77)
    return Reference(lambda texts: model.encode_text(tokenizer(texts)), model.text.transformer, [model])


def write_distilbert(folder):
    """sentence-transformers' folder of clip-ViT-B-32-multilingual-v1: DistilBERT, the mean, a linear layer."""
    sizes = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48}
    torch.manual_seed(1)
    config = DistilBertConfig(**sizes, vocab_size=260, max_position_embeddings=128, pad_token_id=1)
    model, dense = DistilBertModel(config).eval(), torch.nn.Linear(32, WIDTH, bias=False)
    parts = {"0_Transformer": "Transformer", "1_Pooling": "Pooling", "2_Dense": "Dense"}
    for name in parts:
        (folder / name).mkdir()
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(parts.items())
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    model.save_pretrained(folder / "0_Transformer")
    tokenizer = tiny_tokenizer()
    tokenizer.save_pretrained(folder / "0_Transformer")
    pooling = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    settings = {"in_features": 32, "out_features": WIDTH, "bias": False}
    settings["activation_function"] = "torch.nn.modules.linear.Identity"
    (folder / "2_Dense" / "config.json").write_text(json.dumps(settings))
    save_file({"linear.weight": dense.weight.detach()}, folder / "2_Dense" / "model.safetensors")

    def embed(texts):
        batch = tokenizer(texts, padding=True, return_tensors="pt")
        mask = batch["attention_mask"]
        hidden = model(input_ids=batch["input_ids"], attention_mask=mask).last_hidden_state
        mean = (hidden * mask.unsqueeze(-1)).sum(1) / mask.sum(1, keepdim=True)
        return mean @ dense.weight.T.to(mean)

    return Reference(embed, model, [model, dense])


WRITERS = {
    "open-clip-xlm-r": write_open_clip_xlm_r,
    "distilbert": write_distilbert,
}
