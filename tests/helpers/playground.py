"""A folder with one sound and many broken files of each kind, for commands that are given the wrong thing."""

import json
import struct
from pathlib import Path

import torch
from PIL import Image
from safetensors.torch import save_file

from helpers.folders import without_digest
from helpers.small_experiment import SMALL, write_folder, write_text
from helpers.small_index import edit
from pecl.config import make_config
from pecl.experiment.run import evaluate, train
from pecl.files import write_tensors
from pecl.search.build import build_index
from pecl.search.catalogue import FILE, index_folder

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
        "quote.csv": _table(plain, [*ROWS, ("0.png", '"a"b', "c")]),
        "missing-image.csv": _table(plain, [*ROWS, ("nowhere.png", "a", "b")]),
        "broken-image.csv": _table(plain, [*ROWS, ("broken.png", "a", "b")]),
        "train-only.csv": _table(f"{plain},part", [(*row, "train") for row in ROWS]),
        "no-val.csv": _table(f"{plain},part", [(*row, ("train", "test")[i % 2]) for i, row in enumerate(ROWS)]),
        "wrong-part.csv": _table(f"{plain},part", [(*row, "dev") for row in ROWS]),
        "text-only.csv": _table("en,de", [row[1:] for row in ROWS]),
        "table.txt": _table(plain, ROWS),
        "half.jsonl": "".join(json.dumps({"image": i, "en": e, "de": d + "\ud83d"}) + "\n" for i, e, d in ROWS),
        "not.jsonl": "no JSON\n",
        "list.jsonl": "[1, 2]\n",
        "number.jsonl": json.dumps({"image": "0.png", "en": "a", "de": 3}) + "\n",
        "not.parquet": "no parquet",
    }
    for name, text in tables.items():
        (folder / name).write_text(text, "utf-8")
    (folder / "latin1.csv").write_bytes(_table(plain, [*ROWS, ("0.png", "a", "für")]).encode("latin-1"))
    (folder / "broken.png").write_bytes(b"no picture")
    (folder / "lines.txt").write_text("one\n\nthree\n")
    for name, count in (("three.en", 3), ("two.de", 2)):
        (folder / name).write_text("".join(f"line {i}\n" for i in range(count)))
    Image.new("RGB", (6, 6)).save(folder / "lone.png")


def _write_configs(folder: Path) -> None:
    configs = {
        "unknown-key.yaml": "languge: de",
        "wrong-value.yaml": "lr: fast",
        "twice.yaml": "lr: 1\nlr: 2",
        "list.yaml": "- de\n- fr",
        "not.yaml": "a: [1, 2",
        "zero-byte.yaml": 'out: "a\\0b"',
        "half.yaml": 'out: "\\ud83d"',
        "huge.yaml": f"seed: {10**40}",
        "huge-float.yaml": f"lr: {10**400}",
        "empty-list.yaml": "lr: []",
        "nested.yaml": "lr: {a: 1}",
    }
    for name, text in configs.items():
        (folder / name).write_text(text + "\n")
    (folder / "latin1.yaml").write_bytes(b"out: \xe9t\xe9\n")


def _write_results(folder: Path) -> None:
    values = {**SMALL, "dataset": str(folder / "captions.csv"), "out": str(folder / "results")}
    trained = train(make_config(values))
    evaluate(make_config({**values, "shots": 50}))
    sound = without_digest(trained.path)

    def write(name: str, document: object) -> None:
        (folder / name).mkdir()
        text = document if isinstance(document, str) else json.dumps(document)
        (folder / name / trained.path.name).write_text(text)

    for missing in ("curve", "data", "metrics", "ranks", "config", "seconds", "towers", "adapter"):
        write(f"without-{missing}", {key: value for key, value in sound.items() if key != missing})
    write("curve-of-text", sound | {"curve": "up"})
    write("unknown-field", sound | {"config": sound["config"] | {"speed": 9}})
    write("edited", trained.path.read_text().replace('"best_step": ', '"best_step": 1'))
    write("truncated", trained.path.read_text()[:200])
    write("list", [1, 2])
    write("newer", sound | {"schema": 99})
    write("text-ranks", sound | {"ranks": "none"})
    write("other-status", sound | {"status": "done"})
    write("failed-only", sound | {"status": "failed", "error": "it failed"})


def _write_adapters(folder: Path) -> None:
    (sound,) = (folder / "results" / "adapters").glob("*.safetensors")
    content = sound.read_bytes()
    (folder / "sound.safetensors").write_bytes(content)
    (folder / "truncated.safetensors").write_bytes(content[:-40])
    (folder / "text.safetensors").write_text("no tensors")
    (folder / "long-header.safetensors").write_bytes(struct.pack("<Q", 2**60) + content[8:])
    save_file({"a": torch.zeros(2)}, folder / "other.safetensors")
    newer = {"format": "pecl-adapter", "format_version": "99", "configs": "[]", "language": "de"}
    write_tensors(folder / "newer.safetensors", {"a": torch.zeros(2)}, newer)
    (folder / "text.ckpt").write_text("no checkpoint")
    (folder / "peft").mkdir()
    (folder / "peft" / "adapter_config.json").write_text("{}")


def _write_indexes(folder: Path) -> None:
    """Write indexes in the folders of their photographs, which `--out` may name as well."""
    for name in ("pictures", "indexed", "damaged-index", "other-version"):
        (folder / name).mkdir()
        Image.new("RGB", (6, 6), "red").save(folder / name / "red.png")
    for name in ("indexed", "damaged-index", "other-version"):
        build_index(folder / name)
    (index_folder(folder / "damaged-index") / FILE).write_text("{")
    edit(index_folder(folder / "other-version"), "UPDATE head SET document = ?", '{"version": 99}')
    build_index(folder / "indexed", folder / "index")
