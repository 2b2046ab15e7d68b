"""Train the comparison of recipes in docs/recipes.md, resumably.

    python tools/recipes.py [--captions 757,50] [--recipes distil,relations] [--dry-run | --time]

`configs/recipes.yaml` has the fields of all runs. The first run writes `results/recipes/data`: one table of photographs
with their captions in all languages, which every recipe reads, and a memory of other English captions. Steps of each
recipe with each number of captions:

1. Every language is trained with the rates of `RATES` and the first seed. While the rate with the best held-out
   recall of some language is the smallest or largest tried, the next rate beyond it is trained, too.
2. The other seeds are trained with the rate that held-out captions chose for the language.
3. English captions are embedded through each adapter of the chosen rate.

Results and adapters lie in `results/recipes/<captions>`. `results/measured/recipes` gets what the page reads: a digit
per test photograph of each run with a chosen rate, and the held-out recall of all rates.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import methods
import numpy as np
from marked import MEASURED, ROOT
from methods import LANGUAGES, SEEDS

import pecl
from pecl.config import ExperimentConfig, make_config, read_yaml
from pecl.config.recipes import IMAGES, MEMORY, RECIPES
from pecl.data.published.multi30k import IMAGES_FOLDER, pool_images, read_split
from pecl.data.reading import DataRequest
from pecl.data.registry import find_data_dir, load_dataset
from pecl.data.splits import split_captions
from pecl.errors import not_none
from pecl.experiment.run import train
from pecl.files import load_json, write_json, write_text
from pecl.results.result import TrainingResult, collect, trainings

CONFIG = ROOT / "configs" / "recipes.yaml"
RUNS = ROOT / "results" / "recipes"
DATA = RUNS / "data"
PUBLISHED = MEASURED / "recipes"

CAPTIONS = (757, 50)  # of the training part, each with its photograph and its translations
MEMORY_SIZE = 3000  # English captions of further photographs
STEPS = 240
RATES = (3.84e-3, 1.536e-2, 6.144e-2)
WITHOUT_GRADIENT = ("closed_form", "centring")
PLAN = tuple(RECIPES)
STEP_SECONDS = 0.011  # CPU seconds of a step of one run, on one core of an Intel Xeon with AMX
OVERHEAD_SECONDS = 5.0  # of a run: its share of the texts' features, and its recall before and after


def write_data() -> None:
    """Write the table of captions and the memory, unless they exist.

    The test part has the 900 test photographs of `multi30k-1k`. The validation part has the others that mini's heads
    were not trained on: 100 of this set, and Multi30K's validation photographs. The training part is drawn from the
    other training photographs, in one fixed random order, and the memory from the captions that are left.
    """
    if (DATA / "captions.csv").is_file():
        return
    root = not_none(find_data_dir("multi30k-1k", None), "PECL_DATA_DIR")
    columns: dict[str, Sequence[str]] = {}
    names: list[str] = []
    for code in LANGUAGES:
        need = ("english_to_target", "target_to_english")
        request = DataRequest("multi30k", code, need=need, data_dir=root)
        (first, names), (second, names_of_val) = (read_split(request, split) for split in ("train", "val"))
        names = [*names, *names_of_val]
        of_column = {"en": "english", code: "target", f"en_to_{code}": need[0], f"{code}_to_en": need[1]}
        columns |= {
            column: [text for part in (first, second) for text in getattr(part, name)]
            for column, name in of_column.items()
        }

    pool = load_dataset("multi30k-1k", LANGUAGES[0])
    ids, index = not_none(pool.images, "images").ids, not_none(pool.image_index, "image_index")
    test = {ids[index[caption]] for caption in split_captions(pool, 50).test}
    validation = {*pool_images(root), *names_of_val} - test
    present = {path.name for path in (root / IMAGES_FOLDER).iterdir()}

    order = list(range(len(names)))
    random.Random(1).shuffle(order)
    outside = [place for place in order if names[place] not in test | validation]
    train = [place for place in outside if names[place] in present][: max(CAPTIONS)]
    parts = {
        "train": train,
        "val": [place for place in order if names[place] in validation & present],
        "test": [place for place in range(len(names)) if names[place] in test],
    }
    trained = set(train)
    memory = [place for place in outside if place not in trained][:MEMORY_SIZE]

    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["image", "part", *columns])
    for part, rows in parts.items():
        for place in rows:
            image = (root / IMAGES_FOLDER / names[place]).absolute()
            writer.writerow([image, part, *(texts[place] for texts in columns.values())])
    DATA.mkdir(parents=True, exist_ok=True)
    write_text(DATA / "memory.txt", "".join(f"{columns['en'][place]}\n" for place in memory))
    write_text(DATA / "captions.csv", table.getvalue())


@cache
def shared_fields() -> dict[str, Any]:
    """Return the fields of all runs."""
    return read_yaml(CONFIG)


def rates_of_grid(recipe: str) -> tuple[float, ...]:
    """Return the rates that are always tried; a recipe without gradients has one, which has no effect."""
    return RATES[:1] if recipe in WITHOUT_GRADIENT else RATES


def config_of(recipe: str, captions: int, language: str, rate: float, seed: int = SEEDS[0]) -> ExperimentConfig:
    """Return the config of a run."""
    batches = -(-captions // shared_fields()["batch_size"])
    values = {
        **shared_fields(),
        "recipe": recipe,
        "shots": captions,
        "language": language,
        "epochs": STEPS // batches,
        "lr": rate,
        "seed": seed,
        "out": str(RUNS / str(captions)),
    }
    if IMAGES in RECIPES[recipe].teacher:
        values["choose"] = "validation"
    if MEMORY in RECIPES[recipe].teacher:
        values["memory"] = "results/recipes/data/memory.txt"
    return make_config(values, "recipes")


Scores = dict[str, dict[float, float]]


def search(recipe: str, captions: int) -> tuple[Scores, dict[str, TrainingResult]]:
    """Train with the first seed; return recalls (language -> rate -> held-out recall) and results by run id."""
    scores: Scores = {code: {} for code in LANGUAGES}
    results: dict[str, TrainingResult] = {}
    rates = list(rates_of_grid(recipe))
    while rates:
        configs = [config_of(recipe, captions, code, rate) for code in LANGUAGES for rate in rates]
        results |= {run.run_id: run for run in pecl.run_grid(configs).complete}
        for config in configs:
            run = results.get(config.run_id())
            scores[config.language][config.lr] = 0.0 if run is None else methods.held_out_recall(run)  # 0: diverged
        further = {methods.next_rate(scores[code]) for code in LANGUAGES}
        rates = [] if recipe in WITHOUT_GRADIENT else sorted(rate for rate in further if rate is not None)
    return scores, results


def train_recipe(recipe: str, captions: int) -> None:
    """Train the runs of a recipe that are not complete, and publish what the page reads."""
    scores, results = search(recipe, captions)
    chosen = {code: methods.chosen_rate(scores[code]) for code in LANGUAGES}
    print(f"{recipe}, {captions} captions: {chosen}", flush=True)
    configs = [config_of(recipe, captions, code, chosen[code], seed) for code in LANGUAGES for seed in SEEDS]
    results |= {run.run_id: run for run in pecl.run_grid(configs).complete}
    runs = [results[config.run_id()] for config in configs]

    english = RUNS / str(captions) / "english.json"
    methods.measure_english(runs, english, shared_fields()["precision"])
    publish(recipe, captions, scores, runs, load_json(english))


def publish(
    recipe: str, captions: int, scores: Scores, runs: Sequence[TrainingResult], english: dict[str, str]
) -> None:
    """Write the digits of a recipe's runs, and of the base encoder.

    A digit is the number of directions, 0 to 2, in which photograph and caption find each other first.
    """
    path = PUBLISHED / f"{captions}.json"
    document: dict[str, Any] = load_json(path) if path.is_file() else {"plain": {}, "recipes": {}}
    precision = shared_fields()["precision"]
    document["plain"]["english"] = english[f"plain {precision}"]
    queries = "translated" if translates_queries(recipe) else "as written"
    document["plain"].setdefault(queries, {}).update(
        {run.config.language: digits(run, "zero_shot") for run in runs if run.config.seed == SEEDS[0]}
    )
    document["recipes"][recipe] = {
        "rates": {code: {f"{rate:g}": score for rate, score in scores[code].items()} for code in LANGUAGES},
        "runs": [
            {
                "language": run.config.language,
                "seed": run.config.seed,
                "lr": run.config.lr,
                "run_id": run.run_id,
                "parameters": run.adapter.trainable,
                "held_out": [score for _, score in run.curve.val_mean_recall_at_1],
                "loss": [loss for _, loss in run.curve.loss],
                "hits": digits(run, "best"),
                "english": english[run.run_id],
            }
            for run in runs
        ],
    }
    PUBLISHED.mkdir(parents=True, exist_ok=True)
    write_json(path, document)


def digits(run: TrainingResult, stage: str) -> str:
    """Return a digit per test photograph."""
    return "".join(str(digit) for digit in np.rint(2 * run.hits(stage)).astype(int))


def translates_queries(recipe: str) -> bool:
    """Return whether a recipe searches with the translation of a query into English."""
    return "target_to_english" in RECIPES[recipe].student


def dry_run(plan: Sequence[tuple[int, str]]) -> str:
    """Return a line per recipe, with the runs that are left and their cost if no rate is added."""
    lines = []
    total = 0.0
    complete = {run.run_id for run in trainings(collect([RUNS]))} if RUNS.is_dir() else set()
    for captions, recipe in plan:
        searched = [
            config_of(recipe, captions, code, rate).run_id() for code in LANGUAGES for rate in rates_of_grid(recipe)
        ]
        left = sum(run_id not in complete for run_id in searched) + len(LANGUAGES) * (len(SEEDS) - 1)
        steps = 0 if recipe in WITHOUT_GRADIENT else STEPS
        minutes = left * (steps * STEP_SECONDS + OVERHEAD_SECONDS) / 60
        total += minutes
        lines.append(f"{captions} captions: {recipe}: {left} runs, {minutes:.1f} minutes")
    return "\n".join([*lines, f"in all {total:.0f} minutes of one core, and up to a third more where rates are added"])


def measure_times() -> None:
    """Write the seconds of a training of each recipe, each in a process of its own, and of queries.

    A first training, which is not counted, fills the cache of image embeddings.
    """
    path = PUBLISHED / "seconds.json"
    measured: dict[str, Any] = load_json(path) if path.is_file() else {"training": {}}
    left = [recipe for recipe in PLAN if recipe not in measured["training"]]
    if left:
        time_one(left[0])

    for recipe in left:
        command = [sys.executable, __file__, "--time-one", recipe]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        measured["training"][recipe] = json.loads(output.splitlines()[-1])
        write_json(path, measured)

    if "query" not in measured:
        measured["query"] = query_milliseconds()
        write_json(path, measured)


def time_one(recipe: str) -> None:
    """Print wall and CPU seconds of one training in German, without the start of the program."""
    language = "de"
    published = load_json(PUBLISHED / f"{CAPTIONS[0]}.json")["recipes"][recipe]
    rate = next(run["lr"] for run in published["runs"] if run["language"] == language)
    config = config_of(recipe, CAPTIONS[0], language, rate, seed=99)

    with tempfile.TemporaryDirectory() as folder:  # a complete run would not be trained again
        wall, cpu = time.perf_counter(), time.process_time()
        train(replace(config, out=folder))
        seconds = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

    print(json.dumps(seconds))


def query_milliseconds() -> dict[str, float]:
    """Return the median time of a query: its embedding, and its translation by a Marian model with random weights.

    Random weights take the time of trained ones for the same number of tokens, which is fixed at the mean of the
    English test captions.
    """
    import torch
    from transformers import MarianConfig, MarianMTModel

    torch.set_num_threads(1)
    towers = pecl.load_towers("mini", precision="bf16")
    with (DATA / "captions.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == "test"][:100]

    def median(answer: Any, queries: Sequence[Any]) -> float:
        times = []
        for query in queries:
            started = time.perf_counter()
            answer(query)
            times.append(1000 * (time.perf_counter() - started))
        return float(np.median(times))

    tokens = round(float(np.mean([len(ids) for ids in towers.text.tokenize([row["en"] for row in rows], "en")])))
    size = {"d_model": 512, "encoder_layers": 6, "decoder_layers": 6, "encoder_ffn_dim": 2048, "decoder_ffn_dim": 2048}
    heads = {"encoder_attention_heads": 8, "decoder_attention_heads": 8}
    marian = MarianMTModel(MarianConfig(vocab_size=60_000, pad_token_id=59_999, eos_token_id=0, **size, **heads)).eval()
    source = torch.randint(1, 59_000, (len(rows), tokens))

    def translate(ids: torch.Tensor) -> None:
        with torch.inference_mode():
            marian.generate(input_ids=ids[None], min_new_tokens=tokens, max_new_tokens=tokens, num_beams=1)

    return {
        "embedding": median(lambda row: towers.text.encode_text(row["de"], language="de"), rows),
        "translation": median(translate, list(source[:30])),
        "tokens": tokens,
    }


def main() -> None:
    """Train, list the runs, or measure times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = ",".join(map(str, CAPTIONS))
    parser.add_argument("--captions", type=lambda text: [int(word) for word in text.split(",")], help=numbers)
    parser.add_argument("--recipes", type=lambda text: text.split(","), default=list(PLAN), help="names (default: all)")
    parser.add_argument("--dry-run", action="store_true", help="list the runs that are left, and their cost")
    parser.add_argument("--time", action="store_true", help="measure seconds of training and of a query")
    parser.add_argument("--time-one", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    for recipe in parsed.recipes:
        if recipe not in PLAN:
            parser.error(f"--recipes: expected some of {', '.join(PLAN)}, got {recipe}")
    for number in parsed.captions or ():
        if number not in CAPTIONS:
            parser.error(f"--captions: expected some of {numbers}, got {number}")

    os.chdir(ROOT)
    plan = [(number, recipe) for number in parsed.captions or CAPTIONS for recipe in parsed.recipes]
    if parsed.dry_run:
        print(dry_run(plan))
    elif parsed.time_one:
        time_one(parsed.time_one)
    elif parsed.time:
        measure_times()
    else:
        write_data()
        for captions, recipe in plan:
            train_recipe(recipe, captions)


if __name__ == "__main__":
    main()
