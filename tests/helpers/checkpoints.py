"""Tiny random checkpoints in the formats in which the real ones are published."""

import json

import torch
from safetensors.torch import save_file
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    CLIPTokenizer,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from helpers.tiny import SIZES, tiny_tokenizer

TEXTS = ["ein Hund", "a", "ein sehr langer Satz über zwei Hunde im Schnee", "犬が走る", "."]


def xlm_roberta_config(**changes):
    sizes = {**SIZES, "num_hidden_layers": 2, "max_position_embeddings": 114, "type_vocab_size": 1}
    return XLMRobertaConfig(**{**sizes, **changes})


def write_base(folder, seed=0, model_class=XLMRobertaModel, config=None):
    """An encoder as transformers saves it."""
    torch.manual_seed(seed)
    model = model_class(config or xlm_roberta_config())
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return model.eval()


def write_mclip(folder, base, dim=8):
    """An M-CLIP checkpoint as published: weights of its own names, and a config that names the base model."""
    torch.manual_seed(1)
    encoder = XLMRobertaModel(xlm_roberta_config())
    linear = torch.nn.Linear(encoder.config.hidden_size, dim)
    state = {f"transformer.{name}": tensor for name, tensor in encoder.state_dict().items()}
    state |= {f"LinearTransformation.{name}": tensor for name, tensor in linear.state_dict().items()}
    state = {name: tensor.clone().contiguous() for name, tensor in state.items()}
    folder.mkdir(parents=True)
    tiny_tokenizer().save_pretrained(folder)
    config = {
        "architectures": ["MultilingualCLIP"],
        "modelBase": str(base),
        "model_type": "M-CLIP",
        "numDims": dim,
        "torch_dtype": "float32",
        "transformerDimensions": encoder.config.hidden_size,
        "transformers_version": "4.21.1",
    }
    (folder / "config.json").write_text(json.dumps(config))
    torch.save(state, folder / "pytorch_model.bin")
    return state


def write_weights(folder, state, layout):
    """Write `state` in one of the four layouts in place of what weights the folder holds."""
    for path in [*folder.glob("*.bin*"), *folder.glob("*.safetensors*")]:
        path.unlink()
    stem, suffix, save = {
        "bin": ("pytorch_model", "bin", torch.save),
        "safetensors": ("model", "safetensors", save_file),
    }[layout.removeprefix("sharded-")]
    if not layout.startswith("sharded-"):
        save(state, folder / f"{stem}.{suffix}")
        return
    names, weight_map = sorted(state), {}
    for i, part in enumerate((names[::2], names[1::2]), 1):
        shard = f"{stem}-0000{i}-of-00002.{suffix}"
        save({name: state[name] for name in part}, folder / shard)
        weight_map |= dict.fromkeys(part, shard)
    (folder / f"{stem}.{suffix}.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def write_clip(folder):
    """A whole CLIP, both halves, as OpenAI's are published for transformers."""
    torch.manual_seed(2)
    tokenizer = clip_tokenizer()
    half = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48, "projection_dim": 12}
    text = {**half, "hidden_size": 24, "vocab_size": len(tokenizer), "max_position_embeddings": 20}
    text |= {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id}
    vision = {**half, "hidden_size": 32, "image_size": 32, "patch_size": 8}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)).eval()
    model.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def clip_tokenizer():
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(vocab={piece: i for i, piece in enumerate(pieces)}, merges=[], model_max_length=20)


def write_siglip(folder):
    """A whole SigLIP of fixed resolution; SigLIP 2's are of the same format."""
    torch.manual_seed(3)
    half = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    text = {**half, "vocab_size": 60, "max_position_embeddings": 16, "projection_size": 32}
    text |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    vision = {**half, "image_size": 32, "patch_size": 8}
    model = SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).eval()
    model.save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return model
