"""Folded batch norms: the features of timm's own models, fewer layers, and a tower whose weights stay as they were."""

import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pecl.encoders.folding import folded, with_rounded_filters
from pecl.encoders.image import ImageEncoder
from pecl.encoders.store import store_of


def network(name):
    """A model of timm with random weights and statistics of its batch norms, in evaluation mode."""
    torch.manual_seed(2)
    model = timm.create_model(name, pretrained=False, num_classes=0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, 0, 0.1)
    return model.eval()


def norms_in(module):
    return sum(isinstance(layer, nn.BatchNorm2d) for layer in module.modules())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "resnet18"])
def test_features_are_those_of_the_network_itself(name):
    model, pixels = network(name), torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        fast = folded(model, pixels[:1])
        expected, features = model(pixels), fast(pixels)
    assert norms_in(model) > 0
    assert norms_in(fast) == 0
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


class Branching(nn.Module):
    """The output of the convolution goes around the batch norm, too, so it must not be changed."""

    def __init__(self):
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
        nn.init.uniform_(self.norm.weight, 2, 3)

    def forward(self, pixels):
        states = self.convolution(pixels)
        return (states + self.norm(states)).mean((2, 3))


def test_a_network_that_would_give_other_features_is_left_alone():
    model = Branching().eval()
    with torch.no_grad():
        assert folded(model, torch.randn(1, 3, 8, 8)) is model


def test_a_tower_keeps_its_weights_and_fingerprint_and_its_store_names_the_folding(tmp_path, monkeypatch):
    monkeypatch.setenv("PECL_CACHE_DIR", str(tmp_path))
    pixels = [torch.randn(3, 64, 64) for _ in range(2)]
    tower, plain = (
        ImageEncoder(network("resnet18"), None, torch.as_tensor, name="resnet", preprocessing={}) for _ in range(2)
    )
    names = list(tower.state_dict())
    with torch.no_grad():
        expected = plain(torch.stack(pixels))
    cosines = torch.nn.functional.cosine_similarity(tower.encode_pixels(pixels), expected)
    assert cosines.min() > 1 - 1e-6
    assert norms_in(tower._fast[0]) == 0
    assert list(tower.state_dict()) == names
    assert tower.fingerprint == plain.fingerprint

    plain_store = store_of(tower).tower
    monkeypatch.setattr(ImageEncoder, "is_convolutional", False)
    assert store_of(tower).tower != plain_store

    tower.double()
    assert tower._fast == ()


def test_a_rounded_filter_keeps_its_sum():
    """Worked out by hand: bfloat16 numbers from 8 to 16 are 1/16 apart, and those from 2 to 4 are 1/64 apart."""
    network = nn.Sequential(nn.Conv2d(2, 2, (1, 4), groups=2, bias=False), nn.Conv2d(2, 2, 1, bias=False))
    network[0].weight.data = torch.tensor([[10.02, -3.34, -3.34, -3.34], [0.5, 0.25, -1.0, 0.0]]).view(2, 1, 1, 4)
    rounded = with_rounded_filters(network)
    # One by one: 10, and three times -3.34375, whose sum is -0.03125. Here the error .02 of the first makes the next
    # -3.32, which becomes -3.3125; its error makes the next -3.3475, which becomes -3.34375, as does the last.
    assert sorted(rounded[0].weight[0].flatten().tolist()) == [-3.34375, -3.34375, -3.3125, 10.0]
    assert rounded[0].weight[0].sum() == 0
    assert rounded[0].weight[1].flatten().tolist() == [0.5, 0.25, -1.0, 0.0]
    assert torch.equal(rounded[1].weight, network[1].weight)  # only depthwise filters


@given(st.integers(0, 2**32 - 1))
def test_rounded_filters_are_bfloat16_and_their_sums_are_near(seed):
    weight = torch.randn(4, 1, 3, 3, generator=torch.Generator().manual_seed(seed)) * 7
    network = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4, bias=False))
    network[0].weight.data = weight
    rounded = with_rounded_filters(network)[0].weight.data
    assert torch.equal(network[0].weight.data, weight)  # a copy was changed
    assert torch.equal(rounded, rounded.bfloat16().float())

    smallest, largest = weight.flatten(1).abs().aminmax(dim=1)
    error = (rounded - weight).flatten(1)
    assert (error.abs().max(1).values <= largest * 2**-7).all()  # a weight's own rounding, and what it was given
    assert (error.sum(1).abs() <= smallest * 2**-8 + largest * 2**-16).all()  # only the last one's is lost
