"""Every parser of files as one table: sound files of its kind, and how one is read; and ways to damage a file."""

import contextlib
import copy
import gzip
import json
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from PIL import Image

from helpers.adapter_towers import states
from helpers.project import ROOT
from helpers.report_results import both, document, ranked
from helpers.tiny import tiny_tower
from pecl.adapters.formats.convert import read_adapter
from pecl.adapters.formats.files import load_adapter_file, save_adapter
from pecl.adapters.formats.opendelta import load_released_checkpoint
from pecl.adapters.formats.peft import write_peft
from pecl.adapters.spec import parse_adapter
from pecl.config import read_yaml
from pecl.data.captions import read_captions
from pecl.data.custom.folder import check_captions_file
from pecl.data.fetching.download import read_download_records
from pecl.data.provenance import read_provenance
from pecl.encoders.loading.sentence_transformers import read_layout
from pecl.encoders.loading.weights import read_config, read_state_dict
from pecl.errors import DataError
from pecl.files import sha256_bytes, sha256_json, write_tensors
from pecl.files.digests import with_digest
from pecl.grid.configs import expand
from pecl.results.result import Result, read_result
from pecl.results.side_files import read_manifest, read_retrieved
from pecl.training.state import Checkpoint, load_state

CONFIGS = tuple((ROOT / "configs" / name).read_bytes() for name in ("mini.yaml", "grid_mini.yaml"))


@dataclass(frozen=True)
class Parser:
    """A kind of file.

    Attributes:
        path: where it lies in a folder of its own.
        sound: contents without a fault.
        read: reads the file at a path.
        neighbour: path -> content of the files that have to be there as well.
    """

    path: str
    sound: tuple[bytes, ...]
    read: Callable[[Path], object]
    neighbour: Mapping[str, bytes] = field(default_factory=dict)


def make_parsers(folder):
    """Return the parsers by name; `folder` is for files that sound contents are taken from."""

    def made(name, write):
        write(folder / name)
        return (folder / name).read_bytes()

    tower, result = tiny_tower(), _result()
    ((state,), configs), split = (states(tower, "lora", 1), parse_adapter("lora")), sha256_json(MANIFEST)[:16]
    read = Result.from_json(result | {"data": result["data"] | {"manifest": split}})
    pictures = {name: made(name, Image.new("RGB", (2, 2)).save) for name in ("1.png", "2.png")}
    model = made("model.safetensors", lambda path: write_tensors(path, {"a": torch.ones(2)}, {"format": "pt"}))
    write_peft(folder / "peft", state, configs, tower)
    tensors = {PEFT[1]: (folder / "peft" / PEFT[1]).read_bytes()}

    def of_run(path):
        return replace(read, path=path.parents[1] / "de.json")

    return {
        "yaml": Parser("config.yaml", CONFIGS, lambda path: expand(read_yaml(path), str(path))),
        "result": Parser("result.json", (_json(with_digest(result)),), read_result),
        "manifest": Parser(f"splits/{split}.json", (_json(MANIFEST),), lambda path: read_manifest(of_run(path))),
        "retrieved": Parser(
            f"retrieved/{read.name}.json", (_json(RETRIEVED),), lambda path: read_retrieved(of_run(path))
        ),
        "csv": Parser("table.csv", (pd.DataFrame(ROWS).to_csv(index=False).encode(),), _check_table, pictures),
        "jsonl": Parser("table.jsonl", (b"\n".join(map(_json, ROWS)),), _check_table, pictures),
        "parquet": Parser("a.parquet", (made("a.parquet", pd.DataFrame(ROWS).to_parquet),), _check_table, pictures),
        "gzip": Parser("captions.txt.gz", (gzip.compress(CAPTIONS),), read_captions),
        "downloads": Parser("xtd10/download.json", (_json(DOWNLOADS),), _downloads),
        "provenance": Parser(
            "de.txt.provenance.json",
            (_json({"sha256": sha256_bytes(CAPTIONS), "translator": "opus"}),),
            lambda path: read_provenance(path.with_name("de.txt")),
            {"de.txt": CAPTIONS},
        ),
        "state": Parser(
            "state.safetensors",
            (made("state", lambda path: Checkpoint(path).save({"a": torch.ones(2)}, [], PROGRESS)),),
            load_state,
        ),
        "adapter": Parser(
            "de.safetensors",
            (made("de", lambda path: save_adapter(path, state, configs, "de", tower)),),
            load_adapter_file,
        ),
        "peft": Parser(
            PEFT[0],
            ((folder / "peft" / PEFT[0]).read_bytes(),),
            lambda path: read_adapter(path.parent, tower),
            tensors,
        ),
        "released": Parser(
            "best.ckpt",
            (made("a.ckpt", partial(torch.save, OrderedDict(a=torch.ones(2)))),),
            load_released_checkpoint,
        ),
        "index": Parser(
            "model.safetensors.index.json",
            (_json({"weight_map": {"a": "model-1.safetensors"}}),),
            lambda path: read_state_dict(path.parent),
            {"model-1.safetensors": model},
        ),
        "model config": Parser("config.json", (_json(MODEL),), lambda path: read_config(path.parent)),
        **{
            path: Parser(path, (sound,), _read_layout, {other: own for other, own in LAYOUT.items() if other != path})
            for path, sound in LAYOUT.items()
        },
    }


