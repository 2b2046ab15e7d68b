"""`Batcher`: jobs that arrive within a few milliseconds are computed in one pass, by one thread.

While a pass is computed the next one fills up, so under load no request waits for the window. The queue is bounded: a
request that finds it full is refused at once.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Generic, TypeVar

from pecl.serving.limits import Limits
from pecl.serving.refusals import Refusal

Job = TypeVar("Job", bound=Sized)  # its length is the number of texts or pictures that it brings
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Waiting(Generic[Job, Answer]):
    job: Job
    answer: asyncio.Future[Answer]
    since: float  # the event loop's clock


class Batcher(Generic[Job, Answer]):
    """Collects jobs for a function that answers many at once.

    Args:
        process: called with the jobs of a pass; returns for each its answer, or the error that it ended in.
        executor: calls `process`; one thread if several batchers must not compute side by side.
        limits: its `window`, `waiting` and `together` apply; a job of more than `together` is a pass of its own.
    """

    def __init__(
        self, process: Callable[[list[Job]], Sequence[Answer | Exception]], executor: Executor, limits: Limits
    ) -> None:
        self._process = process
        self._executor = executor
        self._limits = limits
        self._queue: deque[_Waiting[Job, Answer]] = deque()
        self.waiting = 0  # texts (or pictures) that wait for their pass
        self._arrived = asyncio.Event()  # something waits
        self._enough = asyncio.Event()  # a whole pass waits

    async def submit(self, job: Job) -> Answer:
        """Return the answer to a job.

        Raises:
            Refusal: 429, since too much waits already.
            Exception: the error that `process` returned for this job.
        """
        most = self._limits.waiting
        if self.waiting + len(job) > most:
            sentence = f"the server is busy: {self.waiting:,} inputs wait of at most {most:,}; try again"
            raise Refusal(429, sentence, code="queue_full", headers={"retry-after": "1"})
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Job, Answer] = _Waiting(job, loop.create_future(), loop.time())
        self._queue.append(waiting)
        self.waiting += len(job)
        self._arrived.set()
        if self.waiting >= self._limits.together:
            self._enough.set()
        return await waiting.answer

    async def run(self) -> None:
        """Compute passes until cancelled; the application starts it."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            await self._collect(self._queue[0].since + self._limits.window - loop.time())
            taken = self._take()
            try:
                jobs = [waiting.job for waiting in taken]
                answers = await loop.run_in_executor(self._executor, self._process, jobs)
            except Exception as error:
                answers = [error] * len(taken)
            for waiting, answer in zip(taken, answers, strict=True):
                if waiting.answer.done():  # whoever asked has gone
                    continue
                if isinstance(answer, Exception):
                    waiting.answer.set_exception(answer)
                else:
                    waiting.answer.set_result(answer)

    async def _collect(self, seconds: float) -> None:
        """Wait until the oldest job's window is over, or a whole pass has come."""
        if seconds > 0 and self.waiting < self._limits.together:
            self._enough.clear()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._enough.wait(), seconds)

    def _take(self) -> list[_Waiting[Job, Answer]]:
        taken = [self._queue.popleft()]
        size = len(taken[0].job)
        while self._queue and size + len(self._queue[0].job) <= self._limits.together:
            taken.append(self._queue.popleft())
            size += len(taken[-1].job)
        self.waiting -= size
        if not self._queue:
            self._arrived.clear()
        return taken
