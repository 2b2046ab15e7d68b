"""Encoding captions: pecl compared with a plain padded loop of transformers and with sentence-transformers' `encode`.

All three use the weights of the mini text tower. The plain loop takes batches of 100 in the order
of the captions, padded to the longest. sentence-transformers encodes the exported tower in its own
batches, sorted by length; the small figures leave it out, because its import and the export take
longer than they do. The three alternate, part by part of the captions. The share of the peak counts
only the operations of real tokens.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from figures import Figure, by_turns, text_tower
from peak import gflops
from torch.nn.utils.rnn import pad_sequence

from pecl.apps.export.folders import save_text_encoder
from pecl.data.registry import load_dataset
from pecl.data.scenes import load_scenes, scene_languages
from pecl.encoders.text import MultilingualTextEncoder
from pecl.machine import BF16, FP32, resolve_precision

BATCH = 100  # captions of the plain loop
PARTS = 11


def captions(small: bool) -> list[str]:
    """Return XTD10's captions, 1,000 in each of eleven languages; if small or without its files, those of scenes."""
    folder = os.environ.get("PECL_DATA_DIR")
    if small or not folder or not (Path(folder) / "xtd10").is_dir():
        size = 6 if small else 1000
        return [text for language in scene_languages()[:PARTS] for text in load_scenes(language, size=size).target]
    codes = ("de", "es", "fr", "it", "jp", "ko", "pl", "ru", "tr", "zh")
    sets = {code: load_dataset("xtd10", code, data_dir=folder) for code in codes}
    return [*sets["de"].english, *(text for data in sets.values() for text in data.target)]


def plain_loop(tower: MultilingualTextEncoder) -> Callable[[Sequence[str]], torch.Tensor]:
    """Return a function that encodes captions with plain transformers."""
    backbone = tower.written_backbone()

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> torch.Tensor:
        embeddings = []
        for start in range(0, len(texts), BATCH):
            rows = [torch.tensor(row) for row in tower.tokenize(texts[start : start + BATCH])]
            ids = pad_sequence(rows, batch_first=True, padding_value=tower.tokenizer.pad_token_id)
            mask = pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
            inputs = {"input_ids": ids.to(tower.device), "attention_mask": mask.to(tower.device)}
            hidden = backbone(**inputs).last_hidden_state  # (B, L, d)
            mask = inputs["attention_mask"].unsqueeze(-1)  # (B, L, 1)
            embeddings.append(tower.head((hidden * mask).sum(1) / mask.sum(1)).cpu())

        return torch.cat(embeddings)

    return encode


def operations(tower: MultilingualTextEncoder, texts: Sequence[str]) -> float:
    """Count the operations for the real tokens of `texts`: linear layers, attention scores and weighted sums."""
    lengths = torch.tensor([len(row) for row in tower.tokenize(texts)], dtype=torch.float64)
    linear = sum(m.weight.numel() for m in tower.backbone.modules() if isinstance(m, torch.nn.Linear))
    config: Any = tower.backbone.config
    attention = 2 * config.num_hidden_layers * config.hidden_size
    return float(2 * linear * lengths.sum() + 2 * attention * lengths.square().sum())


def library_encode(tower: MultilingualTextEncoder, device: str) -> Callable[[Sequence[str]], Any]:
    """Return the `encode` of sentence-transformers on the exported tower."""
    from sentence_transformers import SentenceTransformer

    with tempfile.TemporaryDirectory() as folder:
        save_text_encoder(tower, Path(folder) / "tower")
        library = SentenceTransformer(str(Path(folder) / "tower"), device=device)
    return lambda part: library.encode(list(part), show_progress_bar=False)


def measure(small: bool, device: str) -> list[Figure]:
    """Measure the ratios and shares in fp32 and in bf16."""
    texts = captions(small)
    tower, lower = (text_tower(device, precision) for precision in (FP32, BF16))
    ours: dict[str, Callable[[Any], Any]] = {FP32: tower.encode_text, BF16: lower.encode_text}
    others: dict[str, Callable[[Any], Any]] = {"a plain loop of transformers": plain_loop(tower)}
    if not small:
        others["sentence-transformers"] = library_encode(tower, device)

    ways = ours | others
    for way in ways.values():
        way(texts[:8])

    size = -(-len(texts) // (2 if small else PARTS))
    parts = [texts[start : start + size] for start in range(0, len(texts), size)]
    took = by_turns(ways, parts)
    peaks = {name: gflops(dtype, device) for name, dtype in ((FP32, torch.float32), (BF16, torch.bfloat16))}
    difference = float((plain_loop(tower)(texts[:50]) - tower.encode_text(texts[:50], normalize=False)).abs().max())
    work = operations(tower, texts)
    details = {"captions": len(texts), "seconds": took, "gflop": work / 1e9, "difference": difference, "peak": peaks}

    figures = []
    for precision in ours:
        floor = None
        if resolve_precision("auto", device) == precision or precision == FP32:
            floor = 0.9
        for other in others:
            name = f"{len(texts)} captions, pecl in {precision} against {other}"
            ratio = took[other] / took[precision]
            figures.append(Figure(name, ratio, wanted=">= 2", floor=floor, details=details))
        share = work / took[precision] / 1e9 / peaks[precision]
        figures.append(Figure(f"share of the {precision} peak", share, "share", wanted=">= 60 %", details=details))

    return figures
