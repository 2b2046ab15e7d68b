"""Create the shipped adapters from results of `pecl distil`, in half precision, next to their results.

    python scripts/make_ready_adapters.py results/ready
    python scripts/make_ready_adapters.py results/ready --out pecl/adapters/shipped

The folder must hold one result per language.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.ready import SHIPPED
from pecl.files import read_tensors, sha256_file, write_json, write_tensors
from pecl.results.digest import with_digest
from pecl.results.result import Result, collect
from pecl.results.verify import verify

LARGEST = 400_000  # bytes of one adapter file


def main() -> None:
    """Write one adapter file and one result per language."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder with the results and adapter files of `pecl distil`")
    parser.add_argument("--out", type=Path, default=SHIPPED, help="folder of all profiles (default: the package's)")
    parsed = parser.parse_args()
    results = [result for result in collect([parsed.results]) if result.kind == "train"]
    languages = [result.config.language for result in results]
    if not results or len(set(languages)) < len(languages):
        parser.error(f"expected one training per language in {parsed.results}, got {', '.join(languages) or 'none'}")
    for result in results:
        path = write(result, parsed.out)
        print(f"{result.config.language}: {path} ({path.stat().st_size:,} bytes)")


def write(result: Result, out: Path) -> Path:
    """Write the adapter of a result in half precision, and a result that names this file next to it."""
    verify(result)
    file = load_adapter_file(result.adapter_path)
    tensors, metadata = read_tensors(file.path)
    folder = out / result.config.profile
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{result.config.language}.safetensors"
    write_tensors(path, {name: tensor.to(torch.float16) for name, tensor in tensors.items()}, metadata)
    if path.stat().st_size > LARGEST:
        raise SystemExit(f"{path} has {path.stat().st_size:,} bytes, expected at most {LARGEST:,}")
    shipped = replace(result, adapter=replace(result.adapter, sha256=sha256_file(path)))
    document = shipped.to_json()
    document.pop("ranks", None)  # the result itself, with its ranks, lies in results/
    write_json(path.with_suffix(".json"), with_digest(document))
    return path


if __name__ == "__main__":
    main()
