"""`pecl` in several processes that train together, as torchrun starts them, with tiny towers."""

import os
import pickle
import socket
from functools import partial

from helpers.grid_processes import Command


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def set_place(rank, size, port):
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


def call_pickled(function, *arguments):
    """Call a function of a test, whose module a new process cannot import."""
    pickle.loads(function)(*arguments)


def start_together(folder, *arguments):
    """Start a command for each of `arguments`, the processes of one training, and return them."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    return [
        Command(one, folder / f"process-{rank}", partial(set_place, rank, len(arguments), port))
        for rank, one in enumerate(arguments)
    ]
