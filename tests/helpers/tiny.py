"""A tiny random text tower with a byte-level tokenizer, for tests that need the machinery but no pretrained weights."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

from pecl.encoders.text import MultilingualTextEncoder

SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
SIZES = {"vocab_size": 260, "hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "pad_token_id": 1}


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate([*SPECIAL, *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


def tiny_tower(architecture: str = "xlm-roberta", seed: int = 0, dim: int = 8, dropout: float = 0.1, layers: int = 2):
    sizes = {**SIZES, "num_hidden_layers": layers, "max_position_embeddings": 140}
    sizes |= {"hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    torch.manual_seed(seed)
    if architecture == "xlm-roberta":
        backbone = XLMRobertaModel(XLMRobertaConfig(**sizes), add_pooling_layer=False)
    else:
        backbone = BertModel(BertConfig(**sizes), add_pooling_layer=False)
    head = torch.nn.Linear(32, dim)
    return MultilingualTextEncoder(backbone, tiny_tokenizer(), head, name=f"tiny-{architecture}", max_length=128)


def sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences of invented words, of various lengths."""
    generator = torch.Generator().manual_seed(seed)
    words = ["ka", "lopi", "zumo", "terra", "vi", "santu", "belo", "quar", "noxi", "dru"]
    lengths = torch.randint(1, 7, (count,), generator=generator).tolist()
    return [" ".join(words[i] for i in torch.randint(0, 10, (n,), generator=generator)) for n in lengths]
