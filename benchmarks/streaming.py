"""Memory of a training against its pairs: `python benchmarks/streaming.py [--json] [--pairs 10000,1000000] [--frozen]`.

Made pairs of 4 to 31 tokens lie in files (`TokenStore`, and `Embeddings` with --frozen), and the mini tower is trained
on them with LoRA, 64 pairs a step. Each number of pairs has a process of its own, which reports the most anonymous
memory that it had after any step (RssAnon: what the system cannot drop; pages of files, which it can, are left out) and
the size of the files. The order of an epoch is the one thing that grows with the pairs: 4 bytes each.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

BATCH, MADE = 64, 1_000


def anonymous_mib() -> float:
    """Return the anonymous memory of this process, in MiB."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")) / 2**10


def measure(pairs: int, steps: int, frozen: bool, folder: Path) -> dict[str, float]:
    """Train on so many pairs in files, and return what it took."""
    import torch

    import pecl
    from pecl.training.losses import AlignmentObjective
    from pecl.training.trainer import AlignmentTrainer, Schedule, SlotTask

    torch.manual_seed(0)
    made = [torch.randint(5, 200_000, (4 + i % 28,)).tolist() for i in range(MADE)]
    started = time.perf_counter()
    query = pecl.TokenStore.write(folder / "query", islice(cycle(made), pairs))
    if frozen:
        anchor: pecl.TokenStore | pecl.Embeddings = pecl.Embeddings.write(folder / "anchor", rows(pairs))
    else:
        anchor = pecl.TokenStore.write(folder / "anchor", islice(cycle(made[::-1]), pairs))
    written = time.perf_counter() - started
    tower = pecl.load_text_encoder("mini")
    adapter = pecl.attach(tower, pecl.parse_adapter("lora"), seeds=[1])
    task = SlotTask(query, anchor, None, AlignmentObjective(image_weight=0.0), 1e-4, 1)
    trainer = AlignmentTrainer(tower, adapter, [task], Schedule(1, BATCH, pairs), lambda: [0.0])
    started, most = time.perf_counter(), 0.0
    for _ in range(steps):
        trainer.train_step()
        most = max(most, anonymous_mib())
    seconds = (time.perf_counter() - started) / steps
    size = sum(path.stat().st_size for path in folder.iterdir()) / 2**20
    return {"anonymous_mib": most, "files_mib": size, "seconds_to_write": written, "seconds_a_step": seconds}


def rows(pairs: int) -> Iterator[object]:
    """Yield made embeddings, 256 wide."""
    import torch

    block = torch.randn(MADE, 256)
    for start in range(0, pairs, MADE):
        yield block[: pairs - start]


def main() -> None:
    """Print the figures of each number of pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", default="10000,100000,1000000")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--frozen", action="store_true", help="anchors are embeddings in a file, not texts")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    if parsed.one is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(measure(parsed.one, parsed.steps, parsed.frozen, Path(folder))))
        return
    found = {}
    for pairs in map(int, parsed.pairs.split(",")):
        command = [sys.executable, __file__, "--one", str(pairs), "--steps", str(parsed.steps)]
        done = subprocess.run([*command, *["--frozen"] * parsed.frozen], capture_output=True, text=True, check=True)
        found[pairs] = json.loads(done.stdout.splitlines()[-1])
        if not parsed.json:
            print(f"{pairs:>12,} pairs  " + "  ".join(f"{name} {value:,.2f}" for name, value in found[pairs].items()))
    if parsed.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