CAPTIONS = b"ein Hund\nzwei Katzen\n"
ROWS = [
    {"image": "1.png", "en": "a dog", "de": "ein Hund", "part": "train"},
    {"image": "2.png", "en": "two cats", "de": "zwei Katzen", "part": "test"},
]
MANIFEST = {
    "indices": {"train": [1], "val": [0], "test": [2]},
    "gallery": {"kind": "images", "items": [2], "ids": ["c"]},
}
RETRIEVED = {"test": {"zero_shot": [[1, 2]], "best": [[2, 1]]}}
DOWNLOADS = {"files": {"xtd10/images/a.jpg": {"url": "https://a/b", "sha256": "0" * 64, "bytes": 12}}}
MODEL = {"model_type": "xlm-roberta", "hidden_size": 32, "num_hidden_layers": 2, "vocab_size": 260}
KINDS = (("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize"))
MODULES = [
    {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
    for i, (path, kind) in enumerate(KINDS)
]
POOLING = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
PROGRESS = {"step": 3, "curve": [[1, 0.5]], "best": None}
PROMPTS = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
PEFT = ("adapter_config.json", "adapter_model.safetensors")


def _json(document):
    return json.dumps(document).encode()


def _result():
    hits = {"zero_shot": 2, "final": 3, "best": 4}
    states = {stage: both(ranked(own, 6), ranked(own, 6)) for stage, own in hits.items()}
    result = document("train", states, language="de", seed=3)
    result["data"]["gallery"]["items"] = list(range(6))
    result["subsets"] = {"test": {"val2014": {"captions": 4, "best": {"mean_recall@1": 0.5}}}}
    return result


def _downloads(path):
    for record in read_download_records(path.parents[1], "xtd10").values():
        record.get("sha256")


def _check_table(path):
    if problems := check_captions_file(path):
        raise DataError(f"{path}, {problems[0]}")


def _read_layout(path):
    """Read the layout of the folder that holds `path`, or holds its folder."""
    return read_layout(path.parents[1] if path.parent.name == "1_Pooling" else path.parent, torch.float32)


LAYOUT = {
    "modules.json": _json(MODULES),
    "1_Pooling/config.json": _json(POOLING),
    "config_sentence_transformers.json": _json(PROMPTS),
}
TOKENS = (
    *(b"9" * 5000, b"[" * 5000, b'{"a":' * 3000, b"\\ud800", b"NaN", b"-Infinity", b"1e999", b"null", b"true", b"{}"),
    b"[]",
    *(b"&a [*a, *a]", b"*a", b"!!python/object/apply:os.system [x]", b"!!int x", b"<<: ", b"2001-99-99", b"1:99:99.5"),
    *(b"? [a]", b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b'"', b"'", b",", b"\t", b"\x1b[2J", b"../../x"),
    *(b"\xed\xa0\x80", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 8, b"\x00" * 8),
)
VALUES = (None, True, -1, 0, 1 << 40, 1 << 70, 1e999, float("nan"), -0.5, "", "x" * 300, "\ud800", "\x1b[2J", "../../x")
VALUES += ([], {}, [[]], [{}], {"a": None}, [1, "a"], "/", "de", [None], {"": ""})


def damage(random, sound):
    """Return a sound content with faults in its bytes, or in the JSON that it holds, or bytes at random."""
    content = random.choice(sound)
    kind = random.randrange(8)
    if kind == 0:
        return random.randbytes(random.randrange(200))
    if kind < 4 and (changed := _damage_json(random, content)) is not None:
        return changed
    for _ in range(random.randint(1, 3)):
        content = _damage_bytes(random, content, random.choice(sound))
    return content


def _damage_bytes(random, content, other):
    """Cut, drop, flip or replace some bytes, or go on with another content."""
    start, other_start = random.randint(0, len(content)), random.randint(0, len(other))
    end = min(len(content), start + random.choice((0, 0, 1, 4, 8, 40)))
    flipped = bytes(byte ^ 1 << random.randrange(8) for byte in content[start:end])
    spliced = other[other_start : other_start + 40]
    middle = random.choice((b"", flipped, random.choice(TOKENS), spliced, None))
    if middle is None:
        return content[:start] + random.choice((b"", other[other_start:]))
    return content[:start] + middle + content[end:]


def _damage_json(random, content):
    """Return JSON, lines of it or a header of safetensors, with one value replaced; None where there is no JSON."""
    if content[8:9] == b"{":  # safetensors: the length of its header, the header, the tensors
        size = int.from_bytes(content[:8], "little")
        header = _damage_json(random, content[8 : 8 + size])
        return header and len(header).to_bytes(8, "little") + header + content[8 + size :]
    lines = content.split(b"\n")
    place = random.randrange(len(lines))
    try:
        document = json.loads(lines[place])
    except ValueError:
        return None
    lines[place] = json.dumps(_replace(random, document)).encode()
    return b"\n".join(lines)


def _replace(random, value):
    """Return a JSON value in which one, at random, is another; JSON within a text counts as a value too."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            return json.dumps(_replace(random, json.loads(value)))
    if not value or not isinstance(value, (dict, list)) or random.randrange(4) == 0:
        return random.choice(VALUES)
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = random.choice(keys)
    if isinstance(value, dict) and random.randrange(6) == 0:
        return {name: one for name, one in value.items() if name != key}
    copied = copy.copy(value)
    copied[key] = _replace(random, value[key])
    return copied
