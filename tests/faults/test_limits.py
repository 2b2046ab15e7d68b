"""Files that would hang a command, fill the memory or end in a traceback are refused at once, within limits."""

import os
import signal

import pytest

from pecl.adapters.formats.files import load_adapter_file
from pecl.config import read_yaml
from pecl.data.captions import read_captions
from pecl.data.custom.tables import read_table
from pecl.encoders.loading.weights import read_json, read_tensors
from pecl.errors import ConfigError, PeclError
from pecl.files import parse_json
from pecl.files.images import ImageFiles
from pecl.grid.configs import expand
from pecl.results.result import read_result
from pecl.training.state import load_state

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
    "state.safetensors": load_state,
    "image.png": lambda path: ImageFiles((path,)).load(0),
    "hashed.png": lambda path: ImageFiles((path,)).fingerprint(0),
}


@pytest.fixture
def at_once():
    """Let a test that hangs on a pipe fail, rather than hold up all others."""

    def end(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("name", "make"), [*((name, os.mkfifo) for name in READERS), ("config.json", os.mkdir)])
def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path, name, make):
    make(tmp_path / name)
    with pytest.raises(PeclError, match=name):
        READERS[name](tmp_path / name)


def test_yaml_that_is_none_or_beyond_python(tmp_path):
    for text, message in (
        ("a: !!python/object/apply:os.system [id]", "line 1: expected YAML: could not determine a constructor"),
        ("a: " + "[" * 3000, "expected YAML"),
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


def test_a_grid_of_too_many_combinations_is_refused_and_not_begun():
    with pytest.raises(ConfigError, match="expected lists with at most 100,000 combinations, got 1000000"):
        expand({"seed": list(range(1000)), "split_seed": list(range(1000))})
