"""Report a training to the trackers that its config names."""

import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pecl.config import ExperimentConfig
from pecl.config.choices import TRACKERS
from pecl.errors import ConfigError, OutputError, install, one_line
from pecl.results.result import run_name
from pecl.training.callbacks import Callback, Event
from pecl.training.trackers.tracker import Tracker

logger = logging.getLogger(__name__)


def make_trackers(config: ExperimentConfig) -> dict[str, Tracker]:
    """Return the trackers of a config by name; nothing is written.

    Raises:
        ConfigError: the package of a tracker is not installed.
    """
    trackers: dict[str, Tracker] = {}
    for name in config.trackers:
        try:
            trackers[name] = TRACKERS[name](Path(config.out))
        except ImportError as error:
            package = error.name or str(error)
            raise ConfigError(
                f"{name} needs the package {package}: {install('trackers')}", field="report_to"
            ) from error

    return trackers


@contextlib.contextmanager
def reporting(trackers: Mapping[str, Tracker]) -> Iterator[list[Callback]]:
    """Give the callbacks that report to trackers; close all curves after the body."""
    if not trackers:
        yield []
        return
    with contextlib.closing(TrackerCallback(trackers)) as callback:
        yield [callback]


class TrackerCallback(Callback):
    """Reports the validations of runs, and at the end their recalls, to trackers.

    Rows are reported when the state of the training is saved. Steps that a killed run takes again
    are therefore reported once.
    """

    def __init__(self, trackers: Mapping[str, Tracker]) -> None:
        self.trackers = dict(trackers)
        # not reported yet, by name of an open run
        self.rows: dict[str, list[tuple[int, Mapping[str, float]]]] = {}

    def at_start(self, event: Event) -> None:
        """Begin or continue the curve of a run. Raise OutputError if a tracker fails."""
        run = _name(event)
        self.rows[run] = []  # before a tracker may fail: `close` then closes those that began
        for name, tracker in self.trackers.items():
            try:
                tracker.log_config(run, event.config.to_record(), event.step)
            except Exception as error:  # of any package
                raise OutputError(f"{name}: {_sentence(error)}", field="report_to") from error

    def after_validation(self, event: Event) -> None:
        """Keep the row until the state is saved."""
        self.rows[_name(event)].append((event.step, dict(event.metrics)))

    def after_save(self, event: Event) -> None:
        """Report the rows of a run."""
        self._flush(_name(event))

    def at_end(self, event: Event) -> None:
        """Report the recalls, and close the curve."""
        run = _name(event)
        # only closed-form phases, or stopped before this process resumed it
        if run not in self.rows:
            self.at_start(event)
        self.rows[run].append((event.step, dict(event.metrics)))
        self._flush(run)
        self._close(run)

    def close(self) -> None:
        """Close the curves of runs that did not end: they diverged or were interrupted."""
        for run in list(self.rows):
            self._close(run)

    def _flush(self, run: str) -> None:
        rows = self.rows.get(run, [])
        for step, metrics in rows:
            self._report(lambda tracker, step=step, metrics=metrics: tracker.log(run, metrics, step))
        rows.clear()

    def _close(self, run: str) -> None:
        self._report(lambda tracker: tracker.close(run))
        del self.rows[run]

    def _report(self, call: Callable[[Tracker], Any]) -> None:
        """Call all trackers. One that fails is left out from then on: the training goes on."""
        for name, tracker in list(self.trackers.items()):
            try:
                call(tracker)
            except Exception as error:  # of any package
                logger.warning("report_to: %s failed and is disabled: %s", name, _sentence(error))
                del self.trackers[name]


def _name(event: Event) -> str:
    return run_name(event.config, event.config.run_id())


def _sentence(error: Exception) -> str:
    return one_line(f"{type(error).__name__}: {error}")
