"""What mixed-language batches and further languages cost: `python benchmarks/bank.py [--json]`, under a minute.

Three questions, answered on the mini text tower with captions of the `scenes` data set:

- speed: 4 languages x 16 captions in one mixed batch through the bank, against four passes of one language each;
- equality: the largest difference between the two, over all embeddings;
- memory and time: 12 languages in the bank against one.

The parameters are random: neither time nor memory depends on their values.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from pecl.adapters.bank import AdapterBank
from pecl.data.scenes import load_scenes
from pecl.encoders.loading.mini import load_mini_text
from pecl.languages import LANGUAGES

MIXED = ("de", "fr", "ru", "zh")
CAPTIONS = 16  # a language


def random_state(bank: AdapterBank, seed: int) -> dict[str, torch.Tensor]:
    """Return random parameters for one language of the bank."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: 0.02 * torch.randn(parameter.shape[1:], generator=generator)
        for name, parameter in bank.adapter.named_parameters()
    }


def fastest(first: Callable[[], Any], second: Callable[[], Any], repeats: int) -> tuple[float, float]:
    """Return the least seconds of both, run in turn: other work on the machine only ever adds to a time."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for function, times in zip((first, second), seconds, strict=True):
            start = time.perf_counter()
            function()
            times.append(time.perf_counter() - start)
    return min(seconds[0]), min(seconds[1])


def measure(adapter: str, repeats: int) -> dict[str, Any]:
    """Fill a bank with twelve languages, time it, and return the figures."""
    bank = AdapterBank(load_mini_text(), adapter)
    for seed, language in enumerate(LANGUAGES):
        bank.add(language, random_state(bank, seed))
    captions = {language: load_scenes(language, size=CAPTIONS).target for language in MIXED}
    texts = [text for language in MIXED for text in captions[language]]
    languages = [language for language in MIXED for _ in captions[language]]
    order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0)).tolist()

    def mixed() -> torch.Tensor:
        found = bank.encode_text([texts[i] for i in order], language=[languages[i] for i in order])
        return found[torch.tensor(order).argsort()]

    def separate() -> torch.Tensor:
        return torch.cat([bank.encode_text(captions[language], language=language) for language in MIXED])

    difference = float((mixed() - separate()).abs().max())
    mixed_seconds, separate_seconds = fastest(mixed, separate, repeats)
    report = bank.memory_report()
    return {
        "adapter": adapter,
        "threads": torch.get_num_threads(),
        "captions": len(texts),
        "mixed_ms": 1e3 * mixed_seconds,
        "separate_ms": 1e3 * separate_seconds,
        "speedup": separate_seconds / mixed_seconds,
        "largest_difference": difference,
        "languages": len(bank),
        "tower_mb": report.tower_bytes / 2**20,
        "language_mb": report.bytes_per_language / 2**20,
        "more_memory_than_one_language": (len(bank) - 1)
        * report.bytes_per_language
        / (report.tower_bytes + report.bytes_per_language),
        "add_ms": 1e3 * statistics.median(report.seconds.values()),
    }


def table(figures: dict[str, Any]) -> str:
    """Return the figures as text."""
    return "\n".join(
        [
            f"adapter {figures['adapter']}, mini text tower, {figures['threads']} threads, "
            f"{figures['captions']} captions in {len(MIXED)} languages",
            f"one mixed batch          {figures['mixed_ms']:8.1f} ms",
            f"one pass a language      {figures['separate_ms']:8.1f} ms   ({figures['speedup']:.2f} x the mixed batch)",
            f"largest difference       {figures['largest_difference']:8.1e}",
            f"tower                    {figures['tower_mb']:8.1f} MB",
            f"one language             {figures['language_mb']:8.2f} MB   (added in {figures['add_ms']:.1f} ms)",
            f"{figures['languages']} languages against one {figures['more_memory_than_one_language']:8.2%} more memory",
        ]
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--adapter", default="lora", help="what the languages hold (default: lora)")
    parser.add_argument("--repeats", type=int, default=20, help="timed runs of each (default: 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    figures = measure(arguments.adapter, arguments.repeats)
    print(json.dumps(figures, indent=2) if arguments.json else table(figures))


if __name__ == "__main__":
    main()
