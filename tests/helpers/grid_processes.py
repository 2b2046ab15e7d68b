"""Commands in processes of their own that can be killed; towers are tiny and the state is saved after every step.

The processes are forked from a server that has imported everything, so one starts in a moment.
"""

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["grid_processes", "small_experiment", "pecl.experiment.run", "pecl.commands.grid"])


def _main(arguments, output, environment, setup):
    import torch

    import pecl.experiment.run
    import pecl.training.trainer
    from helpers.small_experiment import tiny_towers
    from pecl.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    sys.stdout = open(f"{output}.out", "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(f"{output}.err", "w", encoding="utf-8")  # noqa: SIM115
    torch.set_num_threads(1)
    pecl.experiment.run.load_towers = lambda *_: tiny_towers()
    pecl.training.trainer.SAVE_EVERY_SECONDS = 0.0
    if setup is not None:
        setup()
    status = main(arguments)
    sys.stdout.close()
    sys.stderr.close()
    os._exit(status)


class Command:
    """`pecl ...` with tiny towers in a process."""

    def __init__(self, arguments, output, setup=None):
        self.output = Path(output)
        environment = {"PECL_CACHE_DIR": os.environ["PECL_CACHE_DIR"]}
        self.process = CONTEXT.Process(target=_main, args=(arguments, str(output), environment, setup))
        self.process.start()

    def wait(self, seconds=120):
        """Return the exit status, negative for a signal."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it did not end"
        return self.process.exitcode

    def signal(self, number):
        """Send a signal, unless the process has ended by itself; its exit status tells which."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    @property
    def out(self):
        return Path(f"{self.output}.out").read_text("utf-8")

    @property
    def err(self):
        return Path(f"{self.output}.err").read_text("utf-8")


def allow_small_files_only():
    """Let a file grow to 8 kB and no further: a write then fails half-way, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))


def note_trainings():
    """Append a line to the file $PECL_CACHE_DIR/trainings for each training that begins."""
    import pecl.experiment.run

    plain = pecl.experiment.run.AlignmentTrainer

    def noting(*arguments, **options):
        with open(Path(os.environ["PECL_CACHE_DIR"]) / "trainings", "a", encoding="utf-8") as file:
            file.write("x\n")
        return plain(*arguments, **options)

    pecl.experiment.run.AlignmentTrainer = noting
