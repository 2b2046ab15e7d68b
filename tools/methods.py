"""Train the comparison of methods in docs/methods.md, resumably.

    python tools/methods.py [--parts main,placement,engines] [--methods lora,head] [--dry-run]

`configs/methods.yaml` has the fields of all runs, and `PLAN` the methods with their placements. Steps of each method:

1. Every language is trained with the four rates of `RATES` and the first seed. While the rate with the best held-out
   recall is the smallest or largest tried, the next rate beyond it is trained, too.
2. The other seeds are trained with the rate that held-out text chose for the language.
3. English captions are embedded through each adapter of the chosen rate.

Results and adapters lie in `results/methods/<part>`. The results of the chosen rates, the held-out recall of all rates
and the recall of English are copied to `results/measured/comparison/<part>`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from marked import MEASURED, ROOT, keep, without_local_folders

import pecl
from pecl.adapters.formats.files import attached, load_adapter_file
from pecl.config import ExperimentConfig, make_config, read_yaml
from pecl.experiment.frozen import embed_images
from pecl.experiment.inputs import Inputs, read_evaluation
from pecl.experiment.towers import towers_of
from pecl.files import load_json, write_json
from pecl.results.result import TrainingResult, collect, trainings
from pecl.retrieval.evaluator import RetrievalEvaluator

CONFIG = ROOT / "configs" / "methods.yaml"
RUNS = ROOT / "results" / "methods"
COMPARISON = MEASURED / "comparison"
LANGUAGES = ("cs", "de", "fr")
SEEDS = (1, 2, 3)
RATES = (2.4e-4, 9.6e-4, 3.84e-3, 1.536e-2)
FACTOR = 4  # between neighbouring rates
FURTHEST = 4  # rates added at most on one side
# all rates that may be tried, ascending
ALL_RATES = tuple(float(f"{RATES[0] * FACTOR**step:.4g}") for step in range(-FURTHEST, len(RATES) + FURTHEST))
STEPS = 240
# CPU seconds of one step of one run, on one core of an Intel Xeon with AMX, by placement; PEFT's methods in fp32
STEP_SECONDS = {"head": 0.01, "top-2": 0.03, "top-4": 0.05, "all": 0.15, "embedding": 0.18, "fp32": 0.25}
OVERHEAD_SECONDS = 8.0  # of a run: its recall before and after


@dataclass(frozen=True)
class Method:
    """A method at a placement: the cell of a table.

    Attributes:
        part: the table: main, placement or engines.
        placement: embedding, top-K, all or head.
    """

    part: str
    name: str
    placement: str
    spec: str
    engine: str = "pecl"
    precision: str = "bf16"

    @property
    def layers(self) -> str | None:
        """The layers that the config names; None for all, and for what lies below or above them."""
        return self.placement if self.placement.startswith("top-") else None


BASE = "LoRA"  # the method that the others of a part are compared with
# Sizes are the largest within .05 % of the tower, 58,802 parameters; layernorm and bitfit have one size.
PLAN = (
    Method("main", BASE, "top-4", "lora-only:r=9"),
    Method("main", "LoRA and LayerNorms", "top-4", "lora:r=8"),
    Method("main", "LayerNorms", "top-4", "layernorm"),
    Method("main", "head", "head", "head:rank=91"),
    Method("main", "bottleneck", "top-4", "bottleneck-only:bottleneck_dim=9"),
    Method("main", "compacter", "top-4", "compacter-only:reduction_factor=4,phm_rank=7"),
    Method("main", "biases", "top-4", "bitfit"),
    Method("main", "prefix", "top-4", "prefix:num_virtual_tokens=19"),
    Method("placement", "low rank", "top-2", "lora-only:r=19"),
    Method("placement", "low rank", "embedding", "word_embeddings:rank=64,tokens=512"),
    Method("placement", "low rank", "all", "lora-only:r=3"),
    Method("placement", "LayerNorms", "top-2", "layernorm"),
    Method("placement", "LayerNorms", "all", "layernorm"),
    Method("engines", BASE, "top-4", "lora-only:r=9", precision="fp32"),
    Method("engines", "PEFT's LoRA", "top-4", "lora:r=9,lora_alpha=16", "peft", "fp32"),
    Method("engines", "PEFT's DoRA", "top-4", "lora:r=9,lora_alpha=16,use_dora=true", "peft", "fp32"),
    Method("engines", "PEFT's IA3", "top-4", "ia3", "peft", "fp32"),
    Method("engines", "PEFT's FourierFT", "top-4", "fourierft:n_frequency=7300,init_weights=true", "peft", "fp32"),
)
PARTS = tuple(dict.fromkeys(method.part for method in PLAN))


@cache
def shared_fields() -> dict[str, Any]:
    """Return the fields of all runs."""
    return read_yaml(CONFIG)


def config_of(method: Method, language: str, rate: float, seed: int = SEEDS[0]) -> ExperimentConfig:
    """Return the config of a run."""
    values = {
        "language": language,
        "engine": method.engine,
        "adapter": method.spec,
        "adapter_layers": method.layers,
        "precision": method.precision,
        "lr": rate,
        "seed": seed,
        "out": str(RUNS / method.part),
    }
    return make_config({**shared_fields(), **values}, "methods")


def chosen_rate(scores: Mapping[float, float]) -> float:
    """Return the learning rate with the best held-out recall; among equals the smallest."""
    return max(sorted(scores), key=lambda rate: scores[rate])


def next_rate(scores: Mapping[float, float]) -> float | None:
    """Return the rate to try beyond the best one if that is at an edge; None if it is inside, or too far out."""
    place = ALL_RATES.index(chosen_rate(scores))
    tried = {ALL_RATES.index(rate) for rate in scores}
    if place == min(tried):
        place -= 1
    elif place == max(tried):
        place += 1
    else:
        return None
    return ALL_RATES[place] if 0 <= place < len(ALL_RATES) else None


def held_out_recall(result: TrainingResult) -> float:
    """Return the held-out recall of the weights after the last step."""
    return result.curve.val_mean_recall_at_1[-1][1]


def scores_of(method: Method, results: Mapping[str, TrainingResult]) -> dict[str, dict[float, float]]:
    """Return the held-out recall of the runs with the first seed: language -> learning rate -> recall."""
    scores: dict[str, dict[float, float]] = {language: {} for language in LANGUAGES}
    for language in LANGUAGES:
        for rate in ALL_RATES:
            result = results.get(config_of(method, language, rate).run_id())
            if result is not None:
                scores[language][rate] = held_out_recall(result)
    return scores


def train(method: Method) -> None:
    """Train the runs of a method that are not complete."""
    results = {
        run.run_id: run
        for run in pecl.run_grid([config_of(method, code, rate) for code in LANGUAGES for rate in RATES]).complete
    }
    while True:
        scores = scores_of(method, results)
        further = [(code, next_rate(scores[code])) for code in LANGUAGES]
        configs = [config_of(method, code, rate) for code, rate in further if rate is not None]
        if not configs:
            break
        trained = pecl.run_grid(configs).complete
        results |= {run.run_id: run for run in trained}
        if len(trained) < len(configs):  # it diverged
            break

    chosen = {code: chosen_rate(scores[code]) for code in LANGUAGES}
    print(f"{method.name}, {method.placement}: {chosen}", flush=True)
    pecl.run_grid([config_of(method, code, chosen[code], seed) for code in LANGUAGES for seed in SEEDS[1:]])


def publish(method: Method) -> None:
    """Copy the results of the chosen rates, and measure English through their adapters."""
    folder, out = RUNS / method.part, COMPARISON / method.part
    results = {run.run_id: run for run in trainings(collect([folder]))}
    scores = scores_of(method, results)
    path_of_rates = out / "rates.json"
    rates = load_json(path_of_rates) if path_of_rates.is_file() else {}
    rates[key_of(method)] = {code: {f"{rate:g}": s for rate, s in scores[code].items()} for code in LANGUAGES}
    write_json(path_of_rates, rates)

    chosen = [
        results[config_of(method, code, chosen_rate(scores[code]), seed).run_id()]
        for code in LANGUAGES
        for seed in SEEDS
    ]
    keep(out, [without_local_folders(run, f"results/methods/{method.part}") for run in chosen])
    measure_english(chosen, out / "english.json", method.precision)


def key_of(method: Method) -> str:
    """Return the key of a method in the files of its part."""
    return f"{method.name}, {method.placement}"


def measure_english(runs: list[TrainingResult], path: Path, precision: str) -> None:
    """Write R@1 of English captions through each adapter: run id -> a digit per photograph.

    The digit is the number of directions, 0 to 2, in which photograph and English caption find each other first.
    """
    measured = load_json(path) if path.is_file() else {}
    pending = [run for run in runs if run.run_id not in measured]
    plain = f"plain {precision}"
    if not pending and plain in measured:
        return

    english, evaluator = read_english(precision)
    tower = english.towers.text
    token_ids = english.tokens("test")
    if plain not in measured:
        measured[plain] = hits_of(evaluator, tower.encode_token_ids(token_ids))
    with tower.caching([token_ids]):
        for run in pending:
            with attached(load_adapter_file(run.adapter_path, tower), tower):
                measured[run.run_id] = hits_of(evaluator, tower.encode_token_ids(token_ids))
    write_json(path, measured)


@cache
def read_english(precision: str) -> tuple[Inputs, RetrievalEvaluator]:
    """Return the English test captions, and the evaluator of their embeddings among the photographs."""
    names = ("profile", "dataset", "gallery", "threads")
    fields = {name: shared_fields()[name] for name in names}
    config = make_config({**fields, "language": "en", "route": "baseline1", "precision": precision}, "methods")
    inputs = read_evaluation(config, towers_of(config))
    images = embed_images(inputs)[inputs.gallery_items("test")]
    return inputs, RetrievalEvaluator(images, range(len(images)), "images")


def hits_of(evaluator: RetrievalEvaluator, embeddings: torch.Tensor) -> str:
    """Return a digit per photograph: the number of directions with rank 1."""
    ranks = evaluator(embeddings).ranks.values()
    return "".join(str(sum(rank == 1 for rank in pair)) for pair in zip(*ranks, strict=True))


def planned(parts: list[str], names: list[str] | None) -> Iterator[Method]:
    """Yield the methods of some parts, in the order of training."""
    for method in PLAN:
        if method.part in parts and (names is None or method.name in names):
            yield method


def dry_run(methods: list[Method]) -> str:
    """Return a line per method, with the runs that are left and their cost if no rate is added."""
    lines = []
    total = 0.0
    for method in methods:
        complete = {run.run_id for run in trainings(collect([RUNS / method.part]))} if RUNS.is_dir() else set()
        searched = [config_of(method, code, rate).run_id() for code in LANGUAGES for rate in RATES]
        left = sum(run_id not in complete for run_id in searched) + len(LANGUAGES) * (len(SEEDS) - 1)
        seconds = STEP_SECONDS["fp32" if method.precision == "fp32" else method.placement]
        minutes = left * (STEPS * seconds + OVERHEAD_SECONDS) / 60
        total += minutes
        lines.append(f"{method.part}: {key_of(method)}: {method.spec}: {left} runs, {minutes:.0f} minutes")
    return "\n".join([*lines, f"in all {total:.0f} minutes of one core, and up to a third more where rates are added"])


def main() -> None:
    """Train, or list the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=list(PARTS), help=",".join(PARTS))
    parser.add_argument("--methods", type=lambda text: text.split(","), help="names (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="list the runs that are left, and their cost")
    parsed = parser.parse_args()
    for part in parsed.parts:
        if part not in PARTS:
            parser.error(f"--parts: expected some of {', '.join(PARTS)}, got {part}")
    methods = list(planned(parsed.parts, parsed.methods))
    if not methods:
        parser.error(f"--methods: expected some of {', '.join(dict.fromkeys(m.name for m in PLAN))}")

    if parsed.dry_run:
        print(dry_run(methods))
        return
    for method in methods:
        train(method)
        publish(method)


if __name__ == "__main__":
    main()
