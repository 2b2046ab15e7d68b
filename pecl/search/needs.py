"""The download, memory and time that embedding photographs takes: a line of estimates before the work."""

from pecl.encoders.pairs import MINI, PAIRS, RECOMMENDED, is_cached
from pecl.machine import CORES_SPEED, FP32

_SECONDS = 0.15  # that a core takes to open and shrink a photograph of twelve megapixels
_PROGRAM = 0.9e9  # bytes of memory besides the towers: Python, torch, and a batch of photographs


def describe_needs(profile: str, photographs: int, device: str) -> str:
    """Return the line on embedding so many photographs with the towers of a profile; times only for a CPU."""
    import torch  # takes seconds

    pair = PAIRS[profile]
    weights = 4 * (pair.parameters + pair.image_parameters)  # bytes in fp32, in which they are published
    is_here = profile == MINI or is_cached(pair)
    parts = ["nothing to download" if is_here else f"about {weights / 1e9:.1f} GB to download"]
    parts.append(f"about {(weights + _PROGRAM) / 1e9:.1f} GB of memory")
    if device == "cpu":
        each = _SECONDS + pair.image_gflops * 1e9 / (CORES_SPEED[FP32] / 2 * torch.get_num_threads())
        minutes = max(1, round(photographs * each / 60))
        parts.append(f"{1 / each:.1f} photographs per second, so {minutes} minute{'s' * (minutes > 1)}")
    line = f"{photographs} photographs with {profile}: {', '.join(parts)} (estimates)"
    if profile == MINI:
        line += f"; mini is a demonstration: where a model hub is in reach, --profile {RECOMMENDED} finds more"
    return line
