"""TensorBoard: event files in `tensorboard/<run>/`. Read them with `tensorboard --logdir <results>/tensorboard`."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard.writer import SummaryWriter


class TensorBoardTracker:
    """Writes event files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "tensorboard"
        self.writers: dict[str, SummaryWriter] = {}

    def log_config(self, run: str, config: Mapping[str, Any], step: int) -> None:
        """Open an event file; one that continues a run makes readers drop what follows `step` in earlier files."""
        folder = self.folder / run
        if step == 0:
            shutil.rmtree(folder, ignore_errors=True)

        writer = SummaryWriter(str(folder), purge_step=step + 1 if step else None)
        self.writers[run] = writer

        if step == 0:
            text = json.dumps(config, indent=2, ensure_ascii=False)
            writer.add_text("config", f"```json\n{text}\n```")

        writer.flush()

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """Add a scalar per metric."""
        writer = self.writers[run]
        for name, value in metrics.items():
            writer.add_scalar(name, value, step)
        writer.flush()

    def close(self, run: str) -> None:
        """Close the event file."""
        self.writers.pop(run).close()
