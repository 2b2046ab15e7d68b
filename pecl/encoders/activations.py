"""Non-linearities by the names that transformers gives them: of adapters, and of the layers behind a pooling."""

from torch import nn

# They have no parameters and no state, so that one of each serves all.
ACTIVATIONS: dict[str, nn.Module] = {
    "gelu": nn.GELU(),
    "gelu_new": nn.GELU(approximate="tanh"),
    "relu": nn.ReLU(),
    "silu": nn.SiLU(),
    "tanh": nn.Tanh(),
}
