"""Time and memory of training by number of pairs and languages: `python benchmarks/streaming.py [--json]`.

Generated pairs of 4 to 31 tokens are in files (`TokenStore`; with --frozen also `Embeddings`). The
mini tower trains on them with LoRA, 8 pairs of each language per step, one slot per language. Each
number of pairs (with one language) and of languages (with the fewest pairs) has its own process. It
reports the peak of anonymous memory after any step (RssAnon: memory that the system cannot drop,
unlike pages of files), the size of the files, and CPU seconds on one thread for writing and for the
fastest step. Only the order of an epoch grows with the pairs: 4 bytes each.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

from text_files import anonymous_mib, in_own_process

BATCH, MADE = 8, 1_000


def measure(folder: Path, pairs: int, languages: int, steps: int, frozen: bool) -> dict[str, float]:
    """Train on pairs of each language in files; return times and memory."""
    import torch
    from figures import seconds

    import pecl
    from pecl.training.losses import Objective, RouteLoss
    from pecl.training.slot_run import Rows, SlotRun
    from pecl.training.trainer import Schedule, Trainer

    torch.set_num_threads(1)
    torch.manual_seed(0)
    made = [torch.randint(5, 200_000, (4 + i % 28,)).tolist() for i in range(MADE)]
    runs: list[SlotRun] = []

    def write() -> None:
        for language in range(languages):
            query = pecl.TokenStore.write(folder / f"{language}.query", islice(cycle(made), pairs))
            if frozen:
                anchor: pecl.TokenStore | pecl.Embeddings = pecl.Embeddings.write(folder / f"{language}", rows(pairs))
            else:
                anchor = pecl.TokenStore.write(folder / f"{language}.anchor", islice(cycle(made[::-1]), pairs))
            loss = RouteLoss(Objective(image_weight=0.0))
            runs.append(SlotRun(Rows.of_route(query, anchor), loss, 1e-4, seed=language, slot=language))

    writing = seconds(write)
    tower = pecl.load_text_encoder("mini")
    adapter = pecl.attach(tower, pecl.parse_adapter("lora"), seeds=range(languages))
    trainer = Trainer(adapter, runs, Schedule(1, BATCH, pairs), lambda slots: [0.0] * len(slots))
    fastest = float("inf")
    most = 0.0
    for _ in range(steps):
        fastest = min(fastest, seconds(trainer.train_step))
        most = max(most, anonymous_mib())

    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    return {"anonymous_mib": most, "files_mib": size, "seconds_to_write": writing, "seconds_a_step": fastest}


def rows(pairs: int) -> Iterator[object]:
    """Yield generated embeddings, 256 wide."""
    import torch

    block = torch.randn(MADE, 256)
    for start in range(0, pairs, MADE):
        yield block[: pairs - start]


def numbers(text: str) -> list[int]:
    """Parse a list of numbers with commas."""
    return [int(number) for number in text.split(",")]


def main() -> None:
    """Print the figures per number of pairs and of languages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=numbers, default="1000,10000,100000", metavar="N,N")
    parser.add_argument("--languages", type=numbers, default="1,4,12", metavar="N,N")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--frozen", action="store_true", help="read anchors as embeddings from a file, not as texts")
    parser.add_argument("--json", action="store_true")
    parsed = parser.parse_args()
    least = (min(parsed.pairs), 1)

    sizes = dict.fromkeys([*((pairs, 1) for pairs in parsed.pairs), *((least[0], n) for n in parsed.languages)])
    rows = []
    for pairs, languages in sizes:
        measured = in_own_process(measure, pairs, languages, parsed.steps, parsed.frozen)
        rows.append({"pairs": pairs, "languages": languages, **measured})
        if not parsed.json:
            print("  ".join(f"{name} {value:,.2f}".replace(".00", "") for name, value in rows[-1].items()), flush=True)

    if parsed.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
