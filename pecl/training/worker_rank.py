"""Worker ranks: processes of rank above 0 embed their share of each batch until rank 0 stops them."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch

from pecl.adapters import engines
from pecl.adapters.adapter import Adapter
from pecl.encoders.dropout import use_row_dropout
from pecl.encoders.towers import Towers
from pecl.errors import PeclError, ReportedElsewhereError, RunError
from pecl.training.distributed import ProcessGroup
from pecl.training.share import Share, embed_share

LoadOnce = Callable[[Sequence[Any]], Towers]  # `pecl.experiment.towers.load_towers_once`


def set_up_workers(processes: ProcessGroup, **setup: Any) -> None:
    """Make the worker ranks load towers and slots; called by rank 0.

    Args:
        processes: all ranks.
        setup: `towers`, arguments of `load_towers`; `engine`; `adapter`, arguments of its
            `parse_adapter`; `seeds`, one per slot; and `texts`, token ids of the lists of texts whose
            frozen layers are cached.

    Raises:
        PeclError: a rank failed; the message names it.
    """
    processes.send({"do": "set up", "setup": setup})
    for rank, sentence in enumerate(processes.exchange("")):
        if sentence:
            raise PeclError(f"process {rank}: {sentence}")


def run_worker(
    processes: ProcessGroup,
    runs: Sequence[dict[str, Any]],
    load: LoadOnce,
) -> dict[str, Any]:
    """Work for rank 0 until the training ends, and return the last document of rank 0.

    `runs` are the runs that this process was started for. `load` takes the arguments of
    `load_towers`. Raise ReportedElsewhereError if the training failed, which rank 0 reports.
    """
    message = processes.exchange({"runs": list(runs)})[0]
    worker = None
    with ExitStack() as stack:
        while "error" not in message and not message.get("failed"):
            message = processes.receive()
            match message["do"]:
                case "set up":
                    stack.close()
                    worker, sentence = None, ""
                    try:
                        worker = _Worker(processes, load, stack, **message["setup"])
                    except (PeclError, RunError) as error:
                        sentence = str(error)
                    processes.exchange(sentence)
                case "embed" if worker is not None:
                    worker.embed(Share(**message["share"]))
                case "backward" if worker is not None:
                    worker.backward()
                case _:
                    if not message.get("failed"):
                        return message

    raise ReportedElsewhereError("see the error from rank 0")


class _Worker:
    """The tower and slots of a worker rank; `setup` is as in `set_up_workers`."""

    def __init__(self, processes: ProcessGroup, load: LoadOnce, stack: ExitStack, **setup: Any) -> None:
        self.processes = processes
        self.tower = load(setup["towers"]).text

        engine = setup["engine"]
        adapters = engines.parse_adapter(engine, *setup["adapter"])
        self.adapter: Adapter = engines.attach(engine, self.tower, adapters, seeds=setup["seeds"])
        stack.callback(self.adapter.remove)
        use_row_dropout(self.tower, self.tower.dropout_seeds)
        stack.enter_context(self.tower.caching(setup["texts"]))
        self._rows = 0
        self._own = torch.empty(0)

    def embed(self, share: Share) -> None:
        """Receive parameters from rank 0, embed a share of a batch, and send the embeddings back."""
        self.processes.copy_first([tensor for _, tensor in self.adapter.named_tensors()])
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
