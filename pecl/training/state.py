"""The state of an unfinished training, written atomically: a killed run resumes and ends with the same bits.

The file is safetensors with JSON: reading it executes nothing. Random draws are functions of seed
and step (see `trainer`), so the state holds no random generator. Each training has its own file:
the name has a hash of the run, its data and weights.
"""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from pecl.errors import WeightsError
from pecl.files import parse_json, read_metadata, read_tensors, write_tensors

_FORMAT = "pecl-training-state-1"


@dataclass
class SlotRecord:
    """Losses, scores and best weights of one slot; steps count from 1."""

    # at each validation, the mean since the one before
    losses: list[tuple[int, float]] = field(default_factory=list)
    scores: list[tuple[int, float]] = field(default_factory=list)  # at each validation
    best_step: int = 0  # the later one of equal scores
    best_score: float = -math.inf
    best: dict[str, torch.Tensor] = field(default_factory=dict)  # parameters at `best_step`
    # step after which the slot was dropped; None if it trained to the end
    stopped: int | None = None
    stopped_by: str | None = None  # the class of the callback that stopped the slot before its last step
    diverged: str | None = None  # why the slot was dropped: a loss or embedding was not finite
    pruned: bool = False  # whether a callback dropped the slot, as worse than others
    # Heads that were solved in closed form, in order: `ridge`, `held_out_mse`, `pairs`, and
    # `seconds` of wall time
    solved: list[dict[str, Any]] = field(default_factory=list)

    @property
    def learns(self) -> bool:
        """Whether the slot takes part in the next step."""
        return self.stopped is None

    @property
    def is_measured(self) -> bool:
        """Whether the runs of the slot have a complete result: it neither diverged nor was pruned."""
        return self.diverged is None and not self.pruned

    def validations_since_best(self) -> int:
        """Return the number of validations after the one with the best score, or the last of several equal ones."""
        if not self.scores:
            return 0
        _, best_step = max((score, step) for step, score in self.scores)
        return sum(step > best_step for step, _ in self.scores)


def save_state(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    records: Sequence[SlotRecord],
    progress: Mapping[str, Any],
) -> None:
    """Write tensors, the records of all slots, and further progress that JSON can hold."""
    best = {f"best.{slot}.{name}": value for slot, record in enumerate(records) for name, value in record.best.items()}
    plain = [{name: value for name, value in vars(record).items() if name != "best"} for record in records]
    document = json.dumps({**progress, "records": plain})
    write_tensors(path, {**tensors, **best}, {"format": _FORMAT, "progress": document})


def saved_step(path: Path) -> int:
    """Return the step of the state at `path`; 0 if there is none, or one that `restore_state` refuses."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        return parse_json(read_metadata(path)["progress"])["step"]
    return 0


@torch.no_grad()
def restore_state(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
) -> tuple[list[SlotRecord], dict[str, Any]]:
    """Fill tensors from the file at `path`, and return the records of all slots and the progress.

    The progress has the key `rest`: the other tensors of the file, by name.

    Raises:
        WeightsError: the file cannot be read, is damaged, of another format, or has other tensors.
    """
    records: list[SlotRecord] = []
    try:
        saved, metadata = read_tensors(path)
        if metadata.get("format") != _FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}, not {_FORMAT!r}")

        for name, tensor in tensors.items():
            tensor.copy_(saved[name])

        progress = parse_json(metadata["progress"])
        for slot, fields in enumerate(progress.pop("records")):
            prefix = f"best.{slot}."
            fields |= {name: [tuple(pair) for pair in fields[name]] for name in ("losses", "scores")}
            best = {name.removeprefix(prefix): value for name, value in saved.items() if name.startswith(prefix)}
            records.append(SlotRecord(**fields, best=best))

        progress["rest"] = {
            name: tensor for name, tensor in saved.items() if name not in tensors and not name.startswith("best.")
        }
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise WeightsError(f"training state {path} cannot be used ({error}); delete it to start again") from error

    return records, progress
