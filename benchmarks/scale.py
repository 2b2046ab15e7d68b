"""Time and memory of large inputs: `python benchmarks/scale.py [--json] [PART ...]`, some minutes.

- evaluator: 50,000 texts against 50,000 gallery items, 256 wide, in both directions;
- report: all tables of 5,000 generated results with 1,000 test items each;
- store: 1,000 embeddings from a store of 1,000,000, 64 wide.

Each part runs in its own process. Peak memory is the kernel's count for that process, including
imports; `beyond_imports_mb` is the part after the imports.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from pecl.machine import process_peak_mb

PAIRS, WIDTH = 50_000, 256
RESULTS, ITEMS, VALIDATIONS = 5_000, 1_000, 100
STORED, STORED_WIDTH, READ = 1_000_000, 64, 1_000
BATCH = 10_000  # embeddings per addition to the store

Figures = dict[str, Any]


def measured(function: Callable[[], Any]) -> Figures:
    """Measure seconds and peak memory of `function`; its imports must be done."""
    before = process_peak_mb()
    started = time.perf_counter()
    function()
    seconds = time.perf_counter() - started
    peak = process_peak_mb()
    return {"seconds": seconds, "peak_mb": peak, "beyond_imports_mb": peak - before}


def evaluator(folder: Path) -> Figures:
    """Evaluate random embeddings."""
    import torch

    from pecl.retrieval.evaluator import RetrievalEvaluator

    torch.manual_seed(0)
    gallery = torch.randn(PAIRS, WIDTH)
    texts = gallery + 3 * torch.randn(PAIRS, WIDTH)

    return measured(lambda: RetrievalEvaluator(gallery, range(PAIRS))(texts))


def make_results(folder: Path) -> None:
    """Write trainings of 10 languages, 5 routes, 5 seeds and 20 learning rates with random ranks."""
    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import numpy as np
    from helpers.report_results import both, document

    from pecl.config.routes import ROUTES
    from pecl.data.scenes import scene_languages

    generator = np.random.default_rng(0)
    languages = [code for code in scene_languages() if code != "en"][:10]
    folder.mkdir()

    for i in range(RESULTS):
        language = languages[i % 10]
        route = list(ROUTES)[i // 10 % 5]
        searched = {"seed": 1 + i // 50 % 5, "lr": 1e-3 / (1 + i // 250)}
        ranks = generator.integers(1, ITEMS + 1, (6, ITEMS)).tolist()
        states = {
            name: both(*ranks[j : j + 2]) for j, name in zip((0, 2, 4), ("zero_shot", "final", "best"), strict=True)
        }
        query = ROUTES[route][0]
        made = document("train", states, query=query, language=language, route=route, **searched)
        curve = [[step, 1 / step] for step in range(1, VALIDATIONS + 1)]
        made["curve"] = {"loss": curve, "val_mean_recall@1": curve}
        (folder / f"{made['run_id']}.json").write_text(json.dumps(made), encoding="utf-8")


def report(folder: Path) -> Figures:
    """Print all tables of the results in `folder`."""
    from pecl.cli import main
    from pecl.commands import report  # noqa: F401

    with contextlib.redirect_stdout(io.StringIO()):
        return measured(lambda: main(["report", str(folder / "results")]))


def names(places: Sequence[int]) -> list[str]:
    """Return the keys of embeddings."""
    return [f"key {index}" for index in places]


def fill_store(folder: Path) -> None:
    """Add all embeddings, batch by batch."""
    import torch

    from pecl.encoders.store import EmbeddingStore

    def compute(places: list[int]) -> Iterator[tuple[list[int], torch.Tensor]]:
        for start in range(0, len(places), BATCH):
            batch = places[start : start + BATCH]
            yield batch, torch.tensor(batch).float().unsqueeze(1).expand(-1, STORED_WIDTH)

    EmbeddingStore("tower", folder).get(names(range(STORED)), compute)


def store(folder: Path) -> Figures:
    """Read embeddings spread over the whole store in `folder`."""
    from pecl.encoders.store import EmbeddingStore

    def refuse(places: list[int]) -> Any:
        raise AssertionError(f"{len(places)} embeddings are missing")

    places = range(0, STORED, STORED // READ)

    def read() -> None:
        embeddings = EmbeddingStore("tower", folder).get(names(places), refuse)
        assert embeddings[:, 0].tolist() == list(places)

    return measured(read)


# part -> (function that writes its input, or None; function to measure)
PARTS: dict[str, tuple[Callable[[Path], None] | None, Callable[[Path], Figures]]] = {
    "evaluator": (None, evaluator),
    "report": (lambda folder: make_results(folder / "results"), report),
    "store": (fill_store, store),
}


def in_own_process(part: str, step: int, folder: Path) -> Any:
    """Run a step of a part in a fresh process and return its figures."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_carry_out, part, step, folder).result()


def _carry_out(part: str, step: int, folder: Path) -> Figures | None:
    function = PARTS[part][step]
    return function and function(folder)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"some of {', '.join(PARTS)} (default: all)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    arguments = parser.parse_args()
    unknown = set(arguments.parts) - PARTS.keys()
    if unknown:
        parser.error(f"no part {min(unknown)}: expected one of {', '.join(PARTS)}")

    figures = {}
    for part in arguments.parts or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            in_own_process(part, 0, Path(folder))
            figures[part] = in_own_process(part, 1, Path(folder))

    if arguments.json:
        print(json.dumps(figures, indent=2))
        return

    for part, figure in figures.items():
        print(
            f"{part:10} {figure['seconds']:7.1f} s   peak {figure['peak_mb']:6.0f} MiB, "
            f"{figure['beyond_imports_mb']:.0f} MiB of it beyond imports"
        )


if __name__ == "__main__":
    main()
