"""`pecl` in several processes that train together, as torchrun starts them, with tiny towers."""

import os
import pickle
from datetime import timedelta
from functools import partial

import torch.distributed as dist

import pecl.training.distributed
from helpers.grid_processes import Command


def meeting_point():
    """Return where the processes of a training find each other, as torchrun makes it; it must outlive their start.

    It has a port before any of them is told of it, so that nobody else can take it.
    """
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def set_place(rank, size, port, setup=None):
    """Make this process one of a training's, and wait for the others for as long as a busy machine takes."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    pecl.training.distributed._WAIT_AT_FAILURE = timedelta(minutes=10)
    if setup is not None:
        setup()


def call_pickled(function, *arguments):
    """Call a function of a test, whose module a new process cannot import."""
    pickle.loads(function)(*arguments)


def start_together(folder, *arguments, setup=None):
    """Start a command for each of `arguments`, the processes of one training, and return them.

    The first calls `setup` before it begins.
    """
    store = meeting_point()
    folder.mkdir(exist_ok=True)
    started = []
    for rank, one in enumerate(arguments):
        place = partial(set_place, rank, len(arguments), store.port, None if rank else setup)
        started.append(Command(one, folder / f"process-{rank}", place))
        started[-1].store = store
    return started
