"""The default launcher: tasks run one by one in this process, which keeps towers and caches."""

from collections.abc import Generator, Sequence

from pecl.errors import PeclError
from pecl.files import BusyError
from pecl.grid.launchers.base import Event, Task
from pecl.grid.launchers.worker import work


class Inline:
    """Carries out tasks in this process."""

    separate = False

    def run(self, tasks: Sequence[Task]) -> Generator[Event, None, None]:
        """See `Launcher.run`."""
        for task in tasks:
            yield Event("started", task)
            try:
                work(task.configs, task.share)
            except BusyError:
                yield Event("busy", task)
            except PeclError as error:
                yield Event("finished", task, error)
            else:
                yield Event("finished", task)
