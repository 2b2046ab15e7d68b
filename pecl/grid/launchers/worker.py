"""`work(configs)`: train runs and write their results, in this process (`Inline`) or a worker.

As a process, `python -m pecl.grid.launchers.worker` reads a task from standard input, whose end stops the work. Exit
status: 0 results are written (of any status), 2 bad input, 64 a fleet of more runs than can be trained together, 73
nothing can be written, 75 another process trains a run, 130 interrupted. An error is one sentence, the last line of
standard error.
"""

import _thread
import argparse
import contextlib
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Generator, Sequence

from pecl.config import ExperimentConfig
from pecl.errors import FleetSizeError, OutputError, PeclError
from pecl.experiment.loading import TrainingDataCache
from pecl.files import BusyError
from pecl.files.failures import describe_failure
from pecl.grid.halving import Halving
from pecl.grid.launchers.base import BUSY, CANNOT_WRITE, FLEET_TOO_LARGE, Event, Launcher, Task
from pecl.results.completeness import complete_result
from pecl.results.folder import hold, tidy
from pecl.results.result import write_unfinished
from pecl.training.callbacks import Callback

logger = logging.getLogger(__name__)


def work(
    configs: Sequence[ExperimentConfig],
    share: int | None = None,
    halving: int | None = None,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Train runs together and write their results; an error in training is recorded as a failure.

    After an error, the runs of a fleet are trained one by one, so that only the failing ones are recorded as failed.
    `share` is as in `train_fleet`; `halving` is the factor of `Halving`, None to prune no run. Runs that are trained
    one by one have no rivals: runs that an earlier grid pruned stay so, and no other is pruned.

    Raises:
        PeclError: bad input, or results cannot be written.
        BusyError: another process trains one of the runs.
    """
    from pecl.experiment.run import train_fleet  # imports torch, which a grid of complete runs does not need

    try:
        called = [*callbacks, *([] if halving is None else [Halving(halving)])]
        train_fleet(configs, wait=False, share=share, callbacks=called, keep_pruned=halving is not None)
    except (PeclError, BusyError):
        raise
    except Exception as error:  # other runs may still succeed
        logger.error("%s failed: %s", ", ".join(config.run_id() for config in configs), describe_failure(error)[1])
        if len(configs) == 1 or configs[0].joint:
            record_failure(configs, error)
            return
        tidy(configs[0].out, configs[0].run_id())  # otherwise the next grid resumes the fleet, which fails again
        for config in configs:
            work([config], share, halving, callbacks)


def record_failure(configs: Sequence[ExperimentConfig], error: Exception) -> None:
    """Record the failure of runs, unless another process has taken them over.

    Raises:
        OutputError: the results folder cannot be written.
    """
    with contextlib.suppress(BusyError), hold(configs[0].out, [config.run_id() for config in configs]):
        for config in configs:
            if complete_result(config, TrainingDataCache().hashes) is None:
                write_unfinished(config, "failed", error="".join(traceback.format_exception_only(error)).strip())


class Inline(Launcher):
    """The default launcher: tasks run one by one in this process, which keeps towers and caches."""

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        self.callbacks = list(callbacks)

    def run(self, tasks: Sequence[Task]) -> Generator[Event, None, None]:
        """See `Launcher.run`."""
        for task in tasks:
            yield Event("started", task)
            try:
                work(task.configs, task.share, task.halving, self.callbacks)
            except BusyError:
                yield Event("busy", task)
            except PeclError as error:
                yield Event("finished", task, error)
            else:
                yield Event("finished", task)


def main(arguments: Sequence[str] | None = None) -> int:
    """Carry out one task and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m pecl.grid.launchers.worker", description="Do a grid's task.")
    parser.add_argument("--cores", help="cores to use, such as 0,1")
    parsed = parser.parse_args(arguments)

    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", level=logging.WARNING)
    if parsed.cores:
        os.sched_setaffinity(0, {int(core) for core in parsed.cores.split(",")})
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs would ignore it

    try:
        text = sys.stdin.readline()
        threading.Thread(target=_stop_at_end_of_input, daemon=True).start()
        status, sentence = run_text(text)
    except KeyboardInterrupt:
        status, sentence = 130, "interrupted"

    if sentence:
        sys.stderr.write(f"{sentence}\n")
    return status


def run_text(text: str) -> tuple[int, str]:
    """Carry out a task given as JSON; return the exit status, and a sentence if it failed."""
    try:
        task = Task.received(text)
        work(task.configs, task.share, task.halving)
    except BusyError as error:
        return BUSY, str(error)
    except FleetSizeError as error:
        return FLEET_TOO_LARGE, str(error)
    except OutputError as error:
        return CANNOT_WRITE, str(error)
    except Exception as error:
        return describe_failure(error)
    return 0, ""


def _stop_at_end_of_input() -> None:
    sys.stdin.read()
    _thread.interrupt_main()


if __name__ == "__main__":
    sys.exit(main())
