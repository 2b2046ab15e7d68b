"""Non-linearities of adapters and of the layers behind a pooling, by their names in transformers."""

from torch import nn

# They have no parameters and no state, so that one of each serves all.
ACTIVATIONS: dict[str, nn.Module] = {
    "gelu": nn.GELU(),
    "gelu_new": nn.GELU(approximate="tanh"),
    "relu": nn.ReLU(),
    "silu": nn.SiLU(),
    "tanh": nn.Tanh(),
}
