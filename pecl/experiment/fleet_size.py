"""An estimate of the largest fleet that fits into the memory of the device; `MOST` runs if that is unknown.

The estimate per slot uses the sizes of the tower and the longest batch. Its coefficients are
rounded up from peaks of the mini tower (`benchmarks/fleets.py` prints its own). It counts the total
memory of the device, not the free memory: a killed fleet resumes as the same fleet.
"""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pecl.config import ExperimentConfig
from pecl.encoders.batches import lengths_of
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import FleetSizeError
from pecl.experiment.inputs import Inputs
from pecl.training.optimizer import Average, SlotAdam

MOST = 16  # runs of a fleet on a device whose memory is not known
_SHARE = 0.8  # share of the device's memory
_PROCESS = 512 << 20  # bytes of Python and libraries
_COPIES = 3  # of a parameter: value, gradient, best; optimizer and average count their own
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_of(device: torch.device) -> int | None:
    """Return the bytes of memory of a device, at most the limit of the container; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    if device.type != "cpu":
        return None

    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in map(Path, _LIMITS):
        text = path.read_text().strip() if path.exists() else ""
        if text.isdecimal():  # else "max"
            total = min(total, int(text))

    return total


def bytes_of_slot(
    tower: MultilingualTextEncoder,
    parameters: int,
    lengths: np.ndarray,
    rows: int,
) -> int:
    """Estimate the bytes of one slot of a training.

    `lengths` are the tokens of each training text, and `rows` the texts of the slot in a step.
    """
    config = tower.backbone.config
    d = config.hidden_size
    wide = getattr(config, "intermediate_size", 4 * config.hidden_size)
    heads = getattr(config, "num_attention_heads", 1)
    longest = np.sort(lengths)[-rows:]
    tokens = int(longest.sum())
    length = int(longest[-1])
    # values per token that a layer keeps for its gradient: width d, the wide layer, and attention
    saved_values = 10 * d + 3 * wide + 4 * heads * length
    copies = _COPIES + SlotAdam.tensors_per_parameter + Average.tensors_per_parameter

    return 4 * (config.num_hidden_layers * saved_values * tokens + copies * parameters)


def largest_fleet(
    runs: Sequence[Inputs],
    parameters: int,
    jobs: int = 1,
    cached_bytes: int = 0,
) -> int:
    """Return the largest number of runs of a fleet, at least 1; all languages of a joint training share a slot.

    Every slot counts as much as the largest run, since anchors, texts and images may differ within
    a fleet. `jobs` processes share the device's memory; `cached_bytes` is the bytes of cached
    frozen layers of a fleet on the CPU.
    """
    config = runs[0].config
    tower = runs[0].towers.text
    memory = memory_of(tower.device)
    if config.joint:
        return max(MOST, len(runs))
    if draws_by_batch(config, tower):
        return 1
    if memory is None:
        return max(MOST, len(runs))

    weights = sum(parameter.nbytes for parameter in tower.parameters())
    free_bytes = _SHARE * memory / jobs - 2 * weights - _PROCESS
    if tower.device.type == "cpu":
        free_bytes -= cached_bytes

    slot_bytes = [bytes_of_slot(tower, parameters, lengths_of(inputs.train_tokens), _rows(inputs)) for inputs in runs]
    return max(1, int(free_bytes // max(slot_bytes)))


def _rows(inputs: Inputs) -> int:
    """Return the number of texts of a run in a step."""
    config = inputs.config
    captioned_images = inputs.training_text is not None and config.image_weight > 0
    embeds_anchors = inputs.anchor_column is not None and config.anchor == "student"
    return config.batch_size * (1 + embeds_anchors + captioned_images)


def draws_by_batch(config: ExperimentConfig, tower: MultilingualTextEncoder) -> bool:
    """Return whether dropout would be drawn for a whole batch, so that the runs of a fleet would change each other."""
    return config.dropout and not tower.draws_by_row


def check_size(runs: Sequence[Inputs], max_runs: int) -> None:
    """Raise FleetSizeError for a fleet of more than `max_runs` runs; the sentence names the largest possible size."""
    if len(runs) <= max_runs:
        return
    tower = runs[0].towers.text
    if draws_by_batch(runs[0].config, tower):
        raise FleetSizeError(
            f"expected 1 with the text tower {tower.name!r}, whose attention draws dropout for "
            f"a whole batch, got {len(runs)}; or leave dropout out",
            field="fleet",
        )

    raise FleetSizeError(
        f"expected at most {max_runs}, which fit into the memory here, or auto, got {len(runs)}", field="fleet"
    )
