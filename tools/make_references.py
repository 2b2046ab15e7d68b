"""Make the reference captions of the mini pair, which correct hubs in searches: embeddings, without text.

    python tools/make_references.py --data-dir data

They are English captions of Multi30K (task 1, training part) without those of the pool
`multi30k-1k`: the photographs with the smallest SHA-256 of "pecl/hubs/<file name>". The settings
were chosen on the validation photographs, see `benchmarks/search_quality.py`.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from pecl.data.published.multi30k import load_pool_ids, read_split
from pecl.data.reading import DataRequest
from pecl.encoders.towers import load_towers
from pecl.files import sha256_lines
from pecl.retrieval.hubs import REFERENCES, ROWS, SHIFTS

COUNT = 24_000
SHARPNESS = 40
WEIGHT = 0.6


def captions_outside_pool(data_dir: Path) -> dict[str, str]:
    """Return the captions by the file names of their photographs, in the order of these names' hashes."""
    request = DataRequest("multi30k", "en", split="train", data_dir=data_dir, text_only=True)
    captions, names = read_split(request)
    pool = {f"{flickr_id}.jpg" for flickr_id in load_pool_ids(data_dir)}
    outside = [(name, caption) for name, caption in zip(names, captions.target, strict=True) if name not in pool]
    return dict(sorted(outside, key=lambda row: hashlib.sha256(f"pecl/hubs/{row[0]}".encode()).hexdigest()))


def packed(embeddings: np.ndarray) -> np.ndarray:
    """Return embeddings (R, D) in 2 bits per number, (R, D / 4) uint8: its sign, and whether it is large in its row."""
    large = np.abs(embeddings) > np.abs(embeddings).mean(axis=1, keepdims=True)
    # 0 to 3, in the order of the numbers
    codes = np.where(embeddings < 0, 1 - large, 2 + large).astype(np.uint8)
    return (codes.reshape(len(codes), -1, len(SHIFTS)) << SHIFTS).sum(axis=-1, dtype=np.uint8)


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=REFERENCES / "mini.safetensors")
    parsed = parser.parse_args()
    towers = load_towers("mini")
    captions = list(captions_outside_pool(parsed.data_dir).values())[:COUNT]
    embeddings = towers.text.encode_text(captions).numpy()  # (R, D)
    metadata = {
        "image": towers.image.fingerprint,
        "text": towers.text.fingerprint,
        "sharpness": str(SHARPNESS),
        "weight": str(WEIGHT),
        "captions": sha256_lines(captions),
    }
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    save_file({ROWS: packed(embeddings)}, parsed.out, metadata)


if __name__ == "__main__":
    main()
