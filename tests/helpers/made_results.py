"""Results made by hand, as `pecl train` writes them, on real data: embeddings are noise around the gallery.

The trained tower has less noise than the plain one, so most captions gain and a few lose; ranks, metrics and retrieved
items all come from one similarity, so they fit each other as in a real result.
"""

import csv
from functools import cache

import torch
from PIL import Image

from helpers.report_results import document
from helpers.retrieval import cosine_similarity
from pecl.config import make_config
from pecl.data.registry import load_dataset
from pecl.data.splits import split_captions
from pecl.results.result import Result, read_result, run_name, write_result
from pecl.results.side_files import write_manifest, write_retrieved
from pecl.retrieval.measures import DIRECTIONS

load = cache(load_dataset)

NOISE = {"de": 0.9, "cs": 1.4}  # of the plain tower


def made_result(out, *, learned=0.25, **values):
    """Write one training into `out`, with its manifest and what it retrieved, and return its result.

    `learned` is the noise taken away.
    """
    config = make_config({"out": str(out), **values})
    data = load(config.dataset, config.language)
    parts = split_captions(data, config.shots, config.split_seed)._asdict()
    test = parts["test"]
    generator = torch.Generator().manual_seed(1)
    gallery = torch.randn(len(test), 16, generator=generator)
    noise = torch.randn(len(test), 16, generator=generator) * NOISE[config.language]
    own = 0.3 * torch.randn(len(test), 16, generator=torch.Generator().manual_seed(config.seed))
    kept = 1 - learned
    embedded = {"zero_shot": gallery + noise, "final": gallery + kept * noise, "best": gallery + kept * noise + own}
    found = {name: cosine_similarity(texts, gallery) for name, texts in embedded.items()}
    retrieved = {
        name: [[test[i] for i in row] for row in similarity.topk(5, dim=1).indices.tolist()]
        for name, similarity in found.items()
        if name != "final"
    }
    directions = DIRECTIONS[config.gallery]
    ranks = {name: _ranks(similarity, directions) for name, similarity in found.items()}
    manifest = write_manifest(out, _manifest(config, parts, [data.images.ids[i] for i in test]))
    write_retrieved(out, run_name(config, config.run_id()), retrieved)
    made = document("train", ranks, **values, out=str(out))
    scores = made["metrics"]["test"]
    made["metrics"]["val"] = scores
    made["data"] |= {
        "captions": len(data),
        "split": {part: len(indices) for part, indices in parts.items()},
        "query": dict.fromkeys(parts, "target"),
        "sha256": data.hashes(),
        "provenance": data.provenance,
        "manifest": manifest,
    }
    made |= {"run_id": config.run_id(), "config": config.to_record()}
    return read_result(write_result(out, Result.from_json(made)))


def write_table(folder, languages=("de", "cs"), special=None):
    """Write 60 small pictures and invented captions into `folder`; `special` is index -> caption."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["en", *languages, *(f"{code}_to_en" for code in languages)]
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", *columns])
        for i in range(60):
            Image.new("RGB", (160, 90), (4 * i, 255 - 4 * i, 128)).save(folder / f"{i}.png")
            captions = [(special or {}).get(i, f"{code} caption number {i}") for code in columns]
            writer.writerow([f"{i}.png", *captions])
    return folder / "captions.csv"


def _ranks(similarity, directions):
    """Return the ranks of the diagonal in both directions; noise leaves no ties."""
    own = similarity.diagonal()
    to_text, to_gallery = (similarity >= own.unsqueeze(0)).sum(dim=0), (similarity >= own.unsqueeze(1)).sum(dim=1)
    return dict(zip(directions, (to_text.tolist(), to_gallery.tolist()), strict=True))


def _manifest(config, parts, ids):
    return {
        "dataset": config.dataset,
        "shots": config.shots,
        "split_seed": config.split_seed,
        "indices": {part: list(indices) for part, indices in parts.items()},
        "gallery": {"kind": config.gallery, "items": list(parts["test"]), "ids": ids},
    }
