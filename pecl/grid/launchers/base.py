"""`Launcher`: carries out tasks and reports when each begins and ends. Results are files."""

import os
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import yaml

from pecl.config import ENGINES, LOSSES, TRAIN_ON, ExperimentConfig, make_config
from pecl.data.registry import DATASETS
from pecl.errors import ConfigError, OutputError, PeclError, is_text, one_line
from pecl.files import parse_yaml
from pecl.languages import LANGUAGES
from pecl.options import Registry
from pecl.plugins import load_plugins, loaded_plugins

# Exit statuses of a worker, besides 0 for written results (complete or failed): see sysexits.h
BAD_INPUT, CANNOT_WRITE, BUSY = 2, 73, 75


@dataclass(frozen=True)
class Task:
    """Runs that are trained together in one process."""

    configs: tuple[ExperimentConfig, ...]
    share: int | None = None  # number of processes that share the device's memory; see `train_fleet`

    @property
    def name(self) -> str:
        """Run id of the first run."""
        return self.configs[0].run_id()

    def to_yaml(self) -> str:
        """Return the task as YAML for a worker: folder, share, plug-ins, and the configs of the runs."""
        document = {"folder": os.getcwd(), "share": self.share, "plugins": loaded_plugins()}
        document["runs"] = [config.to_dict() for config in self.configs]
        return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


@dataclass(frozen=True)
class TaskFile:
    """A task for a worker: its folder, its plug-ins, and the configs of the runs."""

    folder: str
    plugins: Sequence[str]
    share: int | None
    runs: Sequence[dict[str, Any]]

    @classmethod
    def from_yaml(cls, text: str) -> "TaskFile":
        """Parse the output of `Task.to_yaml`; the values of the runs are not checked yet.

        Raises:
            ConfigError: it is not such a file.
        """
        try:
            document = parse_yaml(text)
        except (yaml.YAMLError, ValueError) as error:
            raise ConfigError(f"task: expected YAML: {one_line(error)}") from error
        if not isinstance(document, dict) or set(document) - {"share", "plugins"} != {"folder", "runs"}:
            raise ConfigError("task: expected a mapping with `folder` and `runs`")
        folder, share, runs = document["folder"], document.get("share"), document["runs"]
        plugins = document.get("plugins", [])
        if share is not None and (type(share) is not int or share < 1):
            raise ConfigError(f"task: share: expected a whole number >= 1 or null, got {share!r}")
        if not isinstance(folder, str) or not is_text(folder):
            raise ConfigError(f"task: folder: expected text, got {folder!r}")
        if not isinstance(plugins, list) or not all(isinstance(name, str) and is_text(name) for name in plugins):
            raise ConfigError("task: plugins: expected a list of names")
        if not isinstance(runs, list) or not runs or not all(isinstance(values, dict) for values in runs):
            raise ConfigError("task: runs: expected a list of one mapping or more, each a config")
        return cls(folder, plugins, share, runs)

    def task(self) -> Task:
        """Run the plug-ins and return the task; a worker is in its folder when it asks.

        Raises:
            ConfigError: a plug-in is missing or fails here, or a config is wrong.
        """
        load_plugins(self.plugins)
        configs = (make_config(values, f"task, run {i}") for i, values in enumerate(self.runs, 1))
        return Task(tuple(configs), self.share)


@dataclass(frozen=True)
class Event:
    """An event of a launcher.

    `finished`: the results are written, or `error` says why not; `busy`: another process trains a run; `tick`: about
    once a second while nothing else happens.
    """

    kind: Literal["started", "finished", "busy", "tick"]
    task: Task | None = None  # None for a tick
    error: Exception | None = None  # bad input, or the end of a worker without a result; results hold runs' failures


class Launcher(Protocol):
    """Carries out tasks."""

    separate: bool  # whether tasks run in other processes, which take seconds to start

    def run(self, tasks: Sequence[Task]) -> Generator[Event, None, None]:
        """Carry out `tasks` and yield events. Closing the iterator stops running tasks, which save their state."""
        ...


def check_workers_know(configs: Sequence[ExperimentConfig]) -> None:
    """Refuse configs with a registered name that no plug-in registered: workers run only plug-ins.

    Raises:
        ConfigError: an adapter, loss, engine, training text, data set or language has such a name.
    """
    if not any(registry.added - registry.shared for registry in Registry.all):
        return
    from pecl.adapters.spec import KINDS, parse_adapter  # imports torch, as every plug-in does

    for config in configs:
        kinds = [adapter.kind for adapter in parse_adapter(config.adapter, config.rank, config.adapter_layers)]
        named = (
            (KINDS, kinds),
            (LOSSES, config.losses),
            (ENGINES, [config.engine]),
            (TRAIN_ON, [config.train_on]),
            (DATASETS, [config.dataset]),
            (LANGUAGES, [config.language]),
        )
        for registry, names in named:
            if unknown_there := sorted((registry.added - registry.shared) & set(names)):
                raise ConfigError(
                    f'{registry.what}: "{unknown_there[0]}" is registered in this process only, and a launcher\'s '
                    "workers do not know it: expected it in a plug-in (--plugin my.py), launcher inline, or pecl.train"
                )


class WorkerDiedError(RuntimeError):
    """A worker ended without leaving results."""


def end_of(task: Task, status: int, sentence: str) -> Event:
    """Return the event for a worker's exit status and last sentence."""
    if status == BUSY:
        return Event("busy", task)
    errors = {0: None, BAD_INPUT: PeclError(sentence), CANNOT_WRITE: OutputError(sentence)}
    return Event("finished", task, errors.get(status, WorkerDiedError(sentence)))


def parse_options(flag: str, pairs: Sequence[str]) -> dict[str, int | float | str]:
    """Parse `key=value` pairs; numeric values become numbers.

    Raises:
        ConfigError: a pair without "=".
    """
    options: dict[str, int | float | str] = {}
    for pair in pairs:
        key, found, value = pair.partition("=")
        if not found or not key:
            raise ConfigError(f"{flag} {pair}: expected key=value, such as {flag} cpus_per_task=4")
        options[key.replace("-", "_")] = _number(value)
    return options


def _number(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
