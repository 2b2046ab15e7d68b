"""Make the reference captions of the mini pair, which correct hubs in searches: embeddings, without text.

    python scripts/make_references.py --data-dir data

They are English captions of Multi30K (task 1, training part) without those of the pool `multi30k-1k`: the photographs
with the smallest SHA-256 of "pecl/hubs/<file name>". The settings were chosen on the validation photographs, see
`benchmarks/search_quality.py`.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

from pecl.data.published.multi30k import load_pool_ids, read_split
from pecl.data.request import DataRequest
from pecl.encoders.towers import load_towers
from pecl.files import sha256_lines
from pecl.files.rows import write_rows
from pecl.retrieval.hubs import REFERENCES, ROWS, packed

COUNT = 24_000
SHARPNESS = 25
WEIGHT = 0.8


def reference_captions(data_dir: Path, count: int = COUNT) -> list[str]:
    """Return the captions, in the order of their photographs' hashes."""
    request = DataRequest("multi30k", "en", split="train", data_dir=data_dir, text_only=True)
    captions, names = read_split(request)
    pool = {f"{flickr_id}.jpg" for flickr_id in load_pool_ids(data_dir)}
    outside = [i for i, name in enumerate(names) if name not in pool]
    outside.sort(key=lambda i: hashlib.sha256(f"pecl/hubs/{names[i]}".encode()).hexdigest())
    return [captions.target[i] for i in outside[:count]]


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"))
    parser.add_argument("--out", type=Path, default=REFERENCES / "mini.safetensors")
    parsed = parser.parse_args()
    towers, captions = load_towers("mini"), reference_captions(parsed.data_dir)
    embeddings = towers.text.encode_text(captions).numpy()  # (R, D)
    metadata = {
        "image": towers.image.fingerprint,
        "text": towers.text.fingerprint,
        "sharpness": str(SHARPNESS),
        "weight": str(WEIGHT),
        "captions": sha256_lines(captions),
    }
    parsed.out.parent.mkdir(parents=True, exist_ok=True)
    write_rows(parsed.out, (ROWS,), [{ROWS: packed(embeddings)}], metadata)


if __name__ == "__main__":
    main()
