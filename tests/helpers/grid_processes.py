"""Commands in processes of their own that can be killed; towers are tiny and the state is saved after every step.

The processes are forked from a server that has imported everything, so one starts in a moment.
"""

import contextlib
import multiprocessing
import os
import random
import resource
import signal
import sys
from functools import partial
from pathlib import Path
from unittest.mock import patch

from helpers.waiting import wait_until

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "helpers.grid_processes",
        "helpers.small_experiment",
        "helpers.exporting",
        "pecl.experiment.run",
        "pecl.apps.commands.adapters",
        "pecl.apps.commands.export",
        "pecl.apps.export.open_clip",
        "pecl.apps.export.peft",
        "pecl.apps.export.sentence_transformers",
        "pecl.commands.grid",
        "pecl.report.page",
    ]
)


class Forked(CONTEXT.Process):
    """A process of the server of forks, which would not find the helpers: Python 3.11 starts it without `sys.path`."""

    def start(self):
        with patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
            super().start()


def _main(arguments, output, environment, setup):
    import torch

    import pecl.encoders.store
    import pecl.language.language_guess
    import pecl.training.trainer
    from helpers.small_experiment import use_towers
    from pecl.cli import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.update(environment)
    sys.stdout = open(f"{output}.out", "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = open(f"{output}.err", "w", encoding="utf-8")  # noqa: SIM115
    torch.set_num_threads(1)
    use_towers()
    pecl.training.trainer.SAVE_EVERY_SECONDS = 0.0
    pecl.language.language_guess.can_guess = lambda: False  # reading its models would take seconds of each process
    pecl.encoders.store.SHARD_ROWS = pecl.encoders.store.IMAGE_BATCH = 4
    if setup is not None:
        setup()
    status = main(arguments)
    sys.stdout.close()
    sys.stderr.close()
    os._exit(status)


class Command:
    """`pecl ...` with tiny towers in a process."""

    started = []  # noqa: RUF012

    def __init__(self, arguments, output, setup=None):
        self.output = Path(output)
        environment = {name: os.environ.get(name, "") for name in ("PECL_CACHE_DIR", "PECL_INDEX_DIR", "PYTHONPATH")}
        self.process = Forked(target=_main, args=(arguments, str(output), environment, setup))
        self.process.start()
        self.started.append(self)

    @classmethod
    def kill_all(cls):
        """Kill what still runs."""
        while cls.started:
            cls.started.pop().process.kill()

    def wait(self, seconds=600):
        """Return the exit status, negative for a signal."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, "it did not end"
        return self.process.exitcode

    def wait_until(self, condition, what, seconds=600):
        """Wait for something that the process is to do; that it ends before is an error, which shows what it wrote."""

        def look():
            ended = self.process.exitcode
            found = condition()
            assert found or ended is None, f"it ended with {ended} before this: {what}\n{self.err}"
            return found

        return wait_until(look, seconds, what)

    def signal(self, number):
        """Send a signal, unless the process has ended by itself; its exit status tells which."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, number)

    @property
    def out(self):
        return self._written("out")

    @property
    def err(self):
        return self._written("err")

    def _written(self, suffix):
        path = Path(f"{self.output}.{suffix}")
        return path.read_text("utf-8") if path.exists() else ""  # the process has only just begun


@contextlib.contextmanager
def files_of_at_most(size):
    """Let no file of this process grow beyond `size` bytes in the body: a write fails half-way, as on a full disk."""
    before, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, action)


def signal_itself(number, at, part):
    """Send this process signal `number` at its `at`-th operation on files whose path contains `part`.

    So it is met at the same point however fast the machine is.
    """
    left = at

    def on_operation():
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), number)

    _on_operations(part, on_operation)


def count_operations(counter, part):
    """Add one to `counter.value`, shared memory, at each operation on files whose path contains `part`."""

    def on_operation():
        counter.value += 1

    _on_operations(part, on_operation)


def killed_at_random(place, run, kills, seed, least, where=""):
    """Run a command to its end, then kill it (SIGKILL) at random operations on files; yield each folder and moment.

    Args:
        place: Returns the folder of the next run.
        run: (folder, setup) -> exit status and standard error; the process calls `setup` before the command.
        kills: How often it is killed.
        seed: Of the moments.
        least: Fewest operations of the whole run.
        where: Part of the folder whose operations count.
    """
    counter, folder = CONTEXT.Value("i", 0, lock=False), place()
    status, errors = run(folder, partial(count_operations, counter, f"{folder}{where}"))
    assert status == 0, errors
    assert counter.value >= least, f"{counter.value} moments to be killed at are too few"
    yield folder, "undisturbed"
    moments = random.Random(seed)
    for _ in range(kills):
        folder, at = place(), moments.randint(1, counter.value)
        moment = f"moment {at} of {counter.value}"
        status, errors = run(folder, partial(signal_itself, signal.SIGKILL, at, f"{folder}{where}"))
        assert status == -signal.SIGKILL, f"{moment}: {errors}"
        yield folder, moment


def _on_operations(part, on_operation):
    def on_event(event, arguments):
        if event in _FILE_EVENTS and part in str(arguments[0]):
            on_operation()

    sys.addaudithook(on_event)


def on_tiny_towers(setup):
    """Give towers that can be exported in this process, and call `setup` with writes counted."""
    from helpers.exporting import image_tower, text_tower
    from helpers.small_experiment import use_towers

    use_towers(text_tower, image_tower)
    with_writing(setup)


class HalfWritten:
    """A binary file that calls `at_half` with itself when half of what is written to it is on disk."""

    def __init__(self, file, at_half):
        self._file, self._at_half = file, at_half

    def write(self, content):
        self._file.write(content[: len(content) // 2])
        self._file.flush()
        self._at_half(self._file)
        self._file.write(content[len(content) // 2 :])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)


def with_writing(setup):
    """Count two points of each atomic write as operations, too: when half is written, and when all is.

    `setup` is called then, unless it is None.
    """
    from pecl.files import writing

    plain_fsync = os.fsync

    def fsync(descriptor):
        sys.audit("pecl.written", os.readlink(f"/proc/self/fd/{descriptor}"))
        plain_fsync(descriptor)

    os.fsync = fsync
    writing.open = _open_half_written
    if setup is not None:
        setup()


def _open_half_written(path, mode="r", *arguments, **options):
    def tell_half(file):
        sys.audit("pecl.half written", os.readlink(f"/proc/self/fd/{file.fileno()}"))

    file = open(path, mode, *arguments, **options)  # noqa: SIM115 (whoever called closes it)
    return HalfWritten(file, tell_half) if mode == "wb" else file


_FILE_EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "pecl.written", "pecl.half written")


def kill_before_step(at):
    """Let this process kill itself (SIGKILL) before the `at`-th training step that it takes, from 1."""
    from pecl.training.trainer import Trainer

    plain_step, taken = Trainer.train_step, []

    def step(trainer):
        taken.append(trainer.step)
        if len(taken) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return plain_step(trainer)

    Trainer.train_step = step


def note_trainings():
    """Append a line to the file $PECL_CACHE_DIR/trainings for each training that begins."""
    import pecl.experiment.run

    plain = pecl.experiment.fleet_training.Trainer

    def noting(*arguments, **options):
        with open(Path(os.environ["PECL_CACHE_DIR"]) / "trainings", "a", encoding="utf-8") as file:
            file.write("x\n")
        return plain(*arguments, **options)

    pecl.experiment.fleet_training.Trainer = noting
