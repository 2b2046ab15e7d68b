"""The pairs of towers by name, and the terms under which towers are published.

Nothing here needs torch: `pecl towers list` and the options of commands read it.
"""

import csv
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)

MINI = "mini"
RECOMMENDED = "siglip2-b16"  # for a search of photographs, if the model hub is reachable
MINI_POOLED = "mini-pooled"  # its text tower without the linear layer, to compare texts with texts
# Towers whose terms forbid commercial use, by their names
_FORBIDDEN = re.compile(r"facebook/metaclip-2-.*|open_clip:(nllb-clip-|ViT-\w+-14-worldwide).*")


@dataclass(frozen=True)
class Pair:
    """A text tower and the image tower whose space it was trained into: a row of `pairs.tsv`."""

    text: str  # as `load_text_encoder` takes it
    image: str  # as `load_image_encoder` takes it
    width: int  # width of the embeddings
    parameters: int  # of the text tower, so that a list of pairs builds no tower
    # of the image tower, rounded; this and the next are counted on open_clip's models
    image_parameters: int
    image_gflops: float  # operations of the image tower per image, in 10^9
    vocabulary: str  # the text tower's, which decides the languages that it can spell
    licence: str  # licence of the weights, as their pages state it
    # of both towers on the model hub; for open_clip's models, those in its table
    repositories: tuple[str, ...]
    description: str  # in one line
    immich: str  # name of its model in immich's list; empty without one


def _read_table() -> dict[str, Pair]:
    with Path(__file__).with_name("pairs.tsv").open(encoding="utf-8", newline="") as file:
        rows: dict[str, dict[str, Any]] = {row.pop("name"): row for row in csv.DictReader(file, delimiter="\t")}
    for row in rows.values():
        row |= {name: int(row[name]) for name in ("width", "parameters", "image_parameters")}
        row["image_gflops"] = float(row["image_gflops"])
        row["repositories"] = tuple(row["repositories"].split())
    return {name: Pair(**row) for name, row in rows.items()}


PAIRS: dict[str, Pair] = _read_table()
_FILES = ("config.json", "modules.json", "open_clip_model.safetensors", "open_clip_pytorch_model.bin")
_WEIGHTS = (".safetensors", ".bin")


def is_cached(pair: Pair) -> bool:
    """Return whether the hub's local cache has the weights of both towers; no network is used."""
    # takes a third of a second, and every command reads this
    from huggingface_hub import try_to_load_from_cache

    def has_weights(repository: str) -> bool:
        found = (try_to_load_from_cache(repository, file) for file in _FILES)
        folders = {Path(file).parent for file in found if isinstance(file, str)}
        # a download that was interrupted, or that of a tokenizer, leaves `config.json` alone
        return any(path.suffix in _WEIGHTS and path.exists() for folder in folders for path in folder.iterdir())

    return all(map(has_weights, pair.repositories))


def warn_of_licence(name: str) -> None:
    """Log a warning if the terms of the tower `name` forbid commercial use."""
    if _FORBIDDEN.fullmatch(name):
        logger.warning("%s is published under CC-BY-NC-4.0: no commercial use of it or of adapters on it", name)
