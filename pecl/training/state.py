"""The state of an unfinished training, written atomically: a killed run resumes and ends with the same bits.

The file is safetensors with JSON: reading it executes nothing. Random draws are functions of seed and step (see
`trainer`), so the state holds no random generator.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pecl.errors import WeightsError
from pecl.files import parse_json, read_tensors, write_tensors
from pecl.training.schedule import SlotRecord

_FORMAT = "pecl-training-state-1"


def load_state(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
    """Return the tensors and the progress at `path`, or None when there is no such file.

    Raises:
        WeightsError: the file cannot be read, is damaged, or is of another format.
    """
    try:
        tensors, metadata = read_tensors(path)
        if metadata.get("format") != _FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}, not {_FORMAT!r}")
        return tensors, parse_json(metadata["progress"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"training state {path} cannot be used ({error}); delete it to start again") from error


class Checkpoint:
    """The file of one training's state: tensors, slot records, and progress as JSON; a path of None keeps nothing.

    The path is that of this training alone: its name has a hash of the run, its data and weights.
    """

    def __init__(self, path: str | Path | None) -> None:
        self.path = None if path is None else Path(path)

    def save(
        self, tensors: Mapping[str, torch.Tensor], records: Sequence[SlotRecord], progress: Mapping[str, Any]
    ) -> None:
        """Write the file, atomically."""
        if self.path is None:
            return
        best = {f"best.{slot}.{name}": value for slot, one in enumerate(records) for name, value in one.best.items()}
        document = {**progress, "records": [record.to_json() for record in records]}
        write_tensors(self.path, {**tensors, **best}, {"format": _FORMAT, "progress": json.dumps(document)})

    @torch.no_grad()
    def restore(self, tensors: Mapping[str, torch.Tensor], records: Sequence[SlotRecord]) -> dict[str, Any] | None:
        """Fill tensors and the records of all slots from the file and return the progress, or None without a file."""
        state = None if self.path is None else load_state(self.path)
        if state is None:
            return None
        saved, progress = state
        for name, tensor in tensors.items():
            tensor.copy_(saved[name])
        for slot, (record, kept) in enumerate(zip(records, progress["records"], strict=True)):
            prefix = f"best.{slot}."
            best = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
            record.restore(kept, best)
        return progress
