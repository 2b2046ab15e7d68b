"""Tiny random checkpoints of each family of text towers, in the true form, made by the package that publishes it.

`WRITERS` has one function per form. It fills a folder, and returns the package's own text half, which embeds texts
without any code of pecl.
"""

import json
import string
from dataclasses import dataclass
from typing import Any

import torch
from open_clip.model import CLIP, CustomTextCLIP
from open_clip.tokenizer import HFTokenizer
from safetensors.torch import save_file
from tokenizers import AddedToken, processors
from transformers import (
    DistilBertConfig,
    DistilBertModel,
    GemmaTokenizer,
    M2M100Config,
    MetaClip2Config,
    MetaClip2Model,
    NllbTokenizer,
    SiglipConfig,
    SiglipModel,
)

from helpers.checkpoints import xlm_roberta_config
from helpers.tiny import tiny_tokenizer

LONG = "a caption that goes on and on until it is longer than any of these towers with seventy-seven tokens can take"
TEXTS = ["ein Hund", "A dog, and two cats!", "a", "Dva psi běží po sněhu", "犬が走る", LONG]
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
    xlm_roberta_config().save_pretrained(folder)
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
    config = DistilBertConfig(**sizes, vocab_size=260, max_position_embeddings=140, pad_token_id=1)
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


HALVES = {
    "vision_config": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    | {"image_size": 8, "patch_size": 4},
    "text_config": {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    | {"vocab_size": 260, "hidden_act": "gelu"},
}


def ending_tokenizer():
    """Without a token of the beginning, as Gemma's and mT5's tokenizers end their texts."""
    tokenizer = tiny_tokenizer()
    template = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    tokenizer.backend_tokenizer.post_processor = template
    return tokenizer


def gemma_tokenizer():
    """SigLIP 2's: a class of its own, which builds its normalizer anew when it is loaded, and has tokens of spaces."""
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    added = ["\n\n", "\t", "<table>"]
    letters = ["▁", *string.ascii_letters, *string.punctuation]
    pieces = [*special, *added, *(f"<0x{i:02X}>" for i in range(256)), *letters]
    tokenizer = GemmaTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], padding_side="right")
    tokenizer.add_tokens([AddedToken(token, normalized=False) for token in added])
    template = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.backend_tokenizer.post_processor = template
    return tokenizer


def _randomized(model):
    """Biases and norms that are not zero or one, so that none can be left out or taken for another."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def write_metaclip(folder, tokenizer=None):
    """MetaCLIP 2 as transformers publishes it."""
    halves = HALVES | {"text_config": HALVES["text_config"] | {"eos_token_id": 2, "max_position_embeddings": 77}}
    torch.manual_seed(1)
    model = _randomized(MetaClip2Model(MetaClip2Config(**halves, projection_dim=WIDTH)))
    model.save_pretrained(folder)
    tokenizer = tokenizer or tiny_tokenizer()
    tokenizer.save_pretrained(folder)

    def embed(texts):
        batch = tokenizer(texts, padding=True, truncation=True, max_length=77, return_tensors="pt")
        return model.get_text_features(batch["input_ids"], batch["attention_mask"]).pooler_output

    return Reference(embed, model.text_model, [model])


def write_metaclip_mt5(folder):
    """The distilled MetaCLIP 2 with mT5's words, whose tokenizer puts nothing before a text."""
    return write_metaclip(folder, ending_tokenizer())


def write_siglip(folder):
    """SigLIP 2 of fixed resolution as transformers publishes it: the ids in its config are not the tokenizer's."""
    halves = HALVES | {"text_config": HALVES["text_config"] | {"projection_size": WIDTH, "vocab_size": 360}}
    halves["text_config"]["hidden_act"] = "gelu_pytorch_tanh"
    halves["vision_config"] = halves["vision_config"] | {"hidden_size": WIDTH}
    torch.manual_seed(1)
    model = _randomized(SiglipModel(SiglipConfig(**halves)))
    model.save_pretrained(folder)
    tokenizer = gemma_tokenizer()
    tokenizer.save_pretrained(folder)

    def embed(texts):
        lower = [text.lower() for text in texts]
        batch = tokenizer(lower, padding="max_length", max_length=64, truncation=True, return_tensors="pt")
        return model.get_text_features(batch["input_ids"]).pooler_output

    return Reference(embed, model.text_model, [model])


