"""`pecl adapters` and `pecl export` in processes that can be killed, on tiny towers."""

import contextlib
import resource
import signal

from helpers.exporting import export_towers
from helpers.grid_processes import with_writing


def on_tiny_towers(setup):
    """Let the commands load tiny towers in this process, and call `setup` with writes counted."""
    import pecl.commands.adapters_hub
    import pecl.commands.export

    for module in (pecl.commands.adapters_hub, pecl.commands.export):
        module.load_towers = export_towers
    with_writing(setup)


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
