"""`Tracker`: what a tracker can do; and `register_tracker`."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pecl.config.choices import TRACKERS
from pecl.errors import ConfigError

T = TypeVar("T", bound=type)


class Tracker(Protocol):
    """Receives the configs and metrics of runs.

    Each call names its run, such as `de-method1-0123456789abcdef`, since the runs of a fleet are
    trained at once. Creating a tracker writes nothing.
    """

    def __init__(self, folder: Path) -> None:
        """Prepare to report runs whose results are written to `folder`."""

    def log_config(self, run: str, config: Mapping[str, Any], step: int) -> None:
        """Begin the curve of a run at step 0, in place of an earlier curve; or continue it after `step`."""

    def log(self, run: str, metrics: Mapping[str, float], step: int) -> None:
        """Add the metrics of a step. A killed process must not lose them."""

    def close(self, run: str) -> None:
        """End the curve of a run, which may be continued later."""


def register_tracker(name: str, *, replace: bool = False) -> Callable[[T], T]:
    """Return a decorator that registers a tracker under a name: `--report-to mine`, `report_to="mine,csv"`.

    The class has the methods of `pecl.Tracker`, and is called with the folder of the results. In a
    plug-in (`--plugin my.py`, `pecl.load_plugin`), the workers of a grid have the name, too.

    Args:
        name: letters, digits and underscores.
        replace: replace a tracker that was registered under this name, as when a notebook cell runs again.

    Raises:
        ConfigError: the name has other characters or is taken, or the class lacks a method.

    Example:
        >>> @register_tracker("printed")
        ... class Printed:
        ...     def __init__(self, folder): ...
        ...     def log_config(self, run, config, step): ...
        ...     def log(self, run, metrics, step):
        ...         print(run, step, metrics)
        ...     def close(self, run): ...
    """

    def register(tracker: T) -> T:
        for method in ("log_config", "log", "close"):
            if not callable(getattr(tracker, method, None)):
                raise ConfigError(f"tracker {name}: expected a method {method}, see pecl.Tracker")
        TRACKERS.add(name, tracker, replace=replace)
        return tracker

    return register
