"""Reader of `E5S1` files: multilingual-e5-small, its weights in 4 bits, with its tokenizer (`e5-small-q4.bin`).

The file is read as data: mapped into memory and dequantised to float32. `mini.Wheel` compares its SHA-256 first, so its
content is not checked again. All numbers are little-endian:

- `E5S1`, u32 version; i32 hidden size, layers, heads, feed-forward size, vocabulary, positions, token types; f32
  epsilon of LayerNorm; i32 weights in a block (32).
- Tokenizer: i32 pieces n, then the ids of bos, eos, pad, unk; u64 blob length; u32 offsets (n+1,); f32 scores (n,);
  blob of UTF-8 pieces. i32 characters, u32 bytes, then for each character u32 codepoint, u8 count, u32 codepoints.
- Directory: i32 tensors, for each u16 name length, name, u8 kind (0 float32, 1 Q4), u32 weights, u64 offset, u64 bytes.
- Q4 block of 32 weights: f16 d, 16 bytes; their low nibbles are weights 0-15, their high nibbles weights 16-31;
  weight = (nibble - 8)·d.

The tokenizer's normalisation is the table of the file. That is NFKC but for 119 characters, so NFKC does the work,
after the characters that the table drops or reads as a space, and around the one that it keeps although NFKC would not
("～"). Two things go beyond the table's single characters, both as in SentencePiece's own normaliser: NFKC also
composes decomposed accents and Hangul, and reads compatibility characters that are younger than the table (none is a
piece).
"""

import mmap
import re
import struct
import unicodedata
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from pecl.encoders.loading.letters import known_letters
from pecl.files import open_regular

BLOCK = 32  # weights in a Q4 block
Q4_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])  # 18 bytes
BLOCKS_AT_ONCE = 1 << 15  # one million weights: the temporary arrays stay in the processor's cache
KEPT = "\uff5e"  # fullwidth tilde; NFKC would make it "~", the table and the vocabulary keep it
PLACEHOLDER = "\ue000"  # a private-use character in the place of KEPT while NFKC runs

# Names of the file -> names of transformers' BertModel; "{i}" is the layer.
EMBEDDING_NAMES = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
LAYER_MODULES = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


class E5Vocabulary(NamedTuple):
    """The Unigram tokenizer of an E5S1 file."""

    pieces: list[str]  # text of each piece, in the order of the token ids
    scores: list[float]  # log-probability of each piece
    special: dict[str, int]  # ids of the pieces "bos", "eos", "pad" and "unk"
    normalization: dict[str, str]  # replacement of each character that is not kept as it is, such as "１" -> "1"


class E5File(NamedTuple):
    """An E5S1 file: the configuration of its BertModel, its tensors (float32) and its vocabulary."""

    config: BertConfig
    tensors: dict[str, torch.Tensor]
    vocabulary: E5Vocabulary


class _Cursor:
    """Reads numbers one after the other."""

    def __init__(self, content: Any, position: int = 0) -> None:
        self.content = content
        self.position = position

    def take(self, size: int) -> int:
        """Step over `size` bytes and return where they begin."""
        self.position += size
        return self.position - size

    def unpack(self, layout: str) -> tuple:
        """Read the numbers of a `struct` layout."""
        return struct.unpack_from("<" + layout, self.content, self.take(struct.calcsize("<" + layout)))

    def array(self, dtype: str | np.dtype, count: int) -> np.ndarray:
        """Return a view (count,) of the file."""
        return np.frombuffer(self.content, dtype, count, self.take(np.dtype(dtype).itemsize * count))

    def text(self, size: int) -> bytes:
        """Read `size` bytes."""
        start = self.take(size)
        return self.content[start : start + size]


