"""Whatever damage a file has, its parser returns, or raises one sentence that names the file."""

import contextlib
import gzip
import json
import random
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import torch
from helpers.adapter_towers import states
from helpers.project import ROOT
from helpers.report_results import both, document, ranked
from helpers.tiny import tiny_tower
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from pecl.adapters.formats.files import load_adapter_file, read_adapter, save_adapter
from pecl.adapters.formats.opendelta import load_released_checkpoint
from pecl.adapters.formats.peft import write_peft
from pecl.adapters.spec import parse_adapter
from pecl.config import read_yaml
from pecl.data.captions import read_captions
from pecl.data.custom.tables import check_captions_file
from pecl.data.download import read_download_records
from pecl.data.reading import read_provenance
from pecl.encoders.loading.sentence_transformers import read_layout
from pecl.encoders.loading.weights import read_config, read_state_dict
from pecl.errors import DataError, PeclError
from pecl.files import sha256_bytes, sha256_json, write_tensors
from pecl.files.digests import with_digest
from pecl.grid.configs import expand
from pecl.results.folder import read_manifest, read_retrieved
from pecl.results.result import read_result, run_from_json
from pecl.training.state import restore_state, save_state

NAMES = (
    *("yaml", "result", "manifest", "retrieved", "csv", "jsonl", "parquet", "gzip", "downloads", "provenance"),
    *("state", "adapter", "peft", "released", "index", "model config"),
    *("modules.json", "1_Pooling/config.json", "config_sentence_transformers.json"),
)
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
LAYOUT = {
    "modules.json": [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (path, kind) in enumerate(KINDS)
    ],
    "1_Pooling/config.json": {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True},
    "config_sentence_transformers.json": {"prompts": {"query": "query: "}, "default_prompt_name": "query"},
}
PROGRESS = {"step": 3, "curve": [[1, 0.5]], "best": None}


class Parser(NamedTuple):
    """A kind of file: its path in a folder of its own, a sound content, what reads it, and files next to it."""

    path: str
    sound: bytes
    read: Callable[[Path], object]
    neighbour: Mapping[str, bytes] = {}


@pytest.fixture(scope="module")
def parsers(tmp_path_factory):
    """Return the parsers by name."""
    folder = tmp_path_factory.mktemp("sound")

    def made(name, write):
        write(folder / name)
        return (folder / name).read_bytes()

    tower, result = tiny_tower(), _result()
    ((state,), configs), split = (states(tower, "lora", 1), parse_adapter("lora")), sha256_json(MANIFEST)[:16]
    read = run_from_json(result | {"data": result["data"] | {"manifest": split}})
    pictures = {name: made(name, Image.new("RGB", (2, 2)).save) for name in ("1.png", "2.png")}
    model = made("model.safetensors", lambda path: write_tensors(path, {"a": torch.ones(2)}, {"format": "pt"}))
    write_peft(folder / "peft", state, configs, tower)
    peft, tensors = (
        (folder / "peft" / f"adapter_{name}").read_bytes() for name in ("config.json", "model.safetensors")
    )
    saved = made("state", lambda path: save_state(path, {"a": torch.ones(2)}, [], PROGRESS))
    adapter = made("de", lambda path: save_adapter(path, state, configs, "de", tower))
    index, provenance = {"weight_map": {"a": "model-1.safetensors"}}, {"sha256": sha256_bytes(CAPTIONS)}
    layout = {path: _json(content) for path, content in LAYOUT.items()}

    def of_run(path):
        return replace(read, path=path.parents[1] / "de.json")

    return {
        "yaml": Parser(
            "config.yaml",
            (ROOT / "configs" / "grid_mini.yaml").read_bytes(),
            lambda path: expand(read_yaml(path), str(path)),
        ),
        "result": Parser("result.json", _json(with_digest(result)), read_result),
        "manifest": Parser(f"splits/{split}.json", _json(MANIFEST), lambda path: read_manifest(of_run(path))),
        "retrieved": Parser(f"retrieved/{read.name}.json", _json(RETRIEVED), lambda path: read_retrieved(of_run(path))),
        "csv": Parser("table.csv", pd.DataFrame(ROWS).to_csv(index=False).encode(), _check_table, pictures),
        "jsonl": Parser("table.jsonl", b"\n".join(map(_json, ROWS)), _check_table, pictures),
        "parquet": Parser("a.parquet", made("a.parquet", pd.DataFrame(ROWS).to_parquet), _check_table, pictures),
        "gzip": Parser("captions.txt.gz", gzip.compress(CAPTIONS), read_captions),
        "downloads": Parser("xtd10/download.json", _json(DOWNLOADS), _downloads),
        "provenance": Parser(
            "de.txt.provenance.json",
            _json(provenance | {"translator": "opus"}),
            lambda path: read_provenance(path.with_name("de.txt")),
            {"de.txt": CAPTIONS},
        ),
        "state": Parser("state.safetensors", saved, lambda path: restore_state(path, {})),
        "adapter": Parser("de.safetensors", adapter, load_adapter_file),
        "peft": Parser(
            "adapter_config.json",
            peft,
            lambda path: read_adapter(path.parent, tower),
            {"adapter_model.safetensors": tensors},
        ),
        "released": Parser(
            "best.ckpt", made("a.ckpt", partial(torch.save, OrderedDict(a=torch.ones(2)))), load_released_checkpoint
        ),
        "index": Parser(
            "model.safetensors.index.json",
            _json(index),
            lambda path: read_state_dict(path.parent),
            {"model-1.safetensors": model},
        ),
        "model config": Parser("config.json", _json(MODEL), lambda path: read_config(path.parent)),
        **{path: Parser(path, sound, _read_layout, layout) for path, sound in layout.items()},
    }


