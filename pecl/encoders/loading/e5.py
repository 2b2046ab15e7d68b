"""Reader of `E5S1` files: multilingual-e5-small, its weights in 4 bits, with its tokenizer (`e5-small-q4.bin`).

The file is read as data: mapped into memory and dequantised to float32. `mini.Wheel` compares its
SHA-256 first, so its content is not checked again. All numbers are little-endian:

- `E5S1`, u32 version; i32 hidden size, layers, heads, feed-forward size, vocabulary, positions, token types; f32
  epsilon of LayerNorm; i32 weights in a block (32).
- Tokenizer: i32 pieces n, then the ids of bos, eos, pad, unk; u64 blob length; u32 offsets (n+1,); f32 scores (n,);
  blob of UTF-8 pieces. i32 characters, u32 bytes, then for each character u32 codepoint, u8 count, u32 codepoints.
- Directory: i32 tensors, for each u16 name length, name, u8 kind (0 float32, 1 Q4), u32 weights, u64 offset, u64 bytes.
- Q4 block of 32 weights: f16 d, 16 bytes; their low nibbles are weights 0-15, their high nibbles weights 16-31;
  weight = (nibble - 8)·d.

The tokenizer normalises text as the table of the file does. The table equals NFKC except for 119
characters, so pecl runs NFKC. Before it, characters that the table drops or reads as a space are
replaced, and "～", which the table keeps and NFKC would change, is hidden. NFKC does two things that
the table does not, both as in SentencePiece's own normaliser: it composes decomposed accents and
Hangul, and changes compatibility characters that are younger than the table (none is a piece).
"""

import mmap
import re
import struct
import unicodedata
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers, processors
from tokenizers.models import Unigram

from pecl.encoders.bert import Bert, BertSettings
from pecl.errors import not_none
from pecl.files import load_json, open_regular

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

# Letters that the vocabulary lacks, such as Tibetan and N'Ko, and the replacement of each: without
# it, whole texts would be unknown pieces. The replacement is the sound in the letter's name in Unicode.
LETTERS = Path(__file__).with_name("letters.json")
KEPT = "\uff5e"  # fullwidth tilde; NFKC would make it "~", the table and the vocabulary keep it
PLACEHOLDER = "\ue000"  # a private-use character in the place of KEPT while NFKC runs


class E5File(NamedTuple):
    """An E5S1 file: the shape of its encoder, its Unigram tokenizer, and a function that dequantises its tensors."""

    config: BertSettings
    pieces: list[str]  # text of each piece, in the order of the token ids
    scores: list[float]  # log-probability of each piece
    special: dict[str, int]  # ids of the pieces "bos", "eos", "pad" and "unk"
    # replacement of each character that is not kept as it is, such as "１" -> "1"
    normalization: dict[str, str]
    # float32, under the encoder's names; 0.5 GB for the real file
    read_tensors: Callable[[], dict[str, torch.Tensor]]


def read_e5(path: Path) -> E5File:
    """Read an E5S1 file, except for its tensors."""
    with open_regular(path) as file:
        content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    content.seek(8)  # after magic and version
    hidden, layers, heads, feed_forward, vocabulary, positions, types, epsilon, _ = _unpack(content, "7ifi")
    config = BertSettings(vocabulary, hidden, layers, heads, feed_forward, positions, types, epsilon)
    count, *ids, blob_size = _unpack(content, "5iQ")
    # (n+1,), (n,)
    offsets, scores = _array(content, "<u4", count + 1), _array(content, "<f4", count)
    blob = content.read(blob_size)
    pieces = [blob[start:end].decode() for start, end in pairwise(offsets.tolist())]
    special: dict[str, int] = dict(zip(("bos", "eos", "pad", "unk"), ids, strict=True))
    table = {}
    for _ in range(_unpack(content, "iI")[0]):
        codepoint, length = _unpack(content, "IB")
        table[chr(codepoint)] = "".join(map(chr, _unpack(content, f"{length}I")))

    tensors = partial(_read_tensors, content, content.tell(), config)
    return E5File(config, pieces, scores.tolist(), special, table, tensors)


def _unpack(content: mmap.mmap, layout: str) -> tuple:
    """Read the next numbers, in the format `layout` of `struct`."""
    return struct.unpack("<" + layout, content.read(struct.calcsize("<" + layout)))


def _array(content: mmap.mmap, dtype: str | np.dtype, count: int) -> np.ndarray:
    """Return a view (count,) of the next numbers, and move past them."""
    view = np.frombuffer(content, dtype, count, content.tell())
    content.seek(view.nbytes, 1)
    return view


def build_bert(config: BertSettings, tensors: dict[str, torch.Tensor]) -> Bert:
    """Return the encoder of a file in evaluation mode; it shares the memory of `tensors`."""
    # only shapes: random weights for 118 M parameters would only be overwritten
    with torch.device("meta"):
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


