"""Files made to hang, to fill the memory or to end in a traceback: each is refused at once, within limits."""

import os
import struct

import pytest

from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.formats.opendelta import load_released_checkpoint
from pecl.config import read_yaml
from pecl.data.captions import read_captions
from pecl.data.custom.tables import read_table
from pecl.data.provenance import read_provenance
from pecl.encoders.loading.weights import read_json, read_tensors
from pecl.errors import ConfigError, PeclError
from pecl.files import parse_json
from pecl.files import read_tensors as read_safetensors
from pecl.files.images import ImageFiles
from pecl.grid.configs import expand
from pecl.results.result import read_result
from pecl.training.state import load_state

pytestmark = pytest.mark.usefixtures("at_once")
READERS = {
    "config.yaml": read_yaml,
    "result.json": read_result,
    "table.csv": read_table,
    "table.parquet": read_table,
    "captions.txt": read_captions,
    "captions.txt.gz": read_captions,
    "config.json": read_json,
    "model.safetensors": read_tensors,
    "model.bin": read_tensors,
    "adapter.safetensors": load_adapter_file,
    "best.ckpt": load_released_checkpoint,
    "state.safetensors": lambda path: load_state(path, ""),
    "image.png": lambda path: ImageFiles((path,)).load(0),
    "hashed.png": lambda path: ImageFiles((path,)).fingerprint(0),
    "de.txt.provenance.json": lambda path: read_provenance(path.with_name("de.txt")),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(PeclError, match=name):
        READERS[name](tmp_path / name)


def test_yaml_that_is_none_or_beyond_python(tmp_path):
    for text, message in (
        ("a: !!python/object/apply:os.system [id]", "line 1: expected YAML: could not determine a constructor"),
        ("a: " + "[" * 3000, "expected YAML"),
        ("shots: " + "9" * 5000, "expected YAML"),
        ("a: 2001-99-99", "expected YAML"),
        ("a: 1" + ":1" * 200 + ".5", "expected YAML: int too large"),  # 60 to the power of 200
    ):
        (tmp_path / "a.yaml").write_text(text)
        with pytest.raises(ConfigError, match=message):
            read_yaml(tmp_path / "a.yaml")


@pytest.mark.parametrize(("text", "message"), [("[" * 100_000, "nested"), (b"\xff", "decode"), ("", "Expecting value")])
def test_what_is_no_json_is_a_value_error(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_a_hostile_line_of_jsonl_is_one_problem(tmp_path):
    lines = ['{"en": "a"}', "[" * 50_000, '{"en": ' + "9" * 5000 + "}"]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    table = read_table(tmp_path / "a.jsonl")
    assert [problem.line for problem in table.problems] == [2, 3]
    assert (table.columns, len(table.rows)) == (["en"], 1)


def test_a_grid_of_too_many_combinations_is_refused_and_not_begun():
    with pytest.raises(ConfigError, match="expected lists with at most 100,000 combinations, got 1000000"):
        expand({"seed": list(range(1000)), "split_seed": list(range(1000))})


def test_the_length_of_a_safetensors_header_is_not_believed(tmp_path):
    for length in (2**64 - 1, 2**63, 10**9, 100):
        (tmp_path / "a").write_bytes(struct.pack("<Q", length) + b'{"a": 1}')
        with pytest.raises(ValueError, match=r"(?i)header"):
            read_safetensors(tmp_path / "a")