def _write_open_clip_own(folder, text, tokenizer, cls, **config):
    torch.manual_seed(1)
    model = _randomized(cls(WIDTH, VISION, text, **config))
    tokenizer.save_pretrained(folder)
    document = {"embed_dim": WIDTH, "vision_cfg": VISION, "text_cfg": text | {"hf_tokenizer_name": str(folder)}}
    _save(folder, model, document | config | ({"custom_text": True} if cls is CustomTextCLIP else {}))
    clean = text.get("tokenizer_kwargs", {}).get("clean", "whitespace")
    tokens = HFTokenizer(str(folder), context_length=text["context_length"], clean=clean)
    return Reference(lambda texts: model.encode_text(tokens(texts)), None, [model])


def write_nllb(folder):
    """open_clip's nllb-clip-base-siglip: the encoder of NLLB, whose first token is the language's."""
    characters = sorted({*string.printable, *"".join(TEXTS), "▁"} - set(string.whitespace)) + list("كلبสุนัข")
    pieces = {piece: i for i, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", *characters])}
    tokenizer = NllbTokenizer(vocab=pieces, merges=[])
    sizes = {"d_model": 32, "encoder_layers": 2, "encoder_ffn_dim": 48, "encoder_attention_heads": 4}
    sizes |= {"decoder_layers": 1, "decoder_ffn_dim": 8, "decoder_attention_heads": 4, "max_position_embeddings": 128}
    config = M2M100Config(**sizes, vocab_size=len(tokenizer) + 1, pad_token_id=1, scale_embedding=True)
    config.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    text = {"hf_model_name": str(folder), "hf_tokenizer_name": str(folder), "hf_pooler_type": "cls_pooler"}
    text |= {"hf_proj_type": "linear"}
    torch.manual_seed(1)
    model = _randomized(CustomTextCLIP(WIDTH, VISION, {**text, "hf_model_pretrained": False}))
    _save(folder, model, {"embed_dim": WIDTH, "vision_cfg": VISION, "text_cfg": text})
    tokens = HFTokenizer(str(folder), context_length=77)

    def embed(texts, language="eng_Latn"):
        ids = tokens(texts)
        ids[:, 0] = tokens.tokenizer.convert_tokens_to_ids(language)  # set_language does nothing with transformers 5.24
        return model.encode_text(ids)

    return Reference(embed, model.text.transformer, [model])


SIZES = {"vocab_size": 260, "width": 32, "heads": 4, "layers": 2, "mlp_ratio": 1.5}


def write_open_clip_siglip(folder):
    """open_clip's ViT-B-16-SigLIP2."""
    text = SIZES | {
        "vocab_size": 360,
        "context_length": 64,
        "no_causal_mask": True,
        "proj_bias": True,
        "pool_type": "last",
    }
    text |= {"norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"}}
    text |= {"tokenizer_kwargs": {"clean": "canonicalize"}}
    return _write_open_clip_own(folder, text, gemma_tokenizer(), CustomTextCLIP, init_logit_bias=-10)


def write_open_clip_metaclip(folder, quick_gelu=True):
    """open_clip's ViT-H-14-worldwide-quickgelu, whose text half lies at the root."""
    text = SIZES | {"context_length": 77, "pool_type": "eos", "eos_id": 2}
    return _write_open_clip_own(folder, text, tiny_tokenizer(), CLIP, quick_gelu=quick_gelu)


WRITERS = {
    "open-clip-xlm-r": write_open_clip_xlm_r,
    "distilbert": write_distilbert,
    "metaclip": write_metaclip,
    "metaclip-mt5": write_metaclip_mt5,
    "open-clip-metaclip": write_open_clip_metaclip,
    "nllb": write_nllb,
    "siglip": write_siglip,
    "open-clip-siglip": write_open_clip_siglip,
}
