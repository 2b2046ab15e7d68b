"""SigLIP 2 B/16 with random numbers, file by file in the form in which the model hub has it: whole, or tiny."""

import json
import string

import torch
from tokenizers import processors
from transformers import GemmaTokenizer, SiglipConfig, SiglipModel

MODEL = "google/siglip2-base-patch16-224"
PUBLISHED = {"vocab_size": 256_000}  # all else is transformers' default
_TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
# The published settings ask for lower case, which transformers does not heed.
TOKENIZER_SETTINGS = {
    "add_bos_token": False,
    "add_eos_token": True,
    "bos_token": "<bos>",
    "clean_up_tokenization_spaces": False,
    "do_lower_case": True,
    "eos_token": "<eos>",
    "mask_token": "<mask>",
    "model_max_length": 64,
    "pad_token": "<pad>",
    "padding_side": "right",
    "processor_class": "SiglipProcessor",
    "tokenizer_class": "GemmaTokenizer",
    "unk_token": "<unk>",
}
PREPROCESSOR_SETTINGS = {
    "do_convert_rgb": None,
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "SiglipImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "processor_class": "SiglipProcessor",
    "resample": 2,
    "rescale_factor": 1 / 255,
}


def write_siglip2(folder, is_tiny=True):
    """Fill a folder with the files of a checkpoint; 1.5 GB unless it is tiny."""
    text, vision = dict(PUBLISHED), {}
    if is_tiny:
        text, vision = {**_TINY, "vocab_size": 400}, {**_TINY, "image_size": 32}
    torch.manual_seed(4)
    model = SiglipModel(SiglipConfig(text_config=dict(text), vision_config=dict(vision)))
    with torch.no_grad():  # a head of zeros would give all photographs one embedding
        for parameter in model.parameters():
            if parameter.dim() == 1 and len(parameter) > 1:
                parameter += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder, max_shard_size="5GB")
    config = {"architectures": ["SiglipModel"], "initializer_factor": 1.0, "model_type": "siglip"}
    config["text_config"] = {"model_type": "siglip_text_model", **text}
    config["vision_config"] = {"model_type": "siglip_vision_model", **vision}
    size = vision.get("image_size", 224)
    _write(folder / "config.json", config)
    _write(folder / "preprocessor_config.json", {**PREPROCESSOR_SETTINGS, "size": {"height": size, "width": size}})
    _write(folder / "tokenizer_config.json", TOKENIZER_SETTINGS)
    _write(folder / "special_tokens_map.json", {f"{name[1:-1]}_token": name for name in SPECIAL})
    _tokenizer(text["vocab_size"]).backend_tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer.model").write_bytes(b"\0" * (1000 if is_tiny else 4_241_003))  # sentencepiece's, not read
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    for path in folder.glob("generation_config.json"):
        path.unlink()


def _write(path, document):
    path.write_text(json.dumps(document, indent=2))


def _tokenizer(size):
    """A tokenizer of `size` pieces: bytes, letters, and pairs of pieces before them."""
    letters = ["▁", *string.ascii_letters, *string.punctuation.replace("<", "").replace(">", ""), *"äöüßéèěščřžýáíů"]
    pieces = dict.fromkeys([*SPECIAL, *(f"<0x{i:02X}>" for i in range(256)), *letters])
    merges = []
    grown = list(letters)
    for first in grown:
        if len(pieces) >= size:
            break
        for second in string.ascii_lowercase:
            if len(pieces) < size and first + second not in pieces:
                pieces[first + second] = None
                merges.append((first, second))
                grown.append(first + second)
    vocab = {piece: i for i, piece in enumerate(list(pieces)[:size])}
    tokenizer = GemmaTokenizer(vocab=vocab, merges=merges, padding_side="right")
    template = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.backend_tokenizer.post_processor = template
    return tokenizer
