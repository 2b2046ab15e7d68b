"""Train every method of both engines in all languages of docs/screening.md, resumably.

    python tools/screening.py [--languages sw,cs] [--methods lora,boft] [--seeds 1,2,3] [--dry-run]

The fields of all runs are those of `configs/screening.yaml`. In the first language, each method is trained with each
learning rate of the file. Held-out text chooses among them, and the other languages and seeds take the rate that it
chose. With `--rates each`, every language chooses its own. With `--rates recorded`, all take the rate that the
committed results of the first language chose, which then need not be trained again.

Runs lie in `results/methods/<pairs>-<budget>-<layers>`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from marked import MEASURED, ROOT

import pecl
from pecl.config import read_yaml
from pecl.files import load_json
from pecl.grid.configs import expand
from pecl.results.result import Result

CONFIG = ROOT / "configs" / "screening.yaml"
RUNS = ROOT / "results" / "methods"
FIRST = "sw"  # the language that chooses learning rates
PHOTOGRAPHS = ("cs", "de", "fr")
LANGUAGES = (FIRST, "de", "yo", "cs", "fi", "fr")
BUDGETS = (".05", ".16")  # per cent of the tower
FEW = 757  # all pairs of flickr30k200 here


@dataclass(frozen=True)
class Method:
    """A method: its engine, and its spec at each budget; an empty spec where no size of it is near the budget."""

    name: str
    engine: str
    specs: tuple[str, str]
    everywhere: bool = False  # whether it has no layers to choose


def _peft(name: str, small: str, large: str, **more: Any) -> Method:
    return Method(name, "peft", (small, large), **more)


def _pecl(name: str, small: str, large: str, **more: Any) -> Method:
    return Method(name, "pecl", (small, large), **more)


# In the order of training. Sizes are chosen for the two topmost layers of mini, on query and value (384 x 384) where a
# method changes linear layers. Methods with one size only have it at the smaller budget.
METHODS = (
    _peft("lora", "lora:r=19", "lora:r=61"),
    _pecl("pecl lora with LayerNorms", "lora:r=18", "lora:r=60"),
    _peft("dora", "lora:r=18,use_dora=true", "lora:r=60,use_dora=true"),
    _peft("boft", "boft:boft_block_size=32", "boft:boft_block_size=96"),
    _peft("ia3", "ia3", ""),
    _peft(
        "fourierft", "fourierft:n_frequency=14600,init_weights=true", "fourierft:n_frequency=47000,init_weights=true"
    ),
    _peft("vera", "vera", ""),
    _peft("hra", "hra:r=38", "hra:r=122"),
    _peft("oft", "oft:oft_block_size=64", "oft:oft_block_size=192"),
    _peft("ln_tuning", "ln_tuning", ""),
    _pecl("pecl bitfit", "bitfit", ""),
    _pecl("pecl bottleneck", "bottleneck-only:bottleneck_dim=18", "bottleneck-only:bottleneck_dim=60"),
    _pecl(
        "pecl lora and head",
        "lora:r=3,target_modules=intermediate/output+head:rank=50",
        "lora:r=10,target_modules=intermediate/output+head:rank=169",
    ),
    _peft("delora", "delora:r=19", "delora:r=61"),
    _peft("c3a", "c3a:block_size=12", "c3a:block_size=4"),
    _peft("loha", "loha:r=9", "loha:r=30"),
    _peft("lokr", "lokr:r=38,decompose_factor=2", "lokr:r=96,decompose_factor=2"),
    _peft("miss", "miss:r=32", "miss:r=96"),
    _peft("road", "road:variant=road_4", ""),
    _peft("hira", "hira:r=19", "hira:r=61"),
    _peft("waveft", "waveft:n_frequency=14600", "waveft:n_frequency=47000"),
    _peft("shira", "shira:r=19", "shira:r=61"),
    _peft("peanut", "peanut:r=19", "peanut:r=61"),
    _pecl("pecl compacter", "compacter-only:reduction_factor=4,phm_rank=14", ""),
    _pecl("pecl prefix", "prefix:num_virtual_tokens=38", ""),
    _peft("adalora", "adalora:init_r=19,target_r=13", "adalora:init_r=61,target_r=40"),
    _peft("gralora", "gralora:r=18", "gralora:r=60"),
    _peft("deft", "deft:r=19", "deft:r=61"),
    _peft("glora", "glora:r=7", "glora:r=24"),
    _peft("vblora", "vblora", "vblora:num_vectors=840"),
    _peft("randlora", "randlora:r=11", "randlora:r=4"),
    _peft("osf", "osf:effective_rank=365", "osf:effective_rank=323"),
    _peft("psoft", "psoft:r=169", "psoft:r=304"),
    _peft("supertuning", "supertuning:sparsity=0.901", "supertuning:sparsity=0.682"),
    _peft("unilora", "unilora:r=32,theta_d_length=58000", "unilora:r=96,theta_d_length=188000"),
    _peft("frod", "frod:sparse_rate=0.095", "frod:sparse_rate=0.31"),
    _peft("pvera", "pvera", ""),
    _peft("tinylora", "tinylora", ""),
    _peft("beft", "beft", ""),
    _peft("adamss", "adamss", ""),
    _pecl("pecl layernorm", "layernorm", ""),
    _pecl("pecl lora", "lora-only:r=19", "lora-only:r=61"),
    # Last, since they share no cached layers with the others
    _pecl("pecl head", "head:rank=91", "head:rank=256", everywhere=True),
    _pecl(
        "pecl word_embeddings",
        "word_embeddings:rank=64,tokens=512",
        "word_embeddings:rank=64,tokens=2500",
        everywhere=True,
    ),
    _peft("trainable_tokens", "trainable_tokens:tokens=152", "trainable_tokens:tokens=489", everywhere=True),
    _pecl("pecl soft_prompt", "soft_prompt:num_virtual_tokens=8", "", everywhere=True),
)


def folder_of(pairs: int, budget: str, layers: str) -> Path:
    """Return the folder of the runs of one table."""
    return RUNS / f"{pairs}-{budget.removeprefix('.')}-{layers}"


def table_of(folder: Path) -> tuple[int, str, str]:
    """Return what `folder_of` made the name of a folder from."""
    pairs, budget, layers = folder.name.split("-", 2)
    return int(pairs), f".{budget}", layers


@dataclass(frozen=True)
class Stage:
    """The runs of a method in a language."""

    method: Method
    language: str
    pairs: int
    budget: str
    layers: str  # top-K or all


@cache
def shared_fields() -> dict[str, Any]:
    """Return the fields of all runs."""
    return read_yaml(CONFIG)


def fields_of(stage: Stage) -> dict[str, Any]:
    """Return the fields of a stage's runs; `lr` is the list of the file."""
    method = stage.method
    values = {
        **shared_fields(),
        "language": stage.language,
        "engine": method.engine,
        "adapter": method.specs[BUDGETS.index(stage.budget)],
        "adapter_layers": None if method.everywhere or stage.layers == "all" else stage.layers,
        "out": str(folder_of(stage.pairs, stage.budget, stage.layers)),
    }
    if stage.language in PHOTOGRAPHS:
        values |= {"dataset": "multi30k-1k", "gallery": "images"}
    if stage.pairs > FEW:
        text = "multi30k-translations" if stage.language in PHOTOGRAPHS else "flickr30k200,ntrex,emoji"
        steps = -(-(stage.pairs - 500) // values["batch_size"])
        values |= {"text": text, "train_size": stage.pairs, "held_out": 500, "eval_every": steps}
    return values


def runs_of(stage: Stage, results: Mapping[str, Result]) -> dict[float, Result]:
    """Return the runs of a stage among `results` by run id: learning rate -> run of the first seed."""
    ids = {config.lr: config.run_id() for config in expand(fields_of(stage))}
    return {rate: results[run_id] for rate, run_id in ids.items() if run_id in results}


def by_setting(results: Iterable[Result]) -> dict[str, list[Result]]:
    """Return the complete runs that differ only in their seed, by `setting_of`, in the order of their seeds."""
    groups: dict[str, list[Result]] = {}
    for result in sorted(results, key=lambda result: result.config.seed):
        if result.status == "complete":
            groups.setdefault(setting_of(result), []).append(result)
    return groups


def setting_of(run: Result) -> str:
    """Return the run id of a run's config with seed 1: all its seeds have it."""
    return replace(run.config, seed=1).run_id()


def chosen_rate(results: Sequence[Result]) -> float | None:
    """Return the learning rate whose last weights have the best recall on held-out text; None if all runs failed.

    Among equals it is the smallest.
    """
    scores = {
        result.config.lr: result.curve.val_mean_recall_at_1[-1][1] for result in results if result.status == "complete"
    }
    return _best(scores)


def _best(scores: Mapping[float, float]) -> float | None:
    return max(sorted(scores), key=lambda rate: scores[rate], default=None)


def recorded_rate(stage: Stage) -> float | None:
    """Return the rate that `chosen_rate` chose in the committed results of the first language."""
    folder = folder_of(stage.pairs, stage.budget, stage.layers)
    records = load_json(MEASURED / "methods" / folder.name / "rates.json")[FIRST]
    return _best({float(rate): score["held_out"] for rate, score in records[stage.method.name].items() if score})


def stages(pairs: int, budget: str, layers: str, languages: Sequence[str] = LANGUAGES) -> Iterator[Stage]:
    """Yield the stages of a table, in the order of training."""
    for language in languages:
        for method in METHODS:
            if method.specs[BUDGETS.index(budget)]:
                yield Stage(method, language, pairs, budget, layers)


def stages_named(parsed: argparse.Namespace) -> list[Stage]:
    """Return the stages that the command line names, in the order of training."""
    found: list[Stage] = []
    for pairs in parsed.pairs:
        for budget in parsed.budgets:
            found += stages(pairs, budget, parsed.layers, parsed.languages)
    return [stage for stage in found if parsed.methods is None or stage.method.name in parsed.methods]


def searches(parsed: argparse.Namespace, stage: Stage) -> bool:
    """Return whether a stage is trained with every learning rate."""
    return parsed.rates == "each" or (parsed.rates == "first" and stage.language == FIRST)


def train(parsed: argparse.Namespace) -> None:
    """Train all runs; those that are complete are skipped.

    Where rates are searched, all methods are trained with the middle rates first, so that a stopped plan has rows.
    """
    for rate in shared_fields()["lr"][1:-1]:
        for stage in filter(partial(searches, parsed), stages_named(parsed)):
            pecl.run_grid({**fields_of(stage), "lr": rate, "seed": parsed.seeds[0]})

    rates: dict[Stage, float | None] = {}
    first_seed, *more_seeds = parsed.seeds
    for stage in stages_named(parsed):
        searched = stage if searches(parsed, stage) else replace(stage, language=FIRST)
        if searched not in rates and parsed.rates == "recorded":
            rates[searched] = recorded_rate(stage)
        elif searched not in rates:
            rates[searched] = chosen_rate(pecl.run_grid({**fields_of(searched), "seed": first_seed}).results)
        rate = rates[searched]
        print(f"{stage.language}: {stage.method.name}: {rate}", flush=True)
        if rate is None:  # every rate failed
            continue

        seeds = more_seeds if searches(parsed, stage) else parsed.seeds
        if seeds:
            pecl.run_grid({**fields_of(stage), "lr": rate, "seed": seeds})


def main() -> None:
    """Train, or list the runs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--languages", type=_words, default=list(LANGUAGES), metavar="L,L", help=",".join(LANGUAGES))
    parser.add_argument("--methods", type=_words, metavar="M,M", help="default: all")
    parser.add_argument("--budgets", type=_words, default=[BUDGETS[0]], metavar="B,B", help="per cent: .05, .16")
    parser.add_argument("--pairs", type=_numbers, default=[FEW], metavar="N,N", help="757, 5000")
    parser.add_argument("--seeds", type=_numbers, default=[1], metavar="N,N")
    parser.add_argument("--layers", default="top-2", help="top-K or all")
    parser.add_argument("--rates", choices=("first", "each", "recorded"), default="first", help="what chooses a rate")
    parser.add_argument("--dry-run", action="store_true", help="list the runs")
    parsed = parser.parse_args()
    known = {"methods": [method.name for method in METHODS], "languages": LANGUAGES, "budgets": BUDGETS}
    for name, values in known.items():
        for value in getattr(parsed, name) or ():
            if value not in values:
                parser.error(f"--{name}: expected some of {', '.join(values)}, got {value}")
    if parsed.dry_run:
        for stage in stages_named(parsed):
            values = fields_of(stage)
            runs = len(parsed.seeds) + (len(values["lr"]) - 1 if searches(parsed, stage) else 0)
            print(f"{stage.language}: {stage.method.name}: {values['adapter']}, {runs} runs")
        return
    train(parsed)


def _words(text: str) -> list[str]:
    return text.split(",")


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


if __name__ == "__main__":
    main()
