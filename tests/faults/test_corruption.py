"""A bit that flips, or a cut, anywhere in a file: what is read is what was written, or one sentence names the file."""

import pytest
import torch
from helpers.small_experiment import tiny_towers

from pecl.adapters.formats.files import load_adapter_file
from pecl.adapters.formats.peft import read_peft, write_peft
from pecl.adapters.spec import parse_adapter
from pecl.config import make_config
from pecl.errors import PeclError
from pecl.experiment.run import train
from pecl.results.result import read_result
from pecl.training.state import Checkpoint, load_state


def bits(tensors):
    return {name: (str(t.dtype), tuple(t.shape), t.numpy().tobytes()) for name, t in tensors.items()}


@pytest.fixture
def files(small, tmp_path):
    """Return what reads each file, by its path."""
    torch.set_num_threads(1)
    tower, trained = tiny_towers().text, train(make_config(small))
    adapter, state = trained.adapter_path, tmp_path / "state.safetensors"
    peft = write_peft(tmp_path / "peft", load_adapter_file(adapter).state, parse_adapter("lora", 2), tower)
    Checkpoint(state).save({"a": torch.arange(9.0)}, [], {"step": 3})
    return {
        trained.path: lambda: read_result(trained.path).to_json(),
        adapter: lambda: bits(load_adapter_file(adapter).state),
        peft / "adapter_model.safetensors": lambda: bits(read_peft(peft, tower)[1]),
        state: lambda: repr(load_state(state)),
    }


def damaged(content):
    """Yield the content with one bit flipped at places all over it, and cut."""
    for place in (0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.999, 1):
        at = int(place * (len(content) - 1))
        yield content[:at] + bytes([content[at] ^ 1 << at % 7]) + content[at + 1 :]
    for end in (0, 1, len(content) // 2, -3):
        yield content[:end]


def test_damage_is_seen_and_named(files):
    for path, read in files.items():
        whole, expected, seen = path.read_bytes(), read(), 0
        for content in damaged(whole):
            path.write_bytes(content)
            try:
                found = read()
            except PeclError as error:
                found, said = expected, str(error)
                seen += str(path) in said and "\n" not in said
            assert found == expected, path
        path.write_bytes(whole)
        assert seen >= 10, path
