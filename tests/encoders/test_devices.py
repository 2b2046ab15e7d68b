"""From the CPU to a device without waiting, as far as that shows without one."""

import pytest
import torch

from pecl.encoders.devices import to_device


@pytest.fixture
def pinned(monkeypatch):
    """What was copied to pinned memory, which is of the same strides, as torch does it; nothing is copied to a GPU."""
    found = []

    def pin_memory(tensor):
        found.append(torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype).copy_(tensor))
        return found[-1]

    monkeypatch.setattr(torch.Tensor, "pin_memory", pin_memory)
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, *_, **__: tensor)
    return found


@pytest.mark.parametrize(
    "tensor",
    [torch.arange(6), torch.ones(1, 3).expand(4, 3), torch.tensor([2]).expand(5), torch.arange(6.0).view(2, 3).T],
    ids=["whole", "rows that are one", "a number for all", "transposed"],
)
def test_whatever_its_strides_a_tensor_is_pinned_as_one_block(pinned, tensor):
    found = to_device(tensor, torch.device("cuda"))
    assert torch.equal(found, tensor)
    assert len(pinned) == 1
    assert found.is_contiguous()
