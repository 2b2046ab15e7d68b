"""`Service`: models, image tower, the two queues in front of them, limits and metrics, for all endpoints.

Jobs that arrive within a few milliseconds are computed in one pass, by one thread: a `Batcher` is
their queue. While a pass runs the next one fills up, so under load no request waits for the window.
The queue is bounded: while it is full, requests are refused at once. Metrics are in Prometheus' form.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence, Sized
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Generic, TypeVar

import torch
import torch.nn.functional as F
from fastapi import Depends
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.requests import Request

from pecl.apps.serving import limits
from pecl.apps.serving.limits import Limits
from pecl.apps.serving.models import Embedded, Models, TextJob
from pecl.apps.serving.photographs import Photographs
from pecl.apps.serving.refusals import Refusal, bad
from pecl.apps.serving.requests import decode_picture
from pecl.apps.serving.upstream import Immich
from pecl.encoders.image import ImageEncoder
from pecl.errors import not_none

T = TypeVar("T")
Job = TypeVar("Job", bound=Sized)  # its length is the number of texts or pictures that it brings
Answer = TypeVar("Answer")
PictureJob = list[torch.Tensor]  # the pictures of one request, (3, H, W) each

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        seconds = functools.partial(Histogram, buckets=_SECONDS, registry=registry)
        sizes = functools.partial(Histogram, buckets=_SIZES, registry=registry)
        self.requests = Counter("pecl_requests_total", "Requests answered", ["endpoint", "status"], registry=registry)
        self.request_seconds = seconds("pecl_request_seconds", "Seconds of a request", ["endpoint"])
        self.open_requests = Gauge("pecl_open_requests", "Requests being worked on", registry=registry)
        self.passes = sizes("pecl_pass_inputs", "Texts or pictures of a pass", ["kind"])
        self.pass_requests = sizes("pecl_pass_requests", "Requests of a pass", ["kind"])
        languages = "Adapters in a pass of texts, the base encoder counted as one"
        self.pass_languages = sizes("pecl_pass_languages", languages)
        self.pass_seconds = seconds("pecl_pass_seconds", "Seconds of a pass", ["kind"])
        self.tokens = Counter("pecl_tokens_total", "Tokens read", registry=registry)


@dataclass(frozen=True)
class _Waiting(Generic[Job, Answer]):
    job: Job
    answer: asyncio.Future[Answer]
    since: float  # the event loop's clock


class Batcher(Generic[Job, Answer]):
    """Collects jobs for a function that answers many at once.

    Args:
        process: called with the jobs of a pass; returns the answer or the error of each.
        executor: calls `process`; one thread if several batchers must not compute at the same time.
        limits: its `window` and `waiting` apply.

    A job of more than `limits.TOGETHER` is a pass of its own.
    """

    def __init__(
        self,
        process: Callable[[list[Job]], Sequence[Answer | Exception]],
        executor: Executor,
        limits: Limits,
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
            Refusal: 429, the queue is full.
            Exception: the error that `process` returned for this job.
        """
        limit = self._limits.waiting
        if self.waiting + len(job) > limit:
            sentence = f"the server is busy: {self.waiting:,} inputs wait of at most {limit:,}; try again"
            raise Refusal(429, sentence, code="queue_full", headers={"retry-after": "1"})

        loop = asyncio.get_running_loop()
        waiting: _Waiting[Job, Answer] = _Waiting(job, loop.create_future(), loop.time())
        self._queue.append(waiting)
        self.waiting += len(job)
        self._arrived.set()
        if self.waiting >= limits.TOGETHER:
            self._enough.set()
        return await waiting.answer

    async def run(self) -> None:
        """Compute passes until cancelled; the application starts it."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            # rest of the oldest job's window
            remaining = self._queue[0].since + self._limits.window - loop.time()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._enough.wait(), remaining)

            taken = self._take()
            try:
                answers = await loop.run_in_executor(self._executor, self._process, [request.job for request in taken])
            except Exception as error:
                answers = [error] * len(taken)

            for waiting, answer in zip(taken, answers, strict=True):
                if waiting.answer.done():  # the client has gone
                    continue
                if isinstance(answer, Exception):
                    waiting.answer.set_exception(answer)
                else:
                    waiting.answer.set_result(answer)

    def _take(self) -> list[_Waiting[Job, Answer]]:
        taken = [self._queue.popleft()]
        size = len(taken[0].job)
        while self._queue and size + len(self._queue[0].job) <= limits.TOGETHER:
            taken.append(self._queue.popleft())
            size += len(taken[-1].job)

        self.waiting -= size
        if self.waiting < limits.TOGETHER:
            self._enough.clear()

        if not self._queue:
            self._arrived.clear()
        return taken


@dataclass
class Service:
    """The work of a server, without HTTP.

    Attributes:
        stopping: whether the server has received a signal to stop.
    """

    models: Models  # the text tower and its adapters
    # the image tower of the same space; None for a server of texts only
    image: ImageEncoder | None = None
    limits: Limits = field(default_factory=Limits)
    adapters_dir: Path | None = None  # folder whose adapter files may be loaded at run time
    photographs: Photographs | None = None  # index to search in
    immich: Immich | None = None  # immich's own service, for which this one embeds texts

    def __post_init__(self) -> None:
        self.metrics = Metrics()
        self.stopping = False
        self._compute = ThreadPoolExecutor(1, "pecl-compute")  # one: a tower takes one thread at a time
        self._decode = ThreadPoolExecutor(2, "pecl-decode")

        self._texts = Batcher(self._embed_texts, self._compute, self.limits)
        self._pictures = Batcher(self._embed_pictures, self._compute, self.limits)
        for name, description, read in (
            ("pecl_waiting_texts", "Texts that wait for a pass", lambda: self._texts.waiting),
            ("pecl_waiting_pictures", "Pictures that wait for a pass", lambda: self._pictures.waiting),
            ("pecl_adapters", "Adapters that are loaded", lambda: len(self.models.adapters)),
        ):
            Gauge(name, description, registry=self.metrics.registry).set_function(read)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Compute submitted jobs within the body; close the connections to immich's service after it."""
        tasks = [asyncio.create_task(batcher.run()) for batcher in (self._texts, self._pictures)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for executor in (self._decode, self._compute):
                executor.shutdown()
            if self.immich is not None:
                await self.immich.client.aclose()

    async def embed_texts(self, job: TextJob) -> Embedded:
        """Return the embeddings of texts, computed together with those of other requests.

        A long list of texts is queued again after each pass, so that short requests do not wait for
        all of it.

        Raises:
            Refusal: the queue is full, an adapter was unloaded, or a text is too long.
        """
        answers = [await self._texts.submit(part) for part in job.parts(limits.TOGETHER)]
        return Embedded(torch.cat([answer.embeddings for answer in answers]), sum(answer.tokens for answer in answers))

    async def embed_pictures(self, contents: Sequence[bytes], params: Sequence[str]) -> Embedded:
        """Return the embeddings of N images, given as the bytes of files; `params` are their names in the request.

        Raises:
            Refusal: one cannot be read, the queue is full, or there is no image tower.
        """
        tower = self.image
        if tower is None:
            raise bad("input: expected texts, got a picture: this server has no image tower")

        pixels = [
            await self.decoded(functools.partial(decode_picture, content, param, tower))
            for content, param in zip(contents, params, strict=True)
        ]
        return await self._pictures.submit(pixels)

    async def decoded(self, act: Callable[[], T]) -> T:
        """Return the result of `act`, called in one of two decoding threads: at most two images are in memory."""
        return await asyncio.get_running_loop().run_in_executor(self._decode, act)

    async def alone(self, act: Callable[[], T]) -> T:
        """Return the result of `act`, called between two passes, which may change the models."""
        return await asyncio.get_running_loop().run_in_executor(self._compute, act)

    def _embed_texts(self, jobs: list[TextJob]) -> list[Embedded | Exception]:
        with self._counted("text", jobs):
            answers = self.models.embed(jobs)
        self.metrics.pass_languages.observe(len({name for job in jobs for name in job.adapters}))
        self.metrics.tokens.inc(sum(answer.tokens for answer in answers if isinstance(answer, Embedded)))
        return answers

    def _embed_pictures(self, jobs: list[PictureJob]) -> list[Embedded]:
        tower = not_none(self.image, "image")
        pixels = [picture for job in jobs for picture in job]
        size = tower.default_batch_size
        with self._counted("picture", jobs):
            batches = [tower.encode_pixels(pixels[i : i + size]) for i in range(0, len(pixels), size)]
        parts = F.normalize(torch.cat(batches), dim=1).split([len(job) for job in jobs])  # (N, D) -> (n, D) each
        return [Embedded(part) for part in parts]

    def _counted(
        self,
        kind: str,
        jobs: Sequence[TextJob] | Sequence[PictureJob],
    ) -> contextlib.AbstractContextManager:
        """Count a pass; the returned context measures its seconds."""
        self.metrics.passes.labels(kind).observe(sum(map(len, jobs)))
        self.metrics.pass_requests.labels(kind).observe(len(jobs))
        return self.metrics.pass_seconds.labels(kind).time()


async def _service_of(request: Request) -> Service:
    return request.app.state.service


Served = Annotated[Service, Depends(_service_of)]  # of an endpoint
