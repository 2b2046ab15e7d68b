"""Weights & Biases: offline runs in `wandb/`, which `wandb sync` uploads; online if WANDB_MODE asks for it."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# read at import: else it sends its errors to its makers
os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

import wandb

_RUN_ID_LENGTH = 16
_LONGEST_PROJECT = 128


class WandbTracker:
    """Writes a run of the package wandb per run, in the project of WANDB_PROJECT or of the folder's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs: dict[str, wandb.Run] = {}
        self.last_steps: dict[str, int] = {}

    def log_config(self, run: str, config: Mapping[str, Any], step: int) -> None:
        """Open a run, which continues the curve of an earlier one when both are uploaded."""
        identity = run[-_RUN_ID_LENGTH:]
        if step == 0:
            for path in (self.folder / "wandb").glob(f"offline-run-*-{identity}"):
                shutil.rmtree(path, ignore_errors=True)

        self.folder.mkdir(parents=True, exist_ok=True)
        self.runs[run] = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or _project_name(self.folder.absolute().name),
            dir=str(self.folder),
            id=identity,
            name=run,
            config=dict(config),
            mode=None if os.environ.get("WANDB_MODE") else "offline",
            resume="allow" if step else None,
            reinit="create_new",  # several runs at once
            settings=wandb.Settings(silent=True, console="off", x_disable_stats=True, disable_git=True),
        )

        self.last_steps[run] = step

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """Add the metrics of a step; the recalls at the end, of a step that has a row, are the summary."""
        if step > self.last_steps[run]:
            self.runs[run].log(dict(metrics), step=step, commit=True)
            self.last_steps[run] = step
        else:
            self.runs[run].summary.update(dict(metrics))

    def close(self, run: str) -> None:
        """Finish the run."""
        self.runs.pop(run).finish()


def _project_name(folder_name: str) -> str:
    """Return a name without the characters that W&B refuses in projects, and as short as it asks for."""
    return re.sub(r"[/\\#?%:]", "-", folder_name)[:_LONGEST_PROJECT]
