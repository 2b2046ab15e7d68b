"""A tiny E5S1 file, written here from the description of the format."""

import random
import struct

import numpy as np

from pecl.encoders.loading.e5 import LAYER_MODULES

PIECES = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
PIECES += [("▁", -4.0), ("a", -3.0), ("b", -3.5), ("▁a", -2.0), ("▁ab", -2.5), ("é", -5.0), ("1", -5.0)]
TABLE = {"\t": " ", "\x01": "", "１": "1", "ﬁ": "fi"}
HIDDEN, LAYERS, HEADS, FEED_FORWARD, POSITIONS, TYPES = 32, 1, 2, 64, 8, 2


def encode_q4(rng, count):
    """Return random Q4 blocks as bytes, and their weights by a scalar loop that shares nothing with the reader."""
    data, weights = b"", []
    for _ in range(count // 32):
        scale = float(np.float16(rng.uniform(0.01, 0.2)))
        nibbles = [rng.randrange(16) for _ in range(32)]
        data += struct.pack("<e", scale) + bytes(nibbles[j] | nibbles[j + 16] << 4 for j in range(16))
        weights += [(nibble - 8) * scale for nibble in nibbles]
    return data, weights


def tiny_tensors():
    """Return (name in the file, shape, whether Q4) of every tensor of the tiny model."""
    vocabulary = len(PIECES)
    square = {"q", "k", "v", "ao"}
    yield "emb.word", (vocabulary, HIDDEN), True
    yield "emb.pos", (POSITIONS, HIDDEN), False
    yield "emb.type", (TYPES, HIDDEN), False
    yield "emb.ln.w", (HIDDEN,), False
    yield "emb.ln.b", (HIDDEN,), False
    for part in LAYER_MODULES:
        rows = FEED_FORWARD if part == "fi" else HIDDEN
        columns = FEED_FORWARD if part == "fo" else HIDDEN
        dense = part in square or part in ("fi", "fo")
        yield f"l0.{part}.w", (rows, columns) if dense else (rows,), dense
        yield f"l0.{part}.b", (rows,), False


def write_tiny(path):
    """Write a one-layer E5S1 file and return what it holds, as lists of floats by the file's names."""
    rng = random.Random(0)
    head = b"E5S1" + struct.pack(
        "<I7ifi", 1, HIDDEN, LAYERS, HEADS, FEED_FORWARD, len(PIECES), POSITIONS, TYPES, 1e-5, 32
    )
    blob = [piece.encode() for piece, _ in PIECES]
    offsets = np.cumsum([0, *map(len, blob)])
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, blob)))
    head += struct.pack(f"<{len(offsets)}I", *offsets) + struct.pack(f"<{len(PIECES)}f", *(s for _, s in PIECES))
    head += b"".join(blob)
    table = b"".join(struct.pack(f"<IB{len(v)}I", ord(k), len(v), *map(ord, v)) for k, v in TABLE.items())
    head += struct.pack("<iI", len(TABLE), len(table)) + table
    names = list(tiny_tensors())
    directory_size = 4 + sum(2 + len(name) + 21 for name, *_ in names)
    position, directory, body, expected = len(head) + directory_size, struct.pack("<i", len(names)), b"", {}
    for name, shape, quantised in names:
        count = int(np.prod(shape))
        if quantised:
            data, expected[name] = encode_q4(rng, count)
        else:
            expected[name] = [float(np.float32(rng.gauss(0, 1))) for _ in range(count)]
            data = struct.pack(f"<{count}f", *expected[name])
        directory += struct.pack("<H", len(name)) + name.encode()
        directory += struct.pack("<BIQQ", quantised, count, position + len(body), len(data))
        body += data
    path.write_bytes(head + directory + body)
    return expected
