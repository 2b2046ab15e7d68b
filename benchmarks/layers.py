"""A training step and encoding with LoRA in the topmost layers, compared with all 12: mini text tower, drawn scenes."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial

from figures import Figure, fastest, text_tower

from pecl.adapters.adapter import attach
from pecl.adapters.merge import second_tower
from pecl.adapters.spec import parse_adapter
from pecl.data.scenes import load_scenes
from pecl.encoders.batches import TokenIds
from pecl.encoders.text import MultilingualTextEncoder

PAIRS = (5, 32)  # per step; each pair has two captions
ALL = "all layers"


def step(tower: MultilingualTextEncoder, token_ids: TokenIds, pairs: int, dropout: bool) -> None:
    """Run the first captions forward and backward."""
    batch = tower.pad(token_ids, range(2 * pairs))
    tower.train(dropout)
    tower(batch.input_ids, batch.attention_mask).square().mean().backward()
    tower.eval()
    tower.zero_grad(set_to_none=True)


def measure(small: bool, device: str) -> list[Figure]:
    """Compare the time with LoRA in all layers to LoRA in the topmost 6 and 3."""
    plain = text_tower(device)
    data = load_scenes("de", size=20 if small else 300)
    captions = [text for pair in zip(data.target, data.english, strict=True) for text in pair]
    texts = plain.tokenize(captions)
    cached_ways = ("top-3, kept",) if small else ("top-6, kept", "top-3, kept")
    towers = {name: second_tower(plain) for name in (ALL, *(() if small else ("top-6", "top-3")), *cached_ways)}
    work = {f"step of {n} pairs": partial(step, token_ids=texts, pairs=n, dropout=False) for n in PAIRS[: 2 - small]}
    work[f"encoding {len(texts)} captions"] = lambda tower: tower.encode_token_ids(texts)
    if not small:
        work["step of 5 pairs, with dropout"] = partial(step, token_ids=texts, pairs=5, dropout=True)

    figures = []
    with ExitStack() as entered:
        for name, tower in towers.items():
            attach(tower, parse_adapter("lora", layers=None if name == ALL else name.partition(",")[0]))
            if name in cached_ways:
                entered.enter_context(tower.caching([texts]))

        for what, function in work.items():
            ways = {name: partial(function, tower) for name, tower in towers.items()}
            if "dropout" in what:  # nothing is cached with dropout
                ways = {name: way for name, way in ways.items() if name not in cached_ways}
            took = fastest(ways, 2 if small else 8)
            for name in (name for name in ways if name != ALL):
                floor = 2.0 if name == "top-3, kept" else None
                figures.append(Figure(f"{what}, LoRA in {name}", took[ALL] / took[name], floor=floor, details=took))

    return figures
