"""What a user may get wrong in a shell: one sentence, exit status 2, nothing written."""

from pathlib import Path

import pytest
import torch

from pecl.cli import main
from pecl.encoders.towers import load_towers
from pecl.errors import ConfigError, OutputError
from pecl.results.locks import hold


def run(small, *arguments):
    return main(["train", *(f"--{name.replace('_', '-')}={value}" for name, value in small.items()), *arguments])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--weights", "de.safetensors"], "pecl: weights: expected none"),
        (
            ["--ephocs", "9"],
            "pecl: train: unrecognized arguments: --ephocs 9; did you mean '--epochs'?; see pecl train",
        ),
    ],
)
def test_one_sentence_and_nothing_written(small, arguments, message, capsys):
    assert run(small, *arguments) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith(message)
    assert not Path(small["out"]).exists()


@pytest.mark.parametrize("device", ["foo", "cuda:99"])
def test_a_device_that_is_not_there(device):
    with pytest.raises(ConfigError, match=f"device: expected one that is there, such as cpu.*, got {device}"):
        load_towers("mini", device=device)
    load_towers("mini", device=torch.device("cpu"))


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc here, where no folder can be made")
def test_a_lock_where_no_folder_can_be_made_is_an_error_and_no_endless_wait():
    with pytest.raises(OutputError, match=r"cannot write /proc/pecl/\.locks/run"), hold("/proc/pecl", ["run"]):
        pass
