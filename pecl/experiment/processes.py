"""A training in several processes (see `training.distributed`): its runs, its lock, and its results."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

from pecl.config import ExperimentConfig
from pecl.results.result import Result
from pecl.training.distributed import Processes


def in_processes(configs: Sequence[ExperimentConfig], size: int) -> list[ExperimentConfig]:
    """Return `configs` marked as trained by `size` processes."""
    return [replace(config, processes=size) for config in configs]


def of_first(processes: Processes, make: Callable[[], list[Result] | None]) -> list[Result] | None:
    """Return the results that `make` returns in the first process; it is called there alone."""
    if processes.size == 1:
        return make()
    kept: list[Result] = []

    def documents() -> list[tuple[str, dict[str, object]]]:
        kept.extend(make() or [])
        return [(str(result.path), result.to_json()) for result in kept]

    sent = processes.from_first(documents)
    return (kept if processes.is_first else [Result.from_json(one, Path(path)) for path, one in sent]) or None


@contextlib.contextmanager
def held_by_first(processes: Processes, hold: Callable[[], AbstractContextManager[None]]) -> Iterator[None]:
    """Hold in the first process what `hold` returns; the others wait until it is held."""
    with contextlib.ExitStack() as held:
        processes.from_first(lambda: held.enter_context(hold()))
        yield
