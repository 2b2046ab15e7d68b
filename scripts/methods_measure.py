"""Measure what a training does not record, for the adapters in docs/methods.md: sizes, English, costs.

    python scripts/methods_measure.py [FOLDER]

Reads the runs of `scripts/methods.py` in one folder, and for each adapter the best one of the first language: the bytes of
its file, recall of English captions through it, and, in CPU seconds of one thread, a training step and single queries, with
the adapter attached and merged. Each adapter has a process of its own, so its memory is its own. Writes `measures.json`
into the folder of the committed results; adapters that it has already are skipped.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

import methods
import torch
from marked import MEASURED

import pecl
from pecl.adapters.adapter import Adapter, attach
from pecl.adapters.formats.files import AdapterFile, load_adapter_file
from pecl.adapters.merge import merge_slot
from pecl.adapters.spec import parse_adapter
from pecl.config import make_config
from pecl.encoders.batches import TokenIds
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import PeclError
from pecl.experiment.frozen import embed_queries_plain, make_evaluator
from pecl.experiment.inputs import Inputs, read_evaluation
from pecl.experiment.run import towers_of
from pecl.files import load_json, write_json
from pecl.machine import process_peak_mb
from pecl.results.result import Result, collect

QUERIES = 24
STEPS = 4
BATCH = 16
ENGLISH = {"dataset": "multi30k-1k", "language": "en", "route": "baseline1", "precision": "fp32", "threads": 1}


def chosen_runs(folder: Path) -> dict[str, Result]:
    """Return the run of each adapter in the first language whose learning rate held-out text chose."""
    by_spec: dict[str, list[Result]] = {}
    for result in collect([folder]):
        if result.status == "complete" and (result.config.language, result.config.seed) == (methods.FIRST, 1):
            by_spec.setdefault(result.adapter.spec, []).append(result)
    rates = {spec: methods.chosen_rate(results) for spec, results in by_spec.items()}
    return {spec: next(run for run in runs if run.config.lr == rates[spec]) for spec, runs in by_spec.items()}


def measure(path: Path, tower: MultilingualTextEncoder, english: Inputs) -> dict[str, Any]:
    """Return all measurements of an adapter file."""
    file = load_adapter_file(path, tower)
    evaluator = make_evaluator(english, "test")
    token_ids = english.tokens("test")
    start = process_peak_mb()
    adapter = attach(tower, file.configs, seeds=[1])
    measured = {"bytes": path.stat().st_size, "step_seconds": _step_seconds(adapter, token_ids)}
    measured["step_mib"] = process_peak_mb() - start
    adapter.load_slot_state(0, file.state)

    with tower.caching([token_ids]):
        embeddings = tower.encode_token_ids(token_ids)
    measured["english"] = evaluator(embeddings).mean_recall_at_1
    return measured | _queries_per_second(adapter, file, token_ids)


def _step_seconds(adapter: Adapter, token_ids: TokenIds) -> float:
    """Return the CPU seconds of a training step without cached layers: the least of some."""
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


def _queries_per_second(adapter: Adapter, file: AdapterFile, token_ids: TokenIds) -> dict[str, float | None]:
    """Return single queries per CPU second, by turns, with the adapter attached and merged; None if it cannot merge."""
    towers = {"attached": adapter.tower}
    try:
        towers["merged"] = merge_slot(adapter, 0)
    except PeclError:
        pass
    seconds = dict.fromkeys(towers, 0.0)
    for row in token_ids[: QUERIES + 1]:
        for name, tower in towers.items():
            start = time.process_time()
            tower.encode_token_ids([row])
            seconds[name] += time.process_time() - start if row is not token_ids[0] else 0.0  # the first warms up
    return {name: QUERIES / seconds[name] if name in seconds else None for name in ("attached", "merged")}


def in_a_process(path: Path, tower: MultilingualTextEncoder, english: Inputs) -> dict[str, Any]:
    """Return the measurements of an adapter file, from a copy of this process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            Path("/proc/self/clear_refs").write_text("5")  # its peak of memory begins here
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
    default = methods.folder_of(methods.FEW, methods.BUDGETS[0], "top-2")
    parser.add_argument("folder", type=Path, nargs="?", default=default)
    folder: Path = parser.parse_args().folder
    path = MEASURED / "methods" / folder.name / "measures.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)

    config = make_config(ENGLISH)
    towers = towers_of(config)
    english = read_evaluation(config, towers)
    token_ids = english.tokens("test")
    measures: dict[str, Any] = load_json(path) if path.is_file() else {}
    if "plain" not in measures:
        recall = make_evaluator(english, "test")(embed_queries_plain(english, "test")).mean_recall_at_1
        measures["plain"] = {"english": recall}

    # The children share the states of the layers below the adapters
    adapter = attach(towers.text, parse_adapter("layernorm:layers=top-2"))
    with towers.text.caching([token_ids]):
        pass
    adapter.remove()

    for spec, run in sorted(chosen_runs(folder).items()):
        if run.run_id not in {record.get("run_id") for record in measures.values()}:
            record = in_a_process(run.adapter_path, towers.text, english)
            measures[spec] = {"run_id": run.run_id, **record}
            write_json(path, measures)
            print(spec, record, flush=True)


if __name__ == "__main__":
    main()
