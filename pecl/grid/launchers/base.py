"""`Launcher`: carries out tasks and reports when each begins and ends. Results are files."""

import contextlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Literal

from pecl.config import ExperimentConfig, make_config
from pecl.config.plugins import load_plugins, loaded_plugins
from pecl.errors import ConfigError, FleetSizeError, OutputError, PeclError
from pecl.files import parse_json

# Exit statuses of a worker, besides 0 for written results (complete or failed): see sysexits.h
BAD_INPUT = 2
FLEET_TOO_LARGE = 64
CANNOT_WRITE = 73
BUSY = 75


@dataclass(frozen=True)
class Task:
    """Runs that are trained together in one process."""

    configs: tuple[ExperimentConfig, ...]
    share: int | None = None  # number of processes that share the device's memory; see `train_fleet`
    halving: int | None = None  # factor of `Halving`

    @property
    def name(self) -> str:
        """Run id of the first run."""
        return self.configs[0].run_id()

    def to_json(self) -> str:
        """Return the task for a worker, as a line of JSON with its folder, plug-ins, and the configs of the runs."""
        document = {
            "folder": os.getcwd(),
            "share": self.share,
            "halving": self.halving,
            "plugins": loaded_plugins(),
            "runs": [config.to_dict() for config in self.configs],
        }
        return json.dumps(document)

    @classmethod
    def received(cls, text: str) -> "Task":
        """Enter the folder of a task that `to_json` wrote, run its plug-ins, and return it.

        Raise ConfigError if a plug-in is missing or fails here, or a config is wrong.
        """
        document = parse_json(text)
        os.chdir(document["folder"])
        load_plugins(document["plugins"])
        configs = (make_config(values, f"task, run {i}") for i, values in enumerate(document["runs"], 1))
        return cls(tuple(configs), document["share"], document["halving"])


@dataclass(frozen=True)
class Event:
    """An event of a launcher.

    `finished`: the results are written, or `error` gives the reason; `busy`: another process trains a run;
    `tick`: about once a second while nothing else happens.
    """

    kind: Literal["started", "finished", "busy", "tick"]
    task: Task | None = None  # None for a tick
    error: Exception | None = None  # bad input, or a worker's end without a result; failed runs have results


class Launcher(ABC):
    """Carries out tasks."""

    jobs = 1  # tasks at a time; 0 for as many as a cluster allows

    @abstractmethod
    def run(self, tasks: Sequence[Task]) -> Generator[Event, None, None]:
        """Carry out `tasks` and yield events. Closing the iterator stops running tasks, which save their state."""

    def sharing(self, device: str) -> int:
        """Return the number of tasks that share the memory of `device` at a time."""
        return 1

    def threads(self, config: ExperimentConfig) -> int | None:
        """Return the number of threads that train a run; None for that of this process."""
        return None


class WorkerDiedError(RuntimeError):
    """A worker ended without leaving results."""


# Error of a grid for an exit status of a worker; for any other status, the worker died
ERRORS: dict[int, type[Exception]] = {
    BAD_INPUT: PeclError,
    FLEET_TOO_LARGE: FleetSizeError,
    CANNOT_WRITE: OutputError,
}


def end_event(task: Task, status: int, sentence: str) -> Event:
    """Return the event for a worker's exit status and last sentence."""
    if status == BUSY:
        return Event("busy", task)
    if status == 0:
        return Event("finished", task)

    kind = ERRORS.get(status, WorkerDiedError)
    return Event("finished", task, kind(sentence))


def parse_options(field: str, pairs: Sequence[str]) -> dict[str, int | float | str]:
    """Parse `key=value` pairs; numbers of JSON become numbers, so that the account 0123 stays text.

    Raises:
        ConfigError: a pair without "=".
    """
    options: dict[str, int | float | str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise ConfigError(field=field, expected="key=value, such as cpus_per_task=4", got=pair)
        name = key.replace("-", "_")
        options[name] = value
        with contextlib.suppress(ValueError):
            number = json.loads(value)
            options[name] = number if type(number) in (int, float) else value
    return options
