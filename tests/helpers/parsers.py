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

import numpy as np
import pandas as pd
import torch
from PIL import Image

from helpers.project import ROOT
from helpers.report_results import both, document, ranked
from helpers.tiny import tiny_tower
from pecl.adapters.adapter import attach
from pecl.adapters.formats.convert import read_adapter
from pecl.adapters.formats.files import load_adapter_file, save_adapter
from pecl.adapters.formats.opendelta import load_released_checkpoint
from pecl.adapters.formats.peft import write_peft
from pecl.adapters.spec import parse_adapter
from pecl.bulk.shards import open_embeddings, read_ids, write_shard
from pecl.config import read_yaml
from pecl.data.captions import read_captions
from pecl.data.custom.folder import check_captions_file
from pecl.data.fetching.download import read_download_records
from pecl.data.provenance import read_provenance
from pecl.encoders.embeddings import Embeddings, TokenStore
from pecl.encoders.loading.mini import read_head
from pecl.encoders.loading.sentence_transformers import read_layout
from pecl.encoders.loading.weights import read_config, read_state_dict, read_tensors
from pecl.errors import DataError
from pecl.files import sha256_bytes, sha256_json, write_tensors
from pecl.grid.configs import expand
from pecl.results.result import Result, read_result
from pecl.results.side_files import read_manifest, read_retrieved
from pecl.training.state import load_state, save_state

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
    tower = tiny_tower()
    made = _Made(folder, tower)
    result = _result()
    split = sha256_json(MANIFEST)[:16]
    read = Result.from_json(result | {"data": result["data"] | {"manifest": split}}, Path("de.json"))
    peft = made.peft()
    pictures = {name: made.file(name, Image.new("RGB", (2, 2)).save) for name in ("1.png", "2.png")}
    model = made.file("model.safetensors", lambda path: write_tensors(path, {"a": torch.ones(2)}, {"format": "pt"}))
    return {
        "yaml": Parser("config.yaml", CONFIGS, lambda path: expand(read_yaml(path), str(path))),
        "result": Parser("result.json", (_json(result),), read_result),
        "manifest": Parser(f"splits/{split}.json", (_json(MANIFEST),), lambda path: read_manifest(_at(read, path))),
        "retrieved": Parser(
            f"retrieved/{read.name}.json",
            (_json(RETRIEVED),),
            lambda path: read_retrieved(_at(read, path)),
        ),
        "csv": Parser("table.csv", (_table(",").encode(),), _check_table, pictures),
        "tsv": Parser("table.tsv", (_table("\t").encode(),), _check_table, pictures),
        "jsonl": Parser("table.jsonl", (b"\n".join(map(_json, ROWS)),), _check_table, pictures),
        "parquet": Parser(
            "table.parquet", (made.file("a.parquet", pd.DataFrame(ROWS).to_parquet),), _check_table, pictures
        ),
        "captions": Parser("captions.txt", (CAPTIONS,), read_captions),
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
            (made.file("state", lambda path: save_state(path, {"a": torch.ones(2)}, PROGRESS, "me")),),
            lambda path: load_state(path, "me"),
        ),
        "adapter": Parser("de.safetensors", (made.adapter("lora"), made.adapter("soft_prompt")), load_adapter_file),
        **{name: Parser(path, (peft[path],), made.read_peft, _without(peft, path)) for name, path in PEFT_PATHS},
        "released": Parser(
            "best.ckpt",
            (made.file("a.ckpt", partial(torch.save, OrderedDict(a=torch.ones(2)))),),
            load_released_checkpoint,
        ),
        "weights": Parser("model.safetensors", (model,), read_tensors),
        "bin": Parser(
            "pytorch_model.bin", (made.file("a.bin", partial(torch.save, {"a": torch.ones(2)})),), read_tensors
        ),
        "heads": Parser(
            "heads.safetensors",
            (made.file("heads", lambda path: write_tensors(path, HEADS, {})),),
            lambda path: read_head(path, "text_head"),
        ),
        "index": Parser(
            "model.safetensors.index.json",
            (_json({"weight_map": {"a": "model-1.safetensors"}}),),
            lambda path: read_state_dict(path.parent),
            {"model-1.safetensors": model},
        ),
        "model config": Parser("config.json", (_json(MODEL),), lambda path: read_config(path.parent)),
        **{name: Parser(path, (LAYOUT[path],), _read_layout, _without(LAYOUT, path)) for name, path in LAYOUT_PATHS},
        "embeddings": Parser("rows.arrow", (made.embeddings(),), lambda path: Embeddings(path)[:]),
        "tokens": Parser("ids.arrow", (made.tokens(),), lambda path: list(TokenStore(path))),
        "embedded": Parser(
            "embeddings-00000.parquet",
            (made.embedded(),),
            lambda path: (open_embeddings(path.parent), read_ids(path.parent)),
        ),
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
MODULES = [
    {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
    {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
    {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
]
POOLING = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}
PROGRESS = {"step": 3, "curve": [[1, 0.5]], "best": None}
HEADS = {"text_head.weight": torch.ones(3, 4), "text_head.bias": torch.ones(3)}
PROMPTS = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}


ROWS_OF_THREE = np.arange(12, dtype=np.float32).reshape(3, 4)


class _Made:
    """Contents of the files that pecl, torch and pandas write themselves."""

    def __init__(self, folder, tower):
        self.folder = folder
        self.tower = tower

    def file(self, name, write):
        write(self.folder / name)
        return (self.folder / name).read_bytes()

    def embeddings(self):
        return self.file("rows", lambda path: Embeddings.write(path, [torch.from_numpy(ROWS_OF_THREE)]))

    def tokens(self):
        return self.file("ids", lambda path: TokenStore.write(path, [[1, 2], [], [3]]))

    def embedded(self):
        rows = torch.from_numpy(ROWS_OF_THREE)
        return self.file("embedded", lambda path: write_shard(path, ["a", "b", "c"], rows, {"rows": "3"}))

    def adapter(self, spec):
        configs = parse_adapter(spec)
        adapter = attach(self.tower, configs, seeds=[1])
        try:
            state = adapter.slot_state(0)
        finally:
            adapter.remove()
        return self.file("a.safetensors", lambda path: save_adapter(path, state, configs, "de", self.tower))

    def peft(self):
        self.adapter("lora")
        file = load_adapter_file(self.folder / "a.safetensors")
        write_peft(self.folder / "peft", file.state, file.configs, self.tower)
        return {path: (self.folder / "peft" / path).read_bytes() for _, path in PEFT_PATHS}

    def read_peft(self, path):
        return read_adapter(path.parent, self.tower)


def _without(files, name):
    return {other: content for other, content in files.items() if other != name}


def _json(document):
    return json.dumps(document).encode()


def _result():
    states = {
        stage: both(ranked(hits, 6), ranked(hits, 6)) for stage, hits in (("zero_shot", 2), ("final", 3), ("best", 4))
    }
    result = document("train", states, language="de", seed=3)
    result["data"]["gallery"]["items"] = list(range(6))
    result["subsets"] = {"test": {"val2014": {"captions": 4, "best": {"mean_recall@1": 0.5}}}}
    return result


def _at(result, path):
    return replace(result, path=path.parents[1] / "de.json")


def _table(delimiter):
    return "\n".join(delimiter.join(row) for row in [ROWS[0].keys(), *(row.values() for row in ROWS)])


def _downloads(path):
    for record in read_download_records(path.parents[1], "xtd10").values():
        record.get("sha256")


def _check_table(path):
    if problems := check_captions_file(path):
        raise DataError(f"{path}, {problems[0]}")


def _read_layout(path):
    """Read the layout of the folder that holds `path`, or holds its folder."""
    folder = path.parents[1] if path.parent.name == "1_Pooling" else path.parent
    return read_layout(folder, torch.float32)


LAYOUT = {
    "modules.json": _json(MODULES),
    "1_Pooling/config.json": _json(POOLING),
    "config_sentence_transformers.json": _json(PROMPTS),
}
LAYOUT_PATHS = tuple(zip(("modules", "pooling", "prompts"), LAYOUT, strict=True))
PEFT_PATHS = (("peft config", "adapter_config.json"), ("peft weights", "adapter_model.safetensors"))
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
    start = random.randint(0, len(content))
    end = min(len(content), start + random.choice((0, 0, 1, 4, 8, 40)))
    other_start = random.randint(0, len(other))
    put = {
        "cut": lambda: (content[:start], b""),
        "drop": lambda: (content[:start], content[end:]),
        "flip": lambda: (
            content[:start] + bytes(byte ^ 1 << random.randrange(8) for byte in content[start:end]),
            content[end:],
        ),
        "token": lambda: (content[:start] + random.choice(TOKENS), content[end:]),
        "splice": lambda: (content[:start] + other[other_start : other_start + 40], content[end:]),
        "tail": lambda: (content[:start], other[other_start:]),
    }
    return b"".join(put[random.choice(list(put))]())


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
