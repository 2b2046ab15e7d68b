"""Embeddings of images as other programs write them, into the current folder."""

from pathlib import Path

import numpy as np
import pandas as pd


def write_npy(rows, paths):
    np.save("images.npy", rows)
    Path("paths.txt").write_text("".join(f"{path}\r\n" for path in paths), "utf-8-sig", newline="")
    return {"embeddings": "images.npy", "paths": "paths.txt"}


def write_parquet(rows, paths):
    pd.DataFrame({"id": paths, "embedding": list(rows)}).to_parquet("images.parquet")
    return {"embeddings": "images.parquet"}


def write_parquet_folder(rows, paths):
    """Two parts, and one without rows."""
    Path("embedded").mkdir()
    for i, places in enumerate([*np.array_split(np.arange(len(rows)), 2), np.arange(0)]):
        table = pd.DataFrame({"id": [paths[place] for place in places], "embedding": list(rows[places])})
        table.to_parquet(f"embedded/embeddings-{i:05}.parquet")
    return {"embeddings": "embedded"}


def write_clip_retrieval(rows, paths):
    """Eleven parts, of 16 bits; part 10 follows part 9."""
    for name in ("img_emb", "metadata"):
        Path("found", name).mkdir(parents=True)
    for i, places in enumerate(np.array_split(np.arange(len(rows)), 11)):
        np.save(f"found/img_emb/img_emb_{i}.npy", rows[places].astype(np.float16))
        table = pd.DataFrame({"image_path": [paths[place] for place in places]})
        table.to_parquet(f"found/metadata/metadata_{i}.parquet")
    return {"embeddings": "found"}