def _read_tensors(
    content: mmap.mmap,
    directory: int,
    config: BertSettings,
) -> dict[str, torch.Tensor]:
    """Read every tensor of the directory at the offset `directory`, with its name and shape in `Bert`."""
    with torch.device("meta"):
        shapes = {name: t.shape for name, t in Bert(config).state_dict().items()}

    names = EMBEDDING_NAMES | {
        f"l{i}.{short}.{part[0]}": f"encoder.layer.{i}.{module}.{part}"
        for i in range(config.num_hidden_layers)
        for short, module in LAYER_MODULES.items()
        for part in ("weight", "bias")
    }
    tensors = {}
    content.seek(directory)

    for _ in range(_unpack(content, "i")[0]):
        name = content.read(_unpack(content, "H")[0]).decode("latin-1")
        kind, size, offset, _ = _unpack(content, "BIQQ")
        if name in names:
            if kind:
                weights = dequantize_q4(np.frombuffer(content, Q4_BLOCK, size // BLOCK, offset))
            else:
                weights = torch.from_numpy(np.frombuffer(content, "<f4", size, offset).astype(np.float32))
            tensors[names[name]] = weights.view(shapes[names[name]])

    return tensors


class E5Tokenizer:
    """A tokenizer with those methods of transformers' tokenizers that a text tower calls."""

    def __init__(self, tokenizer: Tokenizer, special: dict[str, str]) -> None:
        self.backend_tokenizer = tokenizer
        self.special = special  # the pieces of the roles bos, eos, pad and unk
        self.pad_token_id, self.unk_token_id = (tokenizer.token_to_id(special[role]) for role in ("pad", "unk"))

    def __call__(
        self,
        texts: str | Sequence[str],
        *,
        add_special_tokens: bool = True,
        truncation: bool = False,
        max_length: int | None = None,
        verbose: bool = True,
    ) -> dict[str, Any]:
        """Return `input_ids`: the token ids of one text, or a list of those of each text."""
        if truncation and max_length is not None:
            self.backend_tokenizer.enable_truncation(max_length)
        else:
            self.backend_tokenizer.no_truncation()

        several = [texts] if isinstance(texts, str) else list(texts)
        encoded = self.backend_tokenizer.encode_batch_fast(several, add_special_tokens=add_special_tokens)
        ids = [encoding.ids for encoding in encoded]
        return {"input_ids": ids[0] if isinstance(texts, str) else ids}

    @property
    def all_special_ids(self) -> list[int]:
        """Ids of the special tokens."""
        return [not_none(self.backend_tokenizer.token_to_id(piece), piece) for piece in self.special.values()]

    @cached_property
    def in_transformers(self) -> Any:
        """A `PreTrainedTokenizerFast` of the same pieces."""
        from transformers import PreTrainedTokenizerFast  # takes a second

        return PreTrainedTokenizerFast(
            tokenizer_object=self.backend_tokenizer,
            **{f"{role}_token": piece for role, piece in self.special.items()},
            cls_token=self.special["bos"],
            sep_token=self.special["eos"],
        )


def build_tokenizer(file: E5File) -> E5Tokenizer:
    """Return the tokenizer: normalise, collapse spaces, Unigram over words that begin with "▁", `<s>` … `</s>`."""
    ids = file.special
    special = {role: file.pieces[i] for role, i in file.special.items()}
    pairs = list(zip(file.pieces, file.scores, strict=True))
    tokenizer = Tokenizer(Unigram(pairs, unk_id=ids["unk"], byte_fallback=False))
    tokenizer.normalizer = build_normalizer(file.normalization)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{special['bos']} $A {special['eos']}",
        pair=f"{special['bos']} $A {special['eos']} {special['eos']} $B {special['eos']}",
        special_tokens=[(special[role], ids[role]) for role in ("bos", "eos")],
    )
    # so their text in a caption is one token, as in transformers
    tokenizer.add_special_tokens([*special.values()])

    return E5Tokenizer(tokenizer, special)


def build_normalizer(table: dict[str, str]) -> normalizers.Normalizer:
    """Return the normaliser of a table from characters to text; see the docstring of this module."""
    steps = []
    for replacement in ("", " "):  # characters that are dropped, and those that are read as a space
        characters = [
            character
            for character, text in table.items()
            if text == replacement and unicodedata.normalize("NFKC", character) != text
        ]
        if characters:
            steps.append(normalizers.Replace(Regex(f"[{re.escape(''.join(characters))}]"), replacement))

    steps += [
        normalizers.Replace(KEPT, PLACEHOLDER),
        normalizers.NFKC(),
        normalizers.Replace(PLACEHOLDER, KEPT),
    ]

    for letter, replacement in load_json(LETTERS).items():
        steps.append(normalizers.Replace(letter, replacement))
    steps.append(normalizers.Replace(Regex(" {2,}"), " "))
    return normalizers.Sequence(steps)
