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
"""

import mmap
import struct
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from pecl.encoders.bert import Bert, BertSettings
from pecl.files import open_regular

BLOCK = 32  # weights in a Q4 block
Q4_BLOCK = np.dtype([("scale", "<f2"), ("nibbles", "u1", BLOCK // 2)])  # 18 bytes
BLOCKS_AT_ONCE = 1 << 15  # one million weights: the temporary arrays stay in the processor's cache

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
    """An E5S1 file: the shape of its encoder, its vocabulary, and a function that dequantises its tensors."""

    config: BertSettings
    vocabulary: E5Vocabulary
    read_tensors: Callable[[], dict[str, torch.Tensor]]  # float32, under the encoder's names; 0.5 GB for the real file


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
    """Read an E5S1 file, except for its tensors."""
    with open_regular(path) as file:
        cursor = _Cursor(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    cursor.take(8)  # magic and version
    hidden, layers, heads, feed_forward, vocabulary, positions, types, epsilon, _ = cursor.unpack("7ifi")
    config = BertSettings(vocabulary, hidden, layers, heads, feed_forward, positions, types, epsilon)
    return E5File(config, _read_vocabulary(cursor), partial(_read_tensors, cursor, config))


def build_bert(config: BertSettings, tensors: dict[str, torch.Tensor]) -> Bert:
    """Return the encoder of a file in evaluation mode; it holds the tensors themselves."""
    with torch.device("meta"):  # only shapes: random weights for 118 M parameters would only be overwritten
        model = Bert(config)
    model.load_state_dict(tensors, assign=True)
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


def _read_tensors(directory: _Cursor, config: BertSettings) -> dict[str, torch.Tensor]:
    """Read every tensor of the directory under its name and in its shape in `Bert`."""
    cursor = _Cursor(directory.content, directory.position)
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in Bert(config).state_dict().items()}
    names = EMBEDDING_NAMES | {
        f"l{i}.{short}.{part[0]}": f"encoder.layer.{i}.{module}.{part}"
        for i in range(config.num_hidden_layers)
        for short, module in LAYER_MODULES.items()
        for part in ("weight", "bias")
    }
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
