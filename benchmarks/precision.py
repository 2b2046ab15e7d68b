"""A training step and encoding in bf16, compared with fp32: mini text tower with LoRA, captions of drawn scenes."""

from __future__ import annotations

from functools import partial

import torch
from figures import Figure, fastest, text_tower

from pecl.adapters.adapter import attach
from pecl.adapters.spec import parse_adapter
from pecl.data.scenes import load_scenes
from pecl.encoders.batches import TokenIds
from pecl.encoders.text import MultilingualTextEncoder
from pecl.machine import BF16, FP32, resolve_precision

PAIRS = (5, 32)  # per step; each pair has two captions


def step(tower: MultilingualTextEncoder, token_ids: TokenIds, pairs: int) -> None:
    """Run the first captions forward and backward, with dropout."""
    batch = tower.pad(token_ids, range(2 * pairs))
    tower.train()
    tower(batch.input_ids, batch.attention_mask).square().mean().backward()
    tower.eval()
    tower.zero_grad(set_to_none=True)


def measure(small: bool, device: str) -> list[Figure]:
    """Compare the time in fp32 to bf16, and the embeddings."""
    towers = {name: text_tower(device, name) for name in (FP32, BF16)}
    data = load_scenes("de", size=20 if small else 300)
    token_ids = towers[FP32].tokenize([text for pair in zip(data.target, data.english, strict=True) for text in pair])
    embeddings = [tower.encode_token_ids(token_ids) for tower in towers.values()]
    adapters = [attach(tower, parse_adapter("lora")) for tower in towers.values()]
    is_fast = resolve_precision("auto", device) == BF16
    work = {
        f"training step of {pairs} pairs": lambda tower, pairs=pairs: step(tower, token_ids, pairs)
        for pairs in (PAIRS[:1] if small else PAIRS)
    }

    work[f"encoding {len(token_ids)} captions"] = lambda tower: tower.encode_token_ids(token_ids)
    figures = []
    for name, function in work.items():
        ways = {precision: partial(function, tower) for precision, tower in towers.items()}
        took = fastest(ways, 2 if small else 8)
        floor = 1.2 if is_fast else None
        figures.append(Figure(f"{name}, bf16 against fp32", took[FP32] / took[BF16], floor=floor, details=took))

    for adapter in adapters:
        adapter.remove()

    nearest = float(torch.nn.functional.cosine_similarity(*embeddings).min())
    figures.append(Figure("least cosine of an embedding in bf16 with its own in fp32", nearest, "", floor=0.999))
    return figures
