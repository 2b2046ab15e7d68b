r"""Create the shipped adapters from results of `pecl distil`, in a few bits a parameter, and the file of their results.

    pecl distil --config configs/distil_mini_lexicon.yaml --language sw,fi --out results/languages
    pecl distil --config configs/distil_mini_lexicon.yaml --language ee --text flickr30k200@4 --out results/languages
    python scripts/make_ready_adapters.py results/languages --keep results/measured/languages

The folder must hold one training per language. A language is shipped if the interval of its gain on the test captions
is above zero. Languages of XTD10 are also measured on XTD200, with the files that are shipped; --keep copies these
results, too:

    pecl evaluate --profile mini --language jp --adapter mini:jp --dataset xtd200 --gallery english --precision bf16 \
        --out results/languages

`pecl distil` and `pecl evaluate` run only what has no result, so all commands can be repeated.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.formats.packed import pack
from pecl.adapters.ready import RESULTS, SHIPPED, read_results
from pecl.errors import not_none
from pecl.files import read_tensors, sha256_file, write_bytes, write_json, write_tensors, write_text
from pecl.files.digests import with_digest
from pecl.report.tables.statistics import gain, intervals
from pecl.results.result import Result, collect
from pecl.results.verify import verify

STEPS = [step / 100 for step in range(24, 61)]  # of `pack`: the first that fits


def main() -> None:
    """Write one adapter file and one result per language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder with the results and adapter files of `pecl distil`")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder of all profiles (default: the package's)")
    parser.add_argument("--keep", type=Path, help="folder for the results of all languages, with their ranks")
    parsed = parser.parse_args()
    results = collect([parsed.results])
    trainings = [result for result in results if result.kind == "train"]
    languages = [result.config.language for result in trainings]
    if not results or len(set(languages)) < len(languages):
        parser.error(f"expected one training per language in {parsed.results}, got {', '.join(languages) or 'none'}")
    for result in results:
        verify(result)
    for result in trainings:
        low = float(intervals([gain(result)])[0, 0])
        said = f"not shipped: the interval of its gain begins at {low:+.3f}"
        if low > 0:
            path = write(result, parsed.out)
            said = f"{path} ({path.stat().st_size:,} bytes)"
        print(f"{result.config.language}: {said}")
    if parsed.keep is not None:
        for result in results:
            keep(result, parsed.keep)
        remove_older(results, parsed.keep)


def largest(result: Result) -> int:
    """Return the bytes that the file of an adapter may have, so that the wheel has less than 15 MB.

    What learned more loses more in few bits: from 27,000 pairs; or from 757, with 6,090 mixed captions, or 3,045 with
    emoji or without, or none.
    """
    if "word_embeddings" not in not_none(result.adapter, "adapter").spec:
        return 99_000
    record = not_none(result.data.translations, "translations").provenance
    mixed, emoji = record.get("mixed", {"captions": 0})["captions"], "emoji" in (result.config.text or "")
    return 62_000 if mixed > 6_000 else 55_400 if mixed and emoji else 53_500 if mixed else 51_400


def write(result: Result, out: Path) -> Path:
    """Write the adapter of a result in a few bits a parameter, and its line in the file of results."""
    file, limit = load_adapter_file(result.adapter_path), largest(result)
    metadata = read_tensors(file.path)[1]
    folder = out / result.config.profile
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.config.language}.safetensors"
    for step in STEPS:
        write_tensors(path, pack(file.state, step), metadata)
        if path.stat().st_size <= limit:
            break
    else:
        path.unlink()
        raise SystemExit(f"{file.path} has more than {limit:,} bytes in steps of {step} deviations")
    shipped = replace(result, adapter=replace(result.adapter, sha256=sha256_file(path)))
    document = _in_place(shipped)
    document.pop("ranks", None)  # the kept result has them
    write_line(folder / RESULTS, with_digest(document))
    return path


def write_line(path: Path, document: dict[str, Any]) -> None:
    """Write a result into a file of one result per language, in order of languages."""
    documents = {**(read_results(path) if path.exists() else {}), document["config"]["language"]: document}
    write_text(path, "".join(json.dumps(documents[code], separators=(",", ":")) + "\n" for code in sorted(documents)))


def keep(result: Result, folder: Path) -> None:
    """Copy a result and the split that it names; the adapter and the captions that were retrieved are not copied.

    A training does not name its adapter file any more, since nobody has it; an evaluation names the shipped one.
    """
    if result.kind == "train":
        result = replace(result, adapter=replace(result.adapter, sha256=None))
    write_json(folder / result.path.name, with_digest(_in_place(result)), indent=None)
    for split in (result.path.parent / "splits").glob("*.json"):
        write_bytes(folder / "splits" / split.name, split.read_bytes())


def remove_older(results: Sequence[Result], folder: Path) -> None:
    """Remove results that the given ones replace from the folder of results that are kept."""
    kept = {_replaces(result): result.path.name for result in results}
    for other in collect([folder]):
        if kept.get(_replaces(other), other.path.name) != other.path.name:
            other.path.unlink()


def _replaces(result: Result) -> tuple[str, str, bool]:
    """Return the kind, the language and whether there is an adapter: of results that agree in these, one is kept."""
    return result.kind, result.config.language, result.adapter is not None


def _in_place(result: Result) -> dict[str, Any]:
    """Return a result as JSON that names the project's folder of results and no other."""
    return replace(result, config=replace(result.config, out="results/languages")).to_json()


if __name__ == "__main__":
    main()
