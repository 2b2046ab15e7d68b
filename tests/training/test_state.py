import pytest
import torch

from pecl.errors import WeightsError
from pecl.files import write_tensors
from pecl.training.state import TrainingState, load_state, save_state


def test_round_trip_keeps_every_bit(tmp_path):
    state = TrainingState({"a": torch.randn(3, 4), "b": torch.zeros(0)}, {"step": 7, "scores": [[5, 0.125]]})
    save_state(tmp_path / "state", state, "me")
    loaded = load_state(tmp_path / "state", "me")
    assert loaded.progress == state.progress
    assert all(torch.equal(loaded.tensors[name], tensor) for name, tensor in state.tensors.items())
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


def test_a_state_that_cannot_be_opened_is_not_called_damaged(tmp_path):
    (tmp_path / "state").mkdir()
    with pytest.raises(WeightsError, match=r"cannot read training state .*state: Is a directory"):
        load_state(tmp_path / "state", "me")


def test_no_file_is_no_state(tmp_path):
    assert load_state(tmp_path / "none", "me") is None


def test_foreign_and_damaged_states_are_refused_with_advice(tmp_path):
    path = tmp_path / "state"
    save_state(path, TrainingState({"a": torch.zeros(2)}, {}), "me")
    with pytest.raises(WeightsError, match=r"belongs to other data or weights.*delete .*state"):
        load_state(path, "you")
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"\x40")  # another number
    with pytest.raises(WeightsError, match=r"is damaged .*does not match its checksum.*delete .*state"):
        load_state(path, "me")
    path.write_bytes(content[:-3])
    with pytest.raises(WeightsError, match=r"is damaged .*delete .*state"):
        load_state(path, "me")
    write_tensors(path, {"a": torch.zeros(2)}, {})
    with pytest.raises(WeightsError, match=r"has format .*, not 'pecl-training-state-1'"):
        load_state(path, "me")
