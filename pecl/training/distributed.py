"""Processes that share each batch, started by `torchrun` or `accelerate launch`, one per device.

Rank 0 runs the experiment: it reads, computes losses, measures and writes. The others
(`worker_rank`) embed their share of each batch, send the embeddings, receive the gradient of their
rows, and send the gradients of the slots. Losses are therefore those of the whole batch, and
results match single-process training.

Embeddings and gradients travel through NCCL on GPUs and gloo on CPUs, everything else as JSON through gloo.
"""

import atexit
import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from pecl.errors import ConfigError, PeclError, RunError

_WAIT = timedelta(hours=6)  # while rank 0 validates or embeds; the end of a process is noticed at once
_WAIT_AT_FAILURE = timedelta(seconds=60)


def launched() -> tuple[int, int]:
    """Return rank and number of processes from RANK and WORLD_SIZE; (0, 1) for a single process.

    Raises:
        ConfigError: the two variables contradict each other.
    """
    rank = os.environ.get("RANK", "0")
    size = os.environ.get("WORLD_SIZE", "1")
    if not (rank.isdecimal() and size.isdecimal() and int(rank) < int(size)):
        raise ConfigError(f"RANK and WORLD_SIZE: expected a rank below the size, got {rank!r} and {size!r}")
    return int(rank), int(size)


class ProcessGroup:
    """The processes of one training; ranks count from 0. With a size of 1 nothing is exchanged."""

    def __init__(self, rank: int = 0, size: int = 1) -> None:
        self.rank = rank
        self.size = size

    @contextlib.contextmanager
    def leading(self, runs: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Run the experiment in the body on rank 0, while the workers, started for the same runs, do their share.

        Yield a document that the body may fill; the workers receive it at the end.

        Raises:
            ConfigError: a worker was started for other runs; the sentence names the field.
            PeclError: a worker failed before it joined; the sentence is its own.
            RunError: a worker ended.
        """
        last: dict[str, Any] = {"do": "stop", "failed": True}
        if self.size == 1:
            yield last
            return

        try:
            opening = self.exchange({"runs": runs})
            for rank, message in enumerate(opening):
                if "error" in message:
                    raise PeclError(message["error"])
                difference = _difference(opening[0]["runs"], message["runs"], rank)
                if difference:
                    raise ConfigError(difference)
            yield last
            last["failed"] = False
        finally:
            with contextlib.suppress(RunError):  # the workers ended, too
                self.send(last)

    def send(self, document: dict[str, Any]) -> None:
        """Send a JSON document from rank 0 to all workers."""
        content = _as_bytes(document)
        ended: RunError | None = None
        # one by one: the end of one worker still reaches the others
        for rank in range(1, self.size):
            try:
                with _said():
                    dist.send(torch.tensor([len(content)]), rank)
                    dist.send(content, rank)
            except RunError as error:
                ended = error

        if ended is not None:
            raise ended

    def receive(self) -> dict[str, Any]:
        """Return the next document from rank 0."""
        with _said():
            size = torch.zeros(1, dtype=torch.int64)
            dist.recv(size, 0)
            content = torch.empty(int(size), dtype=torch.uint8)
            dist.recv(content, 0)
        return json.loads(content.numpy().tobytes())

    def exchange(self, document: Any) -> list[Any]:
        """Send a JSON document to all processes, and return the documents of all."""
        if self.size == 1:
            return [document]

        content = _as_bytes(document)
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        with _said():
            dist.all_gather(sizes, torch.tensor([len(content)]))
            longest = max(int(size) for size in sizes)
            texts = [torch.zeros(longest, dtype=torch.uint8) for _ in range(self.size)]
            dist.all_gather(texts, nn.functional.pad(content, (0, longest - len(content))))

        return [json.loads(text[: int(n)].numpy().tobytes()) for text, n in zip(texts, sizes, strict=True)]

    def share(self, rows: int) -> list[int]:
        """Return the indices of the rows of a batch that this process embeds: every `size`-th."""
        return list(range(self.rank, rows, self.size))

    def gather(self, share: torch.Tensor, rows: int) -> torch.Tensor:
        """Return the embeddings (rows, D) of a batch on rank 0, given those (b, D) of its share.

        The backward pass sends workers the gradients of their rows.
        """
        return share if self.size == 1 else _Gather.apply(share, rows, self)

    def send_rows(self, share: torch.Tensor, rows: int) -> torch.Tensor:
        """Send the embeddings (b, D) of this share to rank 0, which returns all (rows, D)."""
        rows_per_process = -(-rows // self.size)
        padded = share.new_zeros(rows_per_process, share.shape[1])
        padded[: len(share)] = share.detach()
        parts = None
        if self.rank == 0:
            parts = [torch.empty_like(padded) for _ in range(self.size)]

        with _said():
            dist.gather(padded, parts, 0)
        # (rows_per_process, size, D) -> (rows, D): row i is of process i % size
        return padded if parts is None else torch.stack(parts, dim=1).flatten(0, 1)[:rows]

    def share_gradient(
        self,
        share: torch.Tensor,
        rows: int,
        whole: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the gradient (b, D) of the embeddings `share` of this process; rank 0 passes the `whole`."""
        rows_per_process = -(-rows // self.size)
        parts = None
        if whole is not None:
            padded = nn.functional.pad(whole, (0, 0, 0, rows_per_process * self.size - rows))
            parts = [padded[rank :: self.size].contiguous() for rank in range(self.size)]

        received = share.new_empty(rows_per_process, share.shape[1])
        with _said():
            dist.scatter(received, parts, 0)
        return received[: len(share)]

    def sum_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Sum the gradients of all processes on rank 0; a missing gradient counts as zero."""
        if self.size == 1:
            return

        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        for flat, parts in _flat(gradients):  # one exchange for all of one type
            with _said():
                dist.reduce(flat, 0)
            for gradient, summed in parts:
                gradient.copy_(summed)

        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient

    @torch.no_grad()
    def copy_first(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrite `tensors` of workers with those of rank 0."""
        for flat, parts in _flat(tensors):
            with _said():
                dist.broadcast(flat, 0)
            if self.rank > 0:
                for tensor, sent in parts:
                    tensor.copy_(sent)


SINGLE = ProcessGroup()


class _Gather(torch.autograd.Function):
    """Gather rows on rank 0 (forward), and send each process the gradient of its rows (backward)."""

    @staticmethod
    def forward(ctx: Any, share: torch.Tensor, rows: int, processes: ProcessGroup) -> torch.Tensor:
        ctx.processes = processes
        ctx.rows = rows
        ctx.save_for_backward(share)
        return processes.send_rows(share, rows)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        processes: ProcessGroup = ctx.processes
        processes.send({"do": "backward"})
        return processes.share_gradient(ctx.saved_tensors[0], ctx.rows, gradients[0]), None, None


def _flat(
    tensors: Sequence[torch.Tensor],
) -> Iterator[tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]]:
    """Yield the tensors of each dtype as one vector, and pairs of each tensor and its part of the vector."""
    for dtype in dict.fromkeys(tensor.dtype for tensor in tensors):
        alike = [tensor for tensor in tensors if tensor.dtype == dtype]
        flat = torch.cat([tensor.detach().reshape(-1) for tensor in alike])
        parts = flat.split([tensor.numel() for tensor in alike])
        yield flat, [(tensor, part.view_as(tensor)) for tensor, part in zip(alike, parts, strict=True)]


def _as_bytes(document: Any) -> torch.Tensor:
    """Return a document as JSON in UTF-8, (bytes,) uint8."""
    return torch.frombuffer(bytearray(json.dumps(document).encode("utf-8")), dtype=torch.uint8)


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Turn the failure of an exchange into a RunError."""
    try:
        yield
    except RuntimeError as error:  # from torch: a connection is closed, or a process did not answer in time
        raise RunError(f"another process of the training ended ({str(error).splitlines()[0]})") from error


def join_group(device: str = "cpu", timeout: timedelta = _WAIT) -> ProcessGroup:
    """Join the process group, or return `SINGLE` for a single process.

    With the device "cuda", each process takes the GPU with its local rank.

    Raises:
        ConfigError: the device names one GPU for several processes, there are fewer GPUs than
            processes, or the connection fails.
    """
    rank, size = launched()
    if size == 1:
        return SINGLE

    kind, _, number = device.partition(":")
    if number:
        raise ConfigError(f"expected {kind}, of which each of {size} processes takes one, got {device}", field="device")

    if not dist.is_initialized():
        if kind == "cuda":
            number = int(os.environ.get("LOCAL_RANK", "0"))
            num_gpus = torch.cuda.device_count()
            if int(os.environ.get("LOCAL_WORLD_SIZE", number + 1)) > num_gpus:
                raise ConfigError(
                    f"expected a GPU for each process with cuda, got {num_gpus} GPUs on this machine", field="device"
                )
            torch.cuda.set_device(number)

        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if kind == "cuda" else "gloo", timeout=timeout)
        except (RuntimeError, ValueError) as error:  # a port in use, a missing variable, a time-out
            reason = str(error).splitlines()[0]
            raise ConfigError(f"process {rank} cannot be connected with the other {size - 1}: {reason}") from error

        atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())

    return ProcessGroup(rank, size)


@contextlib.contextmanager
def use_threads(number: int | None) -> Iterator[None]:
    """Compute with `number` threads in the body; None changes nothing."""
    before = torch.get_num_threads()
    if number is not None:
        torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def says_failure(sentence: str) -> bool:
    """Announce that this process failed before it joined, and return whether it reports the failure.

    Rank 0 reports for all processes that wait for it.
    """
    if dist.is_initialized():
        return True

    try:
        processes = join_group(timeout=_WAIT_AT_FAILURE)
        opening = processes.exchange({"error": sentence})
        if processes.rank == 0:
            processes.send({"do": "stop", "failed": True})
            return True
        return "error" not in opening[0] and processes.receive()["do"] != "stop"
    except (ConfigError, RunError):  # no connection
        return True


def _difference(first_runs: list[dict[str, Any]], other_runs: list[dict[str, Any]], rank: int) -> str | None:
    """Return the sentence for the first field in which the runs of process `rank` differ from those of rank 0."""
    for first_run, other_run in zip(first_runs, other_runs, strict=False):
        for name in [*first_run, *(name for name in other_run if name not in first_run)]:
            if first_run.get(name) != other_run.get(name):
                values = f"{first_run.get(name)} in process 0 and {other_run.get(name)} in process {rank}"
                return f"{name}: expected one value in all processes, got {values}"

    if len(first_runs) != len(other_runs):
        counts = f"{len(first_runs)} in process 0 and {len(other_runs)} in {rank}"
        return f"expected the same runs in all processes, got {counts}"
    return None
