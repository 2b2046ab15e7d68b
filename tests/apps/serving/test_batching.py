"""The queue in front of the towers: what arrives together is computed together, and what fails fails alone."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from pecl.apps.serving import limits
from pecl.apps.serving.limits import Limits
from pecl.apps.serving.refusals import Refusal
from pecl.apps.serving.service import Batcher
from pecl.errors import ConfigError


@pytest.fixture(autouse=True)
def ten_together(monkeypatch):
    monkeypatch.setattr(limits, "TOGETHER", 10)


def run(scenario, process, window=0.05, waiting=100):
    """Run `scenario(batcher)` with a batcher in front of `process`."""
    short = SimpleNamespace(window=window, waiting=waiting)  # a shorter queue than `Limits` allows

    async def body():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(process, executor, short)
            task = asyncio.create_task(batcher.run())
            try:
                return await asyncio.wait_for(scenario(batcher), 120)
            finally:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    return asyncio.run(body())


class Recorder:
    """Answers each job with its sum once `gate` is open, and remembers the passes."""

    def __init__(self):
        self.passes, self.gate = [], threading.Event()
        self.gate.set()

    def __call__(self, jobs):
        self.passes.append([len(job) for job in jobs])
        assert self.gate.wait(120)
        return [sum(job) for job in jobs]


def test_a_pass_holds_no_more_than_it_may_and_keeps_the_order():
    recorder = Recorder()

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.submit([i] * 4) for i in range(6)), batcher.submit([1] * 15))

    assert run(scenario, recorder) == [0, 4, 8, 12, 16, 20, 15]
    assert recorder.passes == [[4, 4]] * 3 + [[15]]  # one that is larger than a pass is a pass of its own


def test_a_job_waits_for_its_window_and_a_full_pass_does_not():
    async def seconds(batcher, job):
        start = asyncio.get_running_loop().time()
        await batcher.submit(job)
        return asyncio.get_running_loop().time() - start

    async def scenario(batcher):
        return [await seconds(batcher, [1]), *[await seconds(batcher, [1] * 10) for _ in range(3)]]

    alone, *full = run(scenario, Recorder(), window=0.5)
    assert min(full) < 0.49 <= alone


def test_what_arrives_while_a_pass_is_computed_is_the_next_and_a_full_queue_refuses():
    recorder = Recorder()
    recorder.gate.clear()

    async def scenario(batcher):
        first, left = (asyncio.create_task(batcher.submit([1])) for _ in range(2))
        while not recorder.passes:
            await asyncio.sleep(0.01)
        left.cancel()  # of the same pass: it takes no answer from others
        waiting = asyncio.create_task(batcher.submit([1] * 5))
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="5 inputs wait of at most 6") as refused:
            await batcher.submit([1, 1])
        assert (refused.value.status_code, refused.value.headers) == (429, {"retry-after": "1"})
        last = asyncio.create_task(batcher.submit([7]))
        await asyncio.sleep(0)
        assert batcher.waiting == 6
        recorder.gate.set()
        return await asyncio.gather(first, waiting, last), await batcher.submit([2, 2])

    assert run(scenario, recorder, waiting=6) == ([1, 5, 7], 4)
    assert recorder.passes == [[1, 1], [5, 1], [2]]


def test_a_queue_that_was_full_of_long_jobs_is_empty_again():
    async def scenario(batcher):
        for _ in range(3):
            await asyncio.gather(*(batcher.submit([1] * 5) for _ in range(4)))
            assert batcher.waiting == 0
        return await batcher.submit([1] * 20)

    assert run(scenario, Recorder(), waiting=20) == 20


def test_a_job_or_a_pass_that_fails_leaves_the_others_their_answers():
    failures = [RuntimeError("no memory")]

    def process(jobs):
        if failures:
            raise failures.pop()
        return [ValueError("odd") if job[0] % 2 else job[0] for job in jobs]

    async def scenario(batcher):
        with pytest.raises(RuntimeError, match="no memory"):
            await batcher.submit([1])
        return await asyncio.gather(*(batcher.submit([i]) for i in range(4)), return_exceptions=True)

    answers = run(scenario, process)
    assert [answers[0], answers[2]] == [0, 2]
    assert all(isinstance(answers[i], ValueError) for i in (1, 3))


def test_a_queue_has_room_for_the_largest_request():
    with pytest.raises(ConfigError, match="waiting: expected a whole number >= 2048, got 2047"):
        Limits(waiting=2047)
    assert Limits(waiting=2048).waiting == limits.TEXTS > limits.PICTURES