def _json(content):
    return json.dumps(content).encode()


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


# --- damage

TOKENS = (b"", b"9" * 5000, b"[" * 5000, b"NaN", b"1e999", b"null", b"{}", b"*a", b"\x00", b"\xff", b"\n", b'"', b",")
VALUES = (None, True, -1, 1 << 70, 1e999, -0.5, "", "x" * 300, "\ud800", "../../x", [], {}, [[]], {"a": None}, [1, "a"])


def damage(random, content):
    """Return a content with faults in its bytes, or in the JSON that it holds."""
    if random.randrange(2) and (changed := _damage_json(random, content)) is not None:
        return changed
    start = random.randint(0, len(content))
    if random.randrange(4) == 0:
        return content[:start]  # cut
    end = min(len(content), start + random.choice((0, 1, 4, 40)))
    flipped = bytes(byte ^ 1 << random.randrange(8) for byte in content[start:end])
    return content[:start] + random.choice((flipped, random.choice(TOKENS))) + content[end:]


def _damage_json(random, content):
    """Return JSON, lines of it or a header of safetensors, with one value replaced; None where there is no JSON."""
    if content[8:9] == b"{":  # safetensors: the length of its header, the header, the tensors
        size = int.from_bytes(content[:8], "little")
        header = _damage_json(random, content[8 : 8 + size])
        return header and len(header).to_bytes(8, "little") + header + content[8 + size :]
    lines = content.split(b"\n")
    place = random.randrange(len(lines))
    try:
        lines[place] = _json(_replace(random, json.loads(lines[place])))
    except ValueError:
        return None
    return b"\n".join(lines)


def _replace(random, value):
    """Return a JSON value in which one, at random, is another or left out; JSON within a text counts as a value too."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        with contextlib.suppress(ValueError):
            return json.dumps(_replace(random, json.loads(value)))
    if not value or not isinstance(value, (dict, list)) or random.randrange(4) == 0:
        return random.choice(VALUES)
    copied = value.copy()
    key = random.choice([*value] if isinstance(value, dict) else range(len(value)))
    if isinstance(value, dict) and random.randrange(6) == 0:
        del copied[key]
    else:
        copied[key] = _replace(random, value[key])
    return copied


@pytest.mark.parametrize("examples", [60, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_a_sound_file_is_read_and_a_damaged_one_is_one_sentence(parsers, tmp_path, name, examples):
    assert set(parsers) == set(NAMES)
    parser, refused = parsers[name], []
    path = tmp_path / parser.path
    for other, content in {**parser.neighbour, parser.path: parser.sound}.items():
        (tmp_path / other).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / other).write_bytes(content)
    sound = parser.read(path)

    @settings(max_examples=examples, database=None, phases=[Phase.generate])  # a seed has nothing to shrink
    @given(st.integers(0, 2**64))
    def check(seed):
        path.write_bytes(damage(random.Random(seed), parser.sound))
        said = refusal(parser, path)
        refused.append(said)
        assert "\n" not in said
        assert not said or path.name in said or str(path.parent) in said
        assert said or name not in ("manifest", "result") or parser.read(path) == sound  # they have a checksum

    check()
    assert any(refused), "no damage was noticed: is the file read?"


def refusal(parser, path):
    """Return the sentence that refuses the file, or an empty one where it is read."""
    try:
        parser.read(path)
    except PeclError as error:
        return str(error)
    return ""
