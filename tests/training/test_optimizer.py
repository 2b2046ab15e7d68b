import pytest
import torch
from torch import nn

from pecl.training.optimizer import SlotAdam


def gradients(steps, shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) * 10 ** float(i % 3 - 1) for i in range(steps)]


def test_each_slot_is_torchs_adam_with_its_own_learning_rate():
    lrs, steps = [1e-3, 5e-2], 12
    start = torch.randn(2, 3, 4)
    slots = nn.Parameter(start.clone())
    optimizer = SlotAdam([slots], [1.0])
    plain = [nn.Parameter(start[s].clone()) for s in range(2)]
    references = [torch.optim.Adam([p], lr=lr, foreach=False) for p, lr in zip(plain, lrs, strict=True)]
    for step, grad in enumerate(gradients(steps, (2, 3, 4), seed=0)):
        decay = 1 - step / steps
        slots.grad = grad.clone()
        optimizer.step(torch.tensor(lrs) * decay)
        for s, reference in enumerate(references):
            plain[s].grad = grad[s].clone()
            reference.param_groups[0]["lr"] = lrs[s] * decay
            reference.step()
    torch.testing.assert_close(slots.detach(), torch.stack([p.detach() for p in plain]), rtol=1e-5, atol=1e-7)


def test_scale_multiplies_the_learning_rate_of_one_parameter():
    a, b = nn.Parameter(torch.zeros(1, 2)), nn.Parameter(torch.zeros(1, 2))
    optimizer = SlotAdam([a, b], [1.0, 10.0])
    for parameter in (a, b):
        parameter.grad = torch.ones(1, 2)
    optimizer.step(torch.tensor([0.1]))
    assert a.detach().tolist() == [pytest.approx([-0.1, -0.1], rel=1e-5)]
    assert b.detach().tolist() == [pytest.approx([-1.0, -1.0], rel=1e-5)]


def test_a_missing_gradient_counts_as_zero_and_lets_the_averages_decay():
    parameter, plain = nn.Parameter(torch.ones(1, 2)), nn.Parameter(torch.ones(1, 2))
    optimizer, reference = SlotAdam([parameter], [1.0]), torch.optim.Adam([plain], lr=0.1, foreach=False)
    for gradient in (torch.tensor([[1.0, -3.0]]), None, None, torch.tensor([[0.5, 0.5]])):
        optimizer.zero_grad()
        assert parameter.grad is None
        if gradient is not None:
            parameter.grad = gradient.clone()
        plain.grad = torch.zeros(1, 2) if gradient is None else gradient.clone()
        before = parameter.detach().clone()
        optimizer.step(torch.tensor([0.1]))
        reference.step()
        assert (parameter != before).all()  # the averages move it on
        torch.testing.assert_close(parameter, plain, rtol=1e-5, atol=1e-7)
