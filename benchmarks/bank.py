"""Cost of mixed-language batches and of more languages: `python benchmarks/bank.py [--json]`, under a minute.

Measures on the mini text tower with captions of `scenes`:

- speed: 4 languages x 16 captions in one mixed batch through the bank, compared with four passes of one language each;
- equality: the largest difference between the two, over all embeddings;
- memory and time: 12 languages in the bank, compared with one.

`benchmarks/run.py` measures 4, 8 and 12 languages and 16 to 1,024 captions. The parameters are
random, because neither time nor memory depends on their values.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from typing import Any

import torch
from figures import Figure, fastest, text_tower

from pecl.adapters.bank import AdapterBank
from pecl.data.scenes import load_scenes, scene_languages

MIXED = ("de", "fr", "ru", "zh")
CAPTIONS = 16  # per language
# languages, total captions
SIZES = ((4, 16), (4, 64), (8, 64), (12, 48), (12, 240), (4, 1024), (12, 1020))


def random_state(bank: AdapterBank, seed: int) -> dict[str, torch.Tensor]:
    """Return random parameters for one language of the bank."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.02 * torch.randn(parameter.shape[1:], generator=generator)
        for name, parameter in bank.single().adapter.named_parameters()
    }


def filled(adapter: str, device: str = "cpu", seconds: list[float] | None = None) -> AdapterBank:
    """Return a bank of twelve languages; `seconds` receives the time to add each."""
    bank = AdapterBank(text_tower(device), adapter)
    for seed, language in enumerate(scene_languages()):
        state = random_state(bank, seed)
        start = time.perf_counter()
        bank.add(language, state)
        if seconds is not None:
            seconds.append(time.perf_counter() - start)

    return bank


def measure(small: bool, device: str) -> list[Figure]:
    """Return the speed of a mixed batch relative to one pass per language."""
    bank = filled("lora", device)
    figures = []
    for count, size in SIZES[:1] if small else SIZES:
        languages = list(scene_languages())[:count]
        repeats = 2 if small else min(10, max(3, 640 // size))
        result = times(bank, languages, size // count, repeats)
        name = f"{size} captions of {count} languages, one mixed batch against a pass a language"
        figures.append(Figure(name, result["speedup"], wanted=">= 1", floor=0.6, details=result))

    return figures


def times(
    bank: AdapterBank,
    mixed_languages: Sequence[str],
    each: int,
    repeats: int,
) -> dict[str, Any]:
    """Time `each` captions per language in one batch and in one pass per language."""
    captions = {language: load_scenes(language, size=each).target for language in mixed_languages}
    texts = [text for language in mixed_languages for text in captions[language]]
    languages = [language for language in mixed_languages for _ in captions[language]]
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0)).tolist()

    def mixed() -> torch.Tensor:
        embeddings = bank.encode_text([texts[i] for i in order], language=[languages[i] for i in order])
        return embeddings[torch.tensor(order).argsort()]

    def separate() -> torch.Tensor:
        return torch.cat([bank.encode_text(captions[language], language=language) for language in mixed_languages])

    difference = float((mixed() - separate()).abs().max())
    took = fastest({"mixed": mixed, "separate": separate}, repeats)

    return {
        "captions": len(texts),
        "mixed_ms": 1e3 * took["mixed"],
        "separate_ms": 1e3 * took["separate"],
        "speedup": took["separate"] / took["mixed"],
        "largest_difference": difference,
    }


def describe(adapter: str, repeats: int) -> dict[str, Any]:
    """Measure a batch of four languages, and the cost of twelve languages."""
    seconds: list[float] = []
    bank = filled(adapter, seconds=seconds)
    tower_bytes = sum(item.nbytes for item in [*bank.tower.parameters(), *bank.tower.buffers()])
    size = sum(item[0].nbytes for _, item in bank.single().adapter.named_tensors())
    return {
        "adapter": adapter,
        "threads": torch.get_num_threads(),
        **times(bank, MIXED, CAPTIONS, repeats),
        "languages": len(bank),
        "tower_mb": tower_bytes / 2**20,
        "language_mb": size / 2**20,
        "more_memory_than_one_language": (len(bank) - 1) * size / (tower_bytes + size),
        "add_ms": 1e3 * statistics.median(seconds),
    }


def table(figures: dict[str, Any]) -> str:
    """Format the figures as text."""
    return "\n".join(
        [
            f"adapter {figures['adapter']}, mini text tower, {figures['threads']} threads, "
            f"{figures['captions']} captions in {len(MIXED)} languages",
            f"one mixed batch          {figures['mixed_ms']:8.1f} ms",
            f"one pass per language    {figures['separate_ms']:8.1f} ms   ({figures['speedup']:.2f} x the mixed batch)",
            f"largest difference       {figures['largest_difference']:8.1e}",
            f"tower                    {figures['tower_mb']:8.1f} MB",
            f"one language             {figures['language_mb']:8.2f} MB   (added in {figures['add_ms']:.1f} ms)",
            f"{figures['languages']} languages against one {figures['more_memory_than_one_language']:8.2%} more memory",
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", default="lora", help="adapter of each language (default: lora)")
    parser.add_argument("--repeats", type=int, default=20, help="timed runs of each (default: 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    figures = describe(arguments.adapter, arguments.repeats)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
