"""Trackio: runs in the local database `trackio/`. Read them with `TRACKIO_DIR=<results>/trackio trackio show`."""

import contextlib
import io
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


class TrackioTracker:
    """Writes a run of the package trackio per run, in the project of the folder's name.

    The package reads its folder once: a process writes all its runs to that of TRACKIO_DIR, or of
    its first results.
    """

    def __init__(self, folder: Path) -> None:
        os.environ.setdefault("TRACKIO_DIR", str(folder.absolute() / "trackio"))
        import trackio  # pyright: ignore[reportMissingImports]  # Pillow 13 excludes it

        self.trackio: Any = trackio
        self.project = re.sub(r"[^\w-]", "-", folder.absolute().name)
        self.runs: dict[str, Any] = {}

    def log_config(self, run: str, config: Mapping[str, Any], step: int) -> None:
        """Open a run; at step 0 in place of an earlier one of this name."""
        if step == 0:
            with contextlib.suppress(ValueError):  # no project yet
                for old in self.trackio.Api().runs(self.project):
                    if old.name == run:
                        old.delete()

        with _silent():
            self.runs[run] = self.trackio.init(
                self.project,
                name=run,
                config=dict(config),
                resume="allow",
                embed=False,
                auto_log_gpu=False,
                auto_log_cpu=False,
            )

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """Add the metrics of a step."""
        self.runs[run].log(dict(metrics), step=step)

    def close(self, run: str) -> None:
        """Finish the run: its metrics are in the database afterwards."""
        with _silent():
            self.runs.pop(run).finish()


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Drop what trackio prints: the output of a command is its result."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield
