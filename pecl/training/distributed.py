"""Several processes that share each batch, as `torchrun` or `accelerate launch` starts them: one a device.

Every process holds the tower and the slots. Of each batch it encodes its share, and the embeddings of all rows are
gathered, so that the losses (in which every row may meet every other) are those of the whole batch, in every process.
The gradient of a row's embedding goes back to the process that encoded the row; the sum of the processes' gradients of
the slots' parameters is then the gradient on the whole batch, and all take the same step. The first process alone
validates and writes; what it found on disk it hands to the others.

Embeddings and gradients are exchanged through NCCL on GPUs and gloo on CPUs, all else as JSON through gloo.
"""

from __future__ import annotations

import atexit
import json
import os
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import nn

from pecl.errors import ConfigError, PeclError, RunError, SaidElsewhereError

T = TypeVar("T")
_WAIT = timedelta(hours=6)  # for a process that validates or embeds; one that ends is noticed at once
_WAIT_AT_FAILURE = timedelta(seconds=60)


def launched() -> tuple[int, int]:
    """Return the number of this process, from 0, and how many there are; (0, 1) where nothing started several.

    Raises:
        ConfigError: the variables that say so make no sense.
    """
    rank, size = os.environ.get("RANK", "0"), os.environ.get("WORLD_SIZE", "1")
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise ConfigError(f"RANK and WORLD_SIZE: expected a number below the other, got {rank!r} and {size!r}")
    return int(rank), int(size)


class Processes:
    """The processes that train together. With a size of 1 nothing is exchanged.

    Attributes:
        rank: number of this process, from 0.
        size: how many there are.
    """

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank, self.size = rank, size

    @property
    def is_first(self) -> bool:
        """Whether this process validates and writes."""
        return self.rank == 0

    def share(self, rows: int) -> list[int]:
        """Return the places of the rows of a batch that this process encodes: every `size`-th."""
        return list(range(self.rank, rows, self.size))

    def gather(self, own: torch.Tensor, rows: int) -> torch.Tensor:
        """Return the embeddings (rows, D) of a batch, given those (b, D) of the share of this process.

        The gradient of the result goes back to the rows of this process alone.
        """
        return own if self.size == 1 else _Gather.apply(own, rows, self.rank, self.size)

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Make each parameter's gradient the sum over all processes; a missing one counts as zero."""
        if self.size == 1:
            return
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        for dtype in {gradient.dtype for gradient in gradients}:
            alike = [gradient for gradient in gradients if gradient.dtype == dtype]
            flat = torch.cat([gradient.reshape(-1) for gradient in alike])  # one exchange for all of them
            dist.all_reduce(flat)
            for gradient, summed in zip(alike, flat.split([g.numel() for g in alike]), strict=True):
                gradient.copy_(summed.view_as(gradient))
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient

    def copy_first(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrite `tensors` with those of the first process."""
        if self.size > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)

    def from_first(self, make: Callable[[], T]) -> T:
        """Return what `make` returns in the first process, which JSON can hold; it is called there alone."""
        if self.size == 1:
            return make()
        made, failed = None, None
        if self.is_first:
            try:
                made = make()
            except (PeclError, RunError) as error:
                failed = error
        self._raise_any(failed)
        return self.exchange(made)[0]

    def in_turn(self, do: Callable[[], T]) -> T:
        """Return what `do` returns, called in the first process, and once it is done there in the others.

        What the first computes and caches, the others therefore find. Where one fails, all do.

        Raises:
            PeclError: the first process says what failed, and in which.
        """
        if self.size == 1:
            return do()
        result, failed = None, None
        for turn in (True, False):
            if self.is_first is turn:
                try:
                    result = do()
                except (PeclError, RunError) as error:
                    failed = error
            self._raise_any(failed)
        return result  # type: ignore[return-value]

    def _raise_any(self, failed: Exception | None) -> None:
        said = self.exchange(None if failed is None else str(failed))
        if all(sentence is None for sentence in said):
            return
        if not self.is_first:
            raise SaidElsewhereError("another process says what is wrong")
        if failed is not None:
            raise failed
        rank, sentence = next((rank, sentence) for rank, sentence in enumerate(said) if sentence is not None)
        raise PeclError(f"process {rank}: {sentence}")

    def check_equal(self, what: Sequence[dict[str, Any]]) -> None:
        """Raise ConfigError, in the first process, unless all have the same runs; the field is named."""
        if self.size == 1:
            return
        opening = _opening(self, {"runs": what})
        for rank, other in enumerate(opening):
            if difference := _difference(opening[0]["runs"], other["runs"], rank):
                if self.is_first:
                    raise ConfigError(difference)
                raise SaidElsewhereError(difference)

    def exchange(self, document: Any) -> list[Any]:
        """Return the documents of all processes, given that of this one; JSON can hold them."""
        content = torch.frombuffer(bytearray(json.dumps(document).encode("utf-8")), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(sizes, torch.tensor([len(content)]))
        longest = max(int(size) for size in sizes)
        texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
        dist.all_gather(texts, nn.functional.pad(content, (0, longest - len(content))))
        return [json.loads(text[: int(n)].numpy().tobytes()) for text, n in zip(texts, sizes, strict=True)]


ALONE = Processes()


class _Gather(torch.autograd.Function):
    """Rows of all processes: forward gathers them, backward keeps the gradient of this process's own."""

    @staticmethod
    def forward(ctx: Any, own: torch.Tensor, rows: int, rank: int, size: int) -> torch.Tensor:
        ctx.place, ctx.own = (rank, size), len(own)
        most = -(-rows // size)
        padded = own.new_zeros(most, own.shape[1])
        padded[: len(own)] = own
        parts = [torch.empty_like(padded) for _ in range(size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:rows]  # (most, size, D) -> (rows, D): row i of process i % size

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        rank, size = ctx.place
        return gradients[0][rank::size][: ctx.own], None, None, None


def join(device: str = "cpu", timeout: timedelta = _WAIT) -> Processes:
    """Return the processes that this one was started with, connected; where it was started alone, itself.

    Args:
        device: where the towers lie: "cuda" is the GPU of this process's number on its machine.
        timeout: how long one waits for another.

    Raises:
        ConfigError: the device names one GPU, which several processes would share, there are fewer GPUs than processes,
            or they cannot be connected.
    """
    rank, size = launched()
    if size == 1:
        return ALONE
    kind, _, number = device.partition(":")
    if number:
        raise ConfigError(f"device: expected {kind}, of which each of {size} processes takes one, got {device}")
    if not dist.is_initialized():
        if kind == "cuda":
            _take_gpu()
        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo", timeout=timeout)
        except (RuntimeError, ValueError) as error:  # of a port in use, a variable that is missing, a time that is over
            reason = str(error).splitlines()[0]
            raise ConfigError(f"process {rank} cannot be connected with the other {size - 1}: {reason}") from error
        atexit.register(_leave)
    return Processes(rank, size)


def _take_gpu() -> None:
    """Let `cuda` be the GPU of this process's number on its machine.

    Raises:
        ConfigError: the machine has fewer than processes; all of them say the same.
    """
    number, there = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    needed = int(os.environ.get("LOCAL_WORLD_SIZE", number + 1))
    if needed > there:
        raise ConfigError(f"device: expected a GPU for each process with cuda, got {there} GPUs on this machine")
    torch.cuda.set_device(number)


def _leave() -> None:
    if dist.is_initialized():
        dist.destroy_process_group()


def says_failure(sentence: str) -> bool:
    """Return whether this process is to say why it failed before it joined: of those with one sentence, the first."""
    if dist.is_initialized():
        return True
    try:
        processes = join(timeout=_WAIT_AT_FAILURE)
        opening = _opening(processes, {"error": sentence})
    except (SaidElsewhereError, ConfigError, RuntimeError):  # nobody to agree with
        return True
    return [one.get("error") for one in opening].index(sentence) == processes.rank


def _opening(processes: Processes, own: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what each process begins with: the runs that it is to train, or why it cannot."""
    opening = processes.exchange(own)
    if "error" not in own and any("error" in one for one in opening):
        raise SaidElsewhereError("another process says what is wrong")
    return opening


def _difference(first: list[dict[str, Any]], other: list[dict[str, Any]], rank: int) -> str | None:
    """Return the sentence for the first field in which runs of process `rank` differ from those of the first."""
    for one, another in zip(first, other, strict=False):
        for name in [*one, *(name for name in another if name not in one)]:
            if one.get(name) != another.get(name):
                values = f"{one.get(name)} in process 0 and {another.get(name)} in process {rank}"
                return f"{name}: expected one value in all processes, got {values}"
    if len(first) != len(other):
        return f"expected the same runs in all processes, got {len(first)} in process 0 and {len(other)} in {rank}"
    return None
