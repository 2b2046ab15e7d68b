"""Worker ranks: processes of rank above 0 embed their share of each batch until rank 0 stops them."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from pecl.adapters.adapter import Adapter
from pecl.adapters.spec import parse_adapter
from pecl.config import ENGINES
from pecl.encoders.batches import TokenIds
from pecl.encoders.dropout import use_row_dropout
from pecl.encoders.towers import Towers
from pecl.encoders.vocabulary import trim_vocabulary
from pecl.errors import PeclError, RunError, SaidElsewhereError
from pecl.training.distributed import ProcessGroup
from pecl.training.task import Share, embed_share

LoadTowers = Callable[[Sequence[Any], bool], Towers]


@dataclass(frozen=True)
class WorkerSetup:
    """The inputs of a worker rank before the first batch."""

    towers: tuple[Any, ...]  # arguments of `load_towers`
    vocabulary: list[int] | None  # token ids whose word embeddings are kept; None keeps all
    engine: str
    adapter: tuple[Any, ...]  # arguments of `parse_adapter`: spec, rank and layers
    seeds: list[int]  # one per slot
    texts: list[list[list[int]]]  # token ids of the lists of texts whose frozen layers are cached


def set_up_workers(processes: ProcessGroup, setup: WorkerSetup) -> None:
    """Make the worker ranks load towers and slots; called by rank 0. Raise PeclError, naming the rank that failed."""
    if processes.size > 1:
        processes.send({"do": "set up", "setup": vars(setup)})
        for rank, sentence in enumerate(processes.exchange("")):
            if sentence:
                raise PeclError(f"process {rank}: {sentence}")


def run_worker(processes: ProcessGroup, runs: Sequence[dict[str, Any]], load: LoadTowers) -> dict[str, Any]:
    """Work for rank 0 until the training ends, and return its last document.

    `runs` are those that this process was started for; `load` takes the arguments of `load_towers`, and whether the
    vocabulary will be trimmed. Raise SaidElsewhereError if the training failed, which rank 0 reports.
    """
    opening = processes.exchange({"runs": list(runs)})
    if "error" in opening[0]:
        raise SaidElsewhereError("the first process says what is wrong")
    with ExitStack() as stack:
        worker: _Worker | None = None
        while True:
            message = processes.receive()
            match message["do"]:
                case "set up":
                    stack.close()
                    worker = _begin(processes, WorkerSetup(**message["setup"]), load, stack)
                case "embed" if worker is not None:
                    worker.embed(Share(**message["share"]))
                case "backward" if worker is not None:
                    worker.backward()
                case _:
                    if message.get("failed"):
                        raise SaidElsewhereError("the first process says what is wrong")
                    return message


def _begin(processes: ProcessGroup, setup: WorkerSetup, load: LoadTowers, stack: ExitStack) -> "_Worker | None":
    """Load towers and slots, or send the reason of a failure to rank 0."""
    worker, sentence = None, ""
    try:
        worker = _Worker(processes, setup, load, stack)
    except (PeclError, RunError) as error:
        sentence = str(error)
    processes.exchange(sentence)
    return worker


class _Worker:
    """Tower and slots of a worker rank."""

    def __init__(self, processes: ProcessGroup, setup: WorkerSetup, load: LoadTowers, stack: ExitStack) -> None:
        self.processes = processes
        self.tower = load(setup.towers, setup.vocabulary is not None).text
        if setup.vocabulary is not None:
            trim_vocabulary(self.tower, setup.vocabulary)
        self.adapter: Adapter = ENGINES[setup.engine](self.tower, parse_adapter(*setup.adapter), seeds=setup.seeds)
        stack.callback(self.adapter.remove)
        use_row_dropout(self.tower, self.tower.dropout_seeds)
        lists: list[TokenIds] = list(setup.texts)
        stack.enter_context(self.tower.caching(lists))
        self._rows = 0
        self._own = torch.empty(0)

    def embed(self, share: Share) -> None:
        """Receive parameters from rank 0, embed a share of a batch, and send the embeddings back."""
        self.processes.copy_first([one for _, one in self.adapter.named_tensors()])
        self._rows = len(share.rows)
        self._own = embed_share(self.tower, share, self.processes.share(self._rows))
        self.processes.send_rows(self._own, self._rows)

    def backward(self) -> None:
        """Receive the gradient of the share, and send the gradients of the slots to rank 0."""
        parameters = self.adapter.parameters()
        for parameter in parameters:
            parameter.grad = None
        gradient = self.processes.share_gradient(self._own, self._rows)
        if len(self._own):
            self._own.backward(gradient)
        self.processes.sum_gradients(parameters)
