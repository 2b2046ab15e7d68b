"""How many runs one fleet may hold: as many as fit into the memory of the device, by an estimate, and `MOST` at most.

What a slot needs is estimated from the tower's sizes and the longest batch; the coefficients are rounded up from peaks
seen with the mini tower (`benchmarks/fleets.py` prints its own). The device's whole memory is taken, not what is free
just now, so that a fleet that was killed is the same fleet when it goes on.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from pecl.encoders.batches import lengths_of
from pecl.encoders.text import MultilingualTextEncoder
from pecl.errors import ConfigError
from pecl.experiment.prepared import Prepared

MOST = 16  # runs of a fleet on a device whose memory is not known
_SHARE = 0.8  # of the device's memory
_PROCESS = 512 << 20  # bytes of Python and libraries
_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def memory_of(device: torch.device) -> int | None:
    """Return the bytes of memory of a device, as the container limits it; None where they are not known."""
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
    tower: MultilingualTextEncoder, parameters: int, lengths: Sequence[int] | np.ndarray, rows: int
) -> int:
    """Return the bytes that one slot of a training needs, estimated.

    Args:
        tower: the text tower.
        parameters: trainable parameters of the slot.
        lengths: tokens of the texts that are trained on.
        rows: texts of the slot in a step.
    """
    config = tower.backbone.config
    d, wide = config.hidden_size, getattr(config, "intermediate_size", 4 * config.hidden_size)
    heads = getattr(config, "num_attention_heads", 1)
    longest = np.sort(lengths)[-rows:]
    tokens, length = int(longest.sum()), int(longest[-1])
    # What a layer keeps of a token for its gradient: vectors (and masks) of width d and of the wide layer, attention
    kept = 10 * d + 3 * wide + 4 * heads * length
    state = 6 * parameters  # value, gradient, two moments, average, best
    return 4 * (config.num_hidden_layers * kept * tokens + state)


def largest_fleet(members: Sequence[Prepared], parameters: int, jobs: int = 1, kept: int = 0) -> int:
    """Return how many runs one fleet can hold, 1 at least; all languages of a joint training share a slot.

    A slot is taken to need what the run does that needs most: anchors, texts and images may differ within a fleet.

    Args:
        members: the runs.
        parameters: trainable parameters of a slot.
        jobs: processes that share the device's memory.
        kept: bytes of states that a fleet keeps on the CPU, whatever its size.
    """
    config, tower = members[0].config, members[0].towers.text
    memory = memory_of(tower.device)
    if config.joint or memory is None:
        return max(MOST, len(members))
    if config.dropout and not tower.draws_by_row:
        return 1
    weights = sum(parameter.nbytes for parameter in tower.parameters())
    left = _SHARE * memory / jobs - 2 * weights - _PROCESS - (kept if tower.device.type == "cpu" else 0)
    each = [bytes_of_slot(tower, parameters, lengths_of(one.train_tokens), _rows(one)) for one in members]
    return max(1, int(left // max(each)))


def _rows(member: Prepared) -> int:
    """Return how many texts of a run are in a step."""
    config = member.config
    beside = member.translations is not None and config.image_weight > 0  # captions of photographs
    return config.batch_size * ((2 if config.anchor == "student" else 1) + beside)


def check_size(members: Sequence[Prepared], most: int) -> None:
    """Refuse a fleet of more than `most` runs.

    Raises:
        ConfigError: the largest that is possible is named.
    """
    if len(members) <= most:
        return
    if not members[0].towers.text.draws_by_row:
        raise ConfigError(
            f"fleet: expected 1 with the text tower {members[0].towers.text.name!r}, whose attention draws dropout for "
            f"a whole batch, got {len(members)}; or leave dropout out"
        )
    raise ConfigError(
        f"fleet: expected at most {most}, the largest that fits into the memory here, got {len(members)}; or auto"
    )
