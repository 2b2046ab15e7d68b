"""What the processes behind the first do: embed their share of each batch, until the first one is done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch

from pecl.adapters.adapter import Adapter
from pecl.adapters.spec import parse_adapter
from pecl.config import ENGINES
from pecl.encoders.batches import TokenIds
from pecl.encoders.dropout import draw_by_row
from pecl.encoders.towers import Towers
from pecl.encoders.vocabulary import trim_vocabulary
from pecl.errors import PeclError, RunError, SaidElsewhereError
from pecl.training.distributed import ProcessGroup
from pecl.training.share import Share, embed_share

LoadTowers = Callable[[Sequence[Any], bool], Towers]


@dataclass(frozen=True)
class Setup:
    """What a follower needs before the first batch.

    Attributes:
        towers: arguments of `load_towers`.
        vocabulary: token ids whose word embeddings are kept; None keeps all.
        engine: who computes the adapter.
        adapter: its spec, the rank of LoRA and its layers: arguments of `parse_adapter`.
        seeds: one a slot.
        texts: token ids of the lists of texts whose states below the adapter are computed once.
    """

    towers: tuple[Any, ...]
    vocabulary: list[int] | None
    engine: str
    adapter: tuple[Any, ...]
    seeds: list[int]
    texts: list[list[list[int]]]


def set_up(processes: ProcessGroup, setup: Setup) -> None:
    """Let the other processes load towers and slots; used by the first.

    Raises:
        PeclError: one of them cannot; it is named.
    """
    if processes.size > 1:
        processes.send({"do": "set up", "setup": vars(setup)})
        check_ready(processes.exchange(""))


def check_ready(said: Sequence[str]) -> None:
    """Raise PeclError where a process says why it cannot take part."""
    for rank, sentence in enumerate(said):
        if sentence:
            raise PeclError(f"process {rank}: {sentence}")


def follow(processes: ProcessGroup, runs: Sequence[dict[str, Any]], load: LoadTowers) -> dict[str, Any]:
    """Take part in the first process's training, and return the document that it ends with.

    Args:
        processes: all of them.
        runs: that this process was started for.
        load: loads towers by the arguments of `load_towers`; they will be trimmed if the second argument is true.

    Raises:
        SaidElsewhereError: the training failed, which the first process says.
        RunError: the first process ended.
    """
    opening = processes.exchange({"runs": list(runs)})
    if "error" in opening[0]:
        raise SaidElsewhereError("the first process says what is wrong")
    with ExitStack() as kept:
        follower: _Follower | None = None
        while True:
            message = processes.receive()
            match message["do"]:
                case "set up":
                    kept.close()
                    follower = _begin(processes, Setup(**message["setup"]), load, kept)
                case "embed" if follower is not None:
                    follower.embed(Share(**message["share"]))
                case "backward" if follower is not None:
                    follower.backward()
                case _:
                    if message.get("failed"):
                        raise SaidElsewhereError("the first process says what is wrong")
                    return message


def _begin(processes: ProcessGroup, setup: Setup, load: LoadTowers, kept: ExitStack) -> _Follower | None:
    """Load towers and slots, and say in the first process why that cannot be done."""
    follower, sentence = None, ""
    try:
        follower = _Follower(processes, setup, load, kept)
    except (PeclError, RunError) as error:
        sentence = str(error)
    processes.exchange(sentence)
    return follower


class _Follower:
    """Tower and slots of a process behind the first."""

    def __init__(self, processes: ProcessGroup, setup: Setup, load: LoadTowers, kept: ExitStack) -> None:
        self.processes = processes
        self.tower = load(setup.towers, setup.vocabulary is not None).text
        if setup.vocabulary is not None:
            trim_vocabulary(self.tower, setup.vocabulary)
        self.adapter: Adapter = ENGINES[setup.engine](self.tower, parse_adapter(*setup.adapter), seeds=setup.seeds)
        kept.callback(self.adapter.remove)
        draw_by_row(self.tower, self.tower.draws)
        lists: list[TokenIds] = list(setup.texts)
        kept.enter_context(self.tower.keeping(lists))
        self._rows = 0
        self._own = torch.empty(0)

    def embed(self, share: Share) -> None:
        """Embed a share of a batch with the parameters that the first process sends, and send it back."""
        self.processes.copy_first(self.adapter.parameters())
        self._rows = len(share.rows)
        self._own = embed_share(self.tower, share, self.processes.share(self._rows))
        self.processes.send_rows(self._own, self._rows)

    def backward(self) -> None:
        """Receive the gradient of the share, and add that of the slots' parameters to the first process's."""
        parameters = self.adapter.parameters()
        for parameter in parameters:
            parameter.grad = None
        gradient = self.processes.share_gradient(self._own, self._rows)
        if len(self._own):
            self._own.backward(gradient)
        self.processes.sum_gradients(parameters)
