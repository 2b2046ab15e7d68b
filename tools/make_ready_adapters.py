"""Train the ready adapters by one recipe, and write those that help into the package, with their results.

    python tools/make_ready_adapters.py                     # every language; a repeated call resumes
    python tools/make_ready_adapters.py --language rw,yo
    python tools/make_ready_adapters.py --recipe my.yaml --out new --keep new/results

The recipe is `configs/distil_mini_ready.yaml`, or another one, whose adapters belong into folders
of their own until they are compared (`tools/languages_spellings.py --adapters new/mini`). A
language without captions is trained on GATITOS, emoji and NTREX, and measured on held-out words. A
language with a result in `--keep` is skipped. An adapter is shipped if the interval of its gain on
the test is above zero, and recall on sentences of people, if any, does not fall by more than noise.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from marked import ROOT, keep, without_local_folders

from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.formats.packed import pack
from pecl.adapters.ready import RESULTS, SHIPPED, read_results
from pecl.config import ExperimentConfig, read_yaml
from pecl.data.custom.sources import parse_sources
from pecl.data.registry import DATASETS, is_read
from pecl.errors import not_none
from pecl.experiment.distil import distil_config, fall, run_together
from pecl.experiment.loading import TrainingDataCache
from pecl.files import read_tensors, sha256_file, write_tensors, write_text
from pecl.files.digests import with_digest
from pecl.language.languages import ENGLISH, language_code
from pecl.report.selection.groups import intervals
from pecl.results.result import OTHER_TEXT, TrainingResult, collect, trainings, verify

RECIPE = ROOT / "configs" / "distil_mini_ready.yaml"
OUT = "results/languages"  # folder of results that kept results name
# of a language without captions
ONLY_WORDS = {"dataset": "gatitos", "text": "emoji?@2,ntrex?@0.5,gatitos@3"}


def main() -> None:
    """Train the languages one after the other; write one adapter file and one result per language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--language", default="all", help="codes joined by commas, or all")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="config of `pecl distil`")
    parser.add_argument("--trained", type=Path, default=ROOT / "results" / "languages", help="folder of the trainings")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder of all profiles (default: the package's)")
    parser.add_argument("--keep", type=Path, default=ROOT / "results" / "measured" / "languages", help="results")
    parsed = parser.parse_args()
    with_text = {code for name in ("flickr30k200", "gatitos") for code in DATASETS[name].languages} - {ENGLISH}
    chosen = sorted(with_text) if parsed.language == "all" else map(language_code, parsed.language.split(","))
    parsed.keep.mkdir(parents=True, exist_ok=True)
    done = {training_of(result.config) for result in collect([parsed.keep])}

    for language in chosen:
        config = recipe(language, str(parsed.trained), parsed.recipe)
        if training_of(config) not in done:
            print(f"{language}: {train(config, parsed.out, parsed.keep)}", flush=True)


def recipe(language: str, out: str, path: Path = RECIPE) -> ExperimentConfig:
    """Return the config of a language by the recipe in a file."""
    words = {} if language in DATASETS["flickr30k200"].languages else ONLY_WORDS
    given = {**read_yaml(path), **words, "language": language, "out": out}
    return distil_config(given, TrainingDataCache())


def training_of(config: ExperimentConfig) -> str:
    """Return the run id of a config without the sources that lack its language, since their weights do not matter."""
    sources = ()
    if config.text:
        sources = (source for source in parse_sources(config.text) if is_read(source, config.language))
    return replace(config, text=",".join(f"{source.name}@{source.weight:g}" for source in sources)).run_id()


def train(config: ExperimentConfig, out: Path, folder: Path) -> str:
    """Train a language, keep its result, and write its adapter if it helps; return a sentence."""
    (result,) = trainings(run_together([config], TrainingDataCache()))
    verify(result)
    keep_result(result, folder)
    problem = objection(result)
    if problem:
        return f"not shipped: {problem}"

    path = write(result, out)
    recalls = f"{result.recall(stage='zero_shot'):.3f} to {result.recall():.3f}"
    return f"{path.name}, {path.stat().st_size:,} bytes, R@1 {recalls}"


def objection(result: TrainingResult) -> str | None:
    """Say why an adapter is not shipped; None if it helps on the test, and does no harm to sentences of people."""
    low = float(intervals([result.gains])[0, 0])
    if low <= 0:
        return f"the interval of its gain begins at {low:+.3f}"
    other = not_none(result.data.other_text, "other text")
    if other["language"] != ENGLISH and (fell := fall(result, OTHER_TEXT)):
        return f"mean R@1 on {other['dataset']} falls from {fell.before:.3f} to {fell.after:.3f}"
    return None


def write(result: TrainingResult, out: Path) -> Path:
    """Write the adapter of a result in a few bits per parameter, and its line in the file of results."""
    file = load_adapter_file(result.adapter_path)
    folder = out / result.config.profile
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.config.language}.safetensors"
    write_tensors(path, pack(file.state), read_tensors(file.path)[1])
    document = without_local_folders(replace(result, adapter=replace(result.adapter, sha256=sha256_file(path))), OUT)
    write_line(folder / RESULTS, with_digest(shipped_part(document)))

    return path


def shipped_part(document: dict[str, Any]) -> dict[str, Any]:
    """Return what the package reads of a result: settings, text, towers and adapter; the kept result has all."""
    kept = {key: document[key] for key in ("run_id", "config", "towers", "adapter")}
    columns = ("dataset", "language", "split", "sha256", "provenance", "translations")
    return kept | {"data": {key: document["data"][key] for key in columns if key in document["data"]}}


def write_line(path: Path, document: dict[str, Any]) -> None:
    """Write a result into a file of one result per language, sorted by language."""
    documents = {**(read_results(path) if path.exists() else {}), document["config"]["language"]: document}
    write_text(path, "".join(json.dumps(documents[code], separators=(",", ":")) + "\n" for code in sorted(documents)))


def keep_result(result: TrainingResult, folder: Path) -> None:
    """Keep a result in place of earlier ones of its language; adapter, split and retrieved captions are not kept.

    The copy names no adapter file, since that file is not kept.
    """
    kept = replace(result, adapter=replace(result.adapter, sha256=None))
    older = {other.run_id for other in collect([folder]) if other.config.language == result.config.language}
    keep(folder, [without_local_folders(kept, OUT)], without=older)


if __name__ == "__main__":
    main()
