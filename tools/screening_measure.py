"""Collect the runs of docs/screening.md, and measure what a training does not record: sizes, English, costs.

    python tools/screening_measure.py [FOLDER]

Reads the runs of `tools/screening.py` in one folder. It writes into the folder of the committed results:

- the results with the chosen learning rates, of all seeds, and those of methods that failed with every rate;
- `rates.json`: the score on held-out text, and R@1, with each learning rate;
- `measures.json`: for each adapter of the first language the bytes of its file, the recall of English captions through
  it, and, in CPU seconds of one thread, a training step and single queries, with the adapter attached and merged.

Each adapter is measured in a process of its own, so its memory is its own. Adapters that are measured already are
skipped.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import screening
import torch
from marked import MEASURED, keep, without_local_folders

from pecl.adapters.adapter import Adapter, attach
from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.merge import merge_slot
from pecl.adapters.spec import parse_adapter
from pecl.config import make_config
from pecl.encoders.batches import TokenIds
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import PeclError
from pecl.experiment.frozen import embed_images
from pecl.experiment.inputs import Inputs, read_evaluation
from pecl.experiment.towers import towers_of
from pecl.files import load_json, write_json
from pecl.machine import process_peak_mb
from pecl.results.result import Result, collect_runs
from pecl.retrieval.evaluator import RetrievalEvaluator

CAPTIONS = 250  # English captions, which search among their own photographs
QUERIES = 12
STEPS = 4
BATCH = 16
ENGLISH = {"dataset": "multi30k-1k", "language": "en", "route": "baseline1", "precision": "fp32", "threads": 1}


def chosen_of(runs: Mapping[float, Result]) -> Result:
    """Return the run whose rate held-out text chose, or the failed one with the smallest rate."""
    rate = screening.chosen_rate(list(runs.values()))
    return runs[min(runs) if rate is None else rate]


def write_runs(folder: Path, out: Path) -> dict[str, Result]:
    """Copy the chosen results and write `rates.json`; return the chosen runs of the first language by method.

    Results and rates that are in `out` already count as well: runs may come from several machines.
    """
    results = {result.run_id: result for result in collect_runs([folder, out])}
    seeds = screening.by_setting(results.values())
    path_of_rates = out / "rates.json"
    rates: dict[str, dict[str, Any]] = load_json(path_of_rates) if path_of_rates.is_file() else {}
    chosen: dict[str, Result] = {}
    kept: dict[str, Result] = {}
    passed_over: set[str] = set()  # run ids; some were chosen before another rate was tried
    for stage in screening.stages(*screening.table_of(folder)):
        runs = screening.runs_of(stage, results)
        if not runs:
            continue
        run = chosen_of(runs)
        passed_over |= {result.run_id for result in runs.values() if result is not run}
        of_seeds = [run] if run.status != "complete" else seeds[screening.setting_of(run)]
        kept |= {result.run_id: result for result in of_seeds}
        if stage.language == screening.FIRST:
            chosen[stage.method.name] = run
        if stage.language == screening.FIRST or len(runs) > 1:
            recorded = rates.setdefault(stage.language, {}).setdefault(stage.method.name, {})
            recorded |= {f"{rate:g}": _score(runs[rate]) for rate in runs}
            rates[stage.language][stage.method.name] = dict(sorted(recorded.items(), key=lambda item: float(item[0])))
    write_json(path_of_rates, rates)
    documents = [without_local_folders(result, f"results/methods/{out.name}") for result in kept.values()]
    keep(out, documents, without=passed_over)
    return chosen


def _score(run: Result) -> dict[str, float] | None:
    """Return held-out score and R@1 of the last weights; None if the run failed."""
    if run.status != "complete":
        return None
    return {"held_out": run.curve.val_mean_recall_at_1[-1][1], "recall": run.recall(stage="final")}


@dataclass(frozen=True)
class English:
    """English captions and the evaluator of their embeddings among their photographs."""

    token_ids: TokenIds
    evaluator: RetrievalEvaluator

    def recall(self, tower: MultilingualTextEncoder) -> float:
        """Return R@1, the mean of both directions."""
        return self.evaluator(tower.encode_token_ids(self.token_ids)).mean_recall_at_1


def read_english(inputs: Inputs) -> English:
    """Return the first English captions and their photographs."""
    images = embed_images(inputs)[inputs.gallery_items("test")][:CAPTIONS]
    evaluator = RetrievalEvaluator(images, range(CAPTIONS), "images")
    return English(inputs.tokens("test")[:CAPTIONS], evaluator)


def measure(path: Path, tower: MultilingualTextEncoder, english: English) -> dict[str, Any]:
    """Return all measurements of an adapter file."""
    file = load_adapter_file(path, tower)
    token_ids = english.token_ids
    english.recall(tower)  # all that the base encoder needs is in memory now
    Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins here
    before = process_peak_mb()
    adapter = attach(tower, file.configs, seeds=[1])
    with tower.caching([token_ids]):
        seconds = _step_seconds(adapter, token_ids)
        memory = process_peak_mb() - before
        adapter.load_slot_state(0, file.state)
        recall = english.recall(tower)
    measured = {"bytes": path.stat().st_size, "step_seconds": seconds, "step_mib": memory, "english": recall}
    return measured | _queries_per_second(adapter, token_ids)


def _step_seconds(adapter: Adapter, token_ids: TokenIds) -> float:
    """Return the CPU seconds of a training step: the least of some."""
    tower = adapter.tower
    adapter.choose(0, [token_ids])
    adapter.begin(100)
    optimizer = torch.optim.AdamW(adapter.parameters(), lr=1e-4)
    batch = tower.pad(token_ids, range(BATCH))
    seconds = []
    for step in range(STEPS):
        start = time.process_time()
        optimizer.zero_grad()
        loss = tower(batch.input_ids, batch.attention_mask).square().mean() + adapter.penalty()
        loss.backward()
        optimizer.step()
        adapter.after_step(step)
        seconds.append(time.process_time() - start)
    return min(seconds)


def _queries_per_second(adapter: Adapter, token_ids: TokenIds) -> dict[str, float | None]:
    """Return single queries per CPU second, by turns, with the adapter attached and merged; None if it cannot merge."""
    towers = {"attached": adapter.tower}
    with contextlib.suppress(PeclError):
        towers["merged"] = merge_slot(adapter, 0)

    seconds = dict.fromkeys(towers, 0.0)
    for number, row in enumerate(token_ids[: QUERIES + 1]):
        for name, tower in towers.items():
            start = time.process_time()
            tower.encode_token_ids([row])
            if number > 0:  # the first warms up
                seconds[name] += time.process_time() - start
    return {name: QUERIES / seconds[name] if name in seconds else None for name in ("attached", "merged")}


def in_a_process(path: Path, tower: MultilingualTextEncoder, english: English) -> dict[str, Any]:
    """Return the measurements of an adapter file, from a copy of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = measure(path, tower, english)
        except Exception as error:  # recorded, and the other adapters follow
            answer = {"error": f"{type(error).__name__}: {error}"}
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"error": "its process died"}


