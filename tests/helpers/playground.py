"""A folder with one sound and many broken files of each kind, for commands that are given the wrong thing."""

import json
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from helpers.folders import without_digest
from helpers.small_experiment import SMALL, write_folder, write_text
from pecl.apps.search.build import build_index
from pecl.config import make_config
from pecl.experiment.evaluation import evaluate
from pecl.experiment.run import train
from pecl.files.digests import with_digest

ROWS = [(f"{i}.png", f"a house {i}", f"ein Haus {i}") for i in range(8)]


def write_playground(folder: Path) -> None:
    """Fill the empty folder; the towers of `helpers.small_experiment` must be in place."""
    write_folder(folder)  # captions.csv, sound
    write_text(folder / "text.tsv")
    (folder / "empty").mkdir()
    (folder / "file").write_text("a plain file")
    _write_tables(folder)
    _write_configs(folder)
    _write_results(folder)
    _write_adapters(folder)
    _write_indexes(folder)


def _table(header: str, rows: list) -> str:
    return "\n".join([header, *(",".join(row) for row in rows)]) + "\n"


def _write_tables(folder: Path) -> None:
    plain = "image,en,de"
    tables = {
        "no-rows.csv": _table(plain, []),
        "no-header.csv": "",
        "no-english.csv": _table("image,de", [(image, de) for image, _, de in ROWS]),
        "other-names.csv": _table("image,english,german", ROWS),
        "no-german.csv": _table("image,en,fr", ROWS),
        "twice.csv": _table(f"{plain},en", [(*row, row[1]) for row in ROWS]),
        "empty-field.csv": _table(plain, [*ROWS, ("0.png", "", "ein Haus")]),
        "short-row.csv": _table(plain, [*ROWS, ("0.png", "a house")]),
        "missing-image.csv": _table(plain, [*ROWS, ("nowhere.png", "a", "b")]),
        "broken-image.csv": _table(plain, [*ROWS, ("broken.png", "a", "b")]),
        "train-only.csv": _table(f"{plain},part", [(*row, "train") for row in ROWS]),
        "wrong-part.csv": _table(f"{plain},part", [(*row, "dev") for row in ROWS]),
        "text-only.csv": _table("en,de", [row[1:] for row in ROWS]),
        "not.jsonl": "no JSON\n",
        "number.jsonl": json.dumps({"image": "0.png", "en": "a", "de": 3}) + "\n",
        "not.parquet": "no parquet",
    }
    for name, text in tables.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "lines.txt").write_text("one\n\nthree\n")
    for name, count in (("three.en", 3), ("two.de", 2)):
        (folder / name).write_text("".join(f"line {i}\n" for i in range(count)))


def _write_configs(folder: Path) -> None:
    configs = {"twice.yaml": "lr: 1\nlr: 2", "not.yaml": "a: [1, 2", "empty-list.yaml": "lr: []"}
    for name, text in configs.items():
        (folder / name).write_text(text + "\n")


def _write_results(folder: Path) -> None:
    values = {**SMALL, "dataset": str(folder / "captions.csv"), "out": str(folder / "results")}
    trained = train(make_config(values))
    evaluate(make_config({**values, "shots": 50}))
    sound = without_digest(trained.path)

    def write(name: str, document: object) -> None:
        (folder / name).mkdir()
        (folder / name / trained.path.name).write_text(json.dumps(document))

    write("without-checksum", sound)
    write("without-config", {key: value for key, value in sound.items() if key != "config"})
    write("failed-only", with_digest(sound | {"status": "failed", "error": "it failed"}))


def _write_adapters(folder: Path) -> None:
    (sound,) = (folder / "results" / "adapters").glob("*.safetensors")
    content = sound.read_bytes()
    (folder / "sound.safetensors").write_bytes(content)
    (folder / "truncated.safetensors").write_bytes(content[:-40])
    save_file({"a": torch.zeros(2)}, folder / "other.safetensors")
    (folder / "text.safetensors").write_text("no tensors")
    (folder / "text.ckpt").write_text("no checkpoint")


def _write_indexes(folder: Path) -> None:
    """Write indexes in the folders of their photographs, which `--out` may name as well."""
    for name in ("pictures", "indexed"):
        (folder / name).mkdir()
        Image.new("RGB", (6, 6), "red").save(folder / name / "red.png")
    for out in (None, folder / "index"):
        build_index(folder / "indexed", out)