def read_e5(path: Path) -> E5File:
    """Read an E5S1 file, its weights dequantised to float32 (0.5 GB for multilingual-e5-small)."""
    with open_regular(path) as file:
        cursor = _Cursor(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    config = _read_config(cursor)
    vocabulary = _read_vocabulary(cursor)
    return E5File(config, _read_tensors(cursor, config), vocabulary)


def build_bert(file: E5File) -> BertModel:
    """Return the BertModel of a file, without pooler, in evaluation mode; it holds the file's tensors themselves."""
    with torch.device("meta"):  # only shapes: random weights for 118 M parameters would only be overwritten
        model = BertModel(file.config, add_pooling_layer=False)
    model.load_state_dict(file.tensors, assign=True)
    positions = torch.arange(file.config.max_position_embeddings).unsqueeze(0)  # (1, positions)
    embeddings = cast(Any, model.embeddings)
    embeddings.position_ids = positions  # the two buffers are in no state dict
    embeddings.token_type_ids = torch.zeros_like(positions)
    return model.eval()


def dequantize_q4(blocks: np.ndarray) -> torch.Tensor:
    """Return the weights (32·n,), float32, of n Q4 blocks (n,) of dtype `Q4_BLOCK`."""
    weights = torch.empty(len(blocks), BLOCK)  # (n, 32)
    target = weights.numpy()
    for start in range(0, len(blocks), BLOCKS_AT_ONCE):
        part = blocks[start : start + BLOCKS_AT_ONCE]
        out = target[start : start + BLOCKS_AT_ONCE]  # (m, 32)
        out[:, : BLOCK // 2] = part["nibbles"] & 15  # (m, 16)
        out[:, BLOCK // 2 :] = part["nibbles"] >> 4  # (m, 16)
        out -= 8
        out *= part["scale"].astype(np.float32)[:, None]  # (m, 1)
    return weights.flatten()  # (32·n,)


def _read_config(cursor: _Cursor) -> BertConfig:
    cursor.take(8)  # magic and version
    hidden, layers, heads, feed_forward, vocabulary, positions, types, epsilon, _ = cursor.unpack("7ifi")
    return BertConfig(
        vocab_size=vocabulary,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=feed_forward,
        hidden_act="gelu",
        max_position_embeddings=positions,
        type_vocab_size=types,
        layer_norm_eps=epsilon,
    )


def _read_vocabulary(cursor: _Cursor) -> E5Vocabulary:
    count, *ids = cursor.unpack("5i")
    (blob_size,) = cursor.unpack("Q")
    offsets = cursor.array("<u4", count + 1)  # (n+1,)
    scores = cursor.array("<f4", count)  # (n,)
    blob = cursor.text(blob_size)
    special: dict[str, int] = dict(zip(("bos", "eos", "pad", "unk"), ids, strict=True))
    pieces = [blob[start:end].decode() for start, end in pairwise(offsets.tolist())]
    return E5Vocabulary(pieces, scores.tolist(), special, _read_normalization(cursor))


def _read_normalization(cursor: _Cursor) -> dict[str, str]:
    count, _ = cursor.unpack("iI")
    table = {}
    for _ in range(count):
        codepoint, length = cursor.unpack("IB")
        table[chr(codepoint)] = "".join(map(chr, cursor.unpack(f"{length}I")))
    return table


def _read_tensors(cursor: _Cursor, config: BertConfig) -> dict[str, torch.Tensor]:
    """Read every tensor of the directory that BertModel has, under its name and in its shape there."""
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in BertModel(config, add_pooling_layer=False).state_dict().items()}
    names = _tensor_names(config.num_hidden_layers)
    tensors = {}
    (count,) = cursor.unpack("i")
    for _ in range(count):
        (length,) = cursor.unpack("H")
        name = cursor.text(length).decode("latin-1")
        kind, size, offset, _ = cursor.unpack("BIQQ")
        if name in names:
            data = _Cursor(cursor.content, offset)
            if kind:
                weights = dequantize_q4(data.array(Q4_BLOCK, size // BLOCK))
            else:
                weights = torch.from_numpy(data.array("<f4", size).astype(np.float32))
            tensors[names[name]] = weights.view(shapes[names[name]])
    return tensors


def _tensor_names(layers: int) -> dict[str, str]:
    """Return the name in BertModel of each tensor of the file."""
    names = dict(EMBEDDING_NAMES)
    for i in range(layers):
        for short, module in LAYER_MODULES.items():
            names[f"l{i}.{short}.w"] = f"encoder.layer.{i}.{module}.weight"
            names[f"l{i}.{short}.b"] = f"encoder.layer.{i}.{module}.bias"
    return names


class _Own:
    """A tokenizer that nothing else uses, so that transformers, which copies its arguments, takes it without a copy."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def __deepcopy__(self, memo: dict[int, Any]) -> Tokenizer:
        return self.tokenizer


def build_tokenizer(vocabulary: E5Vocabulary) -> PreTrainedTokenizerFast:
    """Return the tokenizer: normalise, collapse spaces, Unigram over words that begin with "▁", `<s>` … `</s>`."""
    special = {role: vocabulary.pieces[i] for role, i in vocabulary.special.items()}
    ids = vocabulary.special
    pairs = list(zip(vocabulary.pieces, vocabulary.scores, strict=True))
    tokenizer = Tokenizer(Unigram(pairs, unk_id=ids["unk"], byte_fallback=False))
    tokenizer.normalizer = build_normalizer(vocabulary.normalization)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special['bos']} $A {special['eos']}",
        pair=f"{special['bos']} $A {special['eos']} {special['eos']} $B {special['eos']}",
        special_tokens=[(special[role], ids[role]) for role in ("bos", "eos")],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=_Own(tokenizer),  # a copy of its 250,000 pieces would take .7 s
        **{f"{role}_token": piece for role, piece in special.items()},
        cls_token=special["bos"],
        sep_token=special["eos"],
    )


def build_normalizer(table: dict[str, str]) -> normalizers.Normalizer:
    """Return the normaliser of a table from characters to text; see the head of this file, and `letters`."""
    changed = {c: text for c, text in table.items() if unicodedata.normalize("NFKC", c) != text}
    dropped = "".join(c for c, text in changed.items() if text == "")
    spaces = "".join(c for c, text in changed.items() if text == " ")
    steps = []
    if dropped:
        steps.append(normalizers.Replace(Regex(f"[{re.escape(dropped)}]"), ""))
    if spaces:
        steps.append(normalizers.Replace(Regex(f"[{re.escape(spaces)}]"), " "))
    steps += [
        normalizers.Replace(KEPT, PLACEHOLDER),
        normalizers.NFKC(),
        normalizers.Replace(PLACEHOLDER, KEPT),
        *(normalizers.Replace(letter, known) for letter, known in known_letters().items()),
        normalizers.Replace(Regex(" {2,}"), " "),
    ]
    return normalizers.Sequence(steps)