def main() -> None:
    """Measure the adapters that have no measurements yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = screening.folder_of(screening.FEW, screening.BUDGETS[0], "top-2")
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    folder: Path = parser.parse_args().folder
    path = MEASURED / "methods" / folder.name / "measures.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)

    config = make_config(ENGLISH)
    towers = towers_of(config)
    english = read_english(read_evaluation(config, towers))
    measures: dict[str, Any] = load_json(path) if path.is_file() else {}
    if "plain" not in measures:
        measures["plain"] = {"english": english.recall(towers.text)}

    # The children share the states of the layers below the adapters
    adapter = attach(towers.text, parse_adapter("layernorm:layers=top-2"))
    with towers.text.caching([english.token_ids]):
        pass
    adapter.remove()

    while pending := not_measured(write_runs(folder, path.parent), measures):
        name, run = pending[0]
        record = in_a_process(run.adapter_path, towers.text, english)
        measures[name] = {"run_id": run.run_id, **record}
        write_json(path, measures)
        print(name, record, flush=True)


def not_measured(chosen: Mapping[str, Result], measures: Mapping[str, Any]) -> list[tuple[str, Result]]:
    """Return the chosen runs without measurements, whose adapters are on this machine."""
    complete = [(name, run) for name, run in chosen.items() if run.status == "complete" and run.adapter_path.is_file()]
    return [(name, run) for name, run in complete if measures.get(name, {}).get("run_id") != run.run_id]


if __name__ == "__main__":
    main()
