"""The queue in front of the towers: what arrives together is computed together, and what fails fails alone."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pecl.serving.batching import Batcher
from pecl.serving.refusals import Refusal


def run(scenario, process, **options):
    """Run `scenario(batcher)` with a batcher in front of `process`."""
    sizes = {"window": 0.02, "most_waiting": 100, "most_together": 10, **options}

    async def body():
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(process, executor, **sizes)
            task = asyncio.create_task(batcher.run())
            try:
                return await scenario(batcher)
            finally:
                task.cancel()

    return asyncio.run(body())


class Recorder:
    """Answers each job with its sum, and remembers the passes."""

    def __init__(self, seconds=0.0):
        self.passes = []
        self.seconds = seconds

    def __call__(self, jobs):
        time.sleep(self.seconds)
        self.passes.append([list(job) for job in jobs])
        return [sum(job) for job in jobs]


def test_what_arrives_within_the_window_is_one_pass():
    recorder = Recorder()

    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit([1, 2]))
        await asyncio.sleep(0.005)
        return await asyncio.gather(first, batcher.submit([3]))

    assert run(scenario, recorder) == [3, 3]
    assert recorder.passes == [[[1, 2], [3]]]


def test_what_comes_after_the_window_is_another_pass():
    recorder = Recorder()

    async def scenario(batcher):
        await batcher.submit([1])
        await batcher.submit([2])

    run(scenario, recorder)
    assert recorder.passes == [[[1]], [[2]]]


def test_a_full_pass_does_not_wait_for_its_window():
    recorder = Recorder()

    async def scenario(batcher):
        start = time.perf_counter()
        await asyncio.gather(*(batcher.submit([i]) for i in range(10)))
        return time.perf_counter() - start

    assert run(scenario, recorder, window=5) < 2
    assert len(recorder.passes) == 1


def test_a_pass_holds_no_more_than_it_may_and_keeps_the_order():
    recorder = Recorder(0.01)

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.submit([i] * 4) for i in range(6)), batcher.submit([1] * 15))

    assert run(scenario, recorder) == [0, 4, 8, 12, 16, 20, 15]
    sizes = [[len(job) for job in jobs] for jobs in recorder.passes]
    assert sizes == [[4, 4], [4, 4], [4, 4], [15]]  # one that is larger than a pass is a pass of its own


def test_while_a_pass_is_computed_the_next_one_fills_up():
    recorder = Recorder(0.05)

    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit([0]))
        await asyncio.sleep(0.04)  # its window is over: it is being computed
        await asyncio.gather(first, *(batcher.submit([i]) for i in range(1, 6)))

    run(scenario, recorder)
    assert [len(jobs) for jobs in recorder.passes] == [1, 5]


def test_a_full_queue_refuses_at_once_and_takes_requests_again_later():
    gate = threading.Event()

    def process(jobs):
        gate.wait(5)
        return [sum(job) for job in jobs]

    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit([1]))
        await asyncio.sleep(0.04)
        waiting = asyncio.create_task(batcher.submit([1] * 5))
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="5 inputs wait of at most 6") as refused:
            await batcher.submit([1, 1])
        assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
        last = asyncio.create_task(batcher.submit([7]))
        await asyncio.sleep(0)
        assert batcher.waiting == 6
        gate.set()
        answers = await asyncio.gather(first, waiting, last)
        return answers, await batcher.submit([2, 2])

    assert run(scenario, process, most_waiting=6) == ([1, 5, 7], 4)


def test_a_job_that_fails_leaves_the_others_their_answers():
    def process(jobs):
        return [ValueError("odd") if job[0] % 2 else job[0] for job in jobs]

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.submit([i]) for i in range(4)), return_exceptions=True)

    answers = run(scenario, process)
    assert [answers[0], answers[2]] == [0, 2]
    assert all(isinstance(answers[i], ValueError) for i in (1, 3))


def test_a_pass_that_fails_as_a_whole_does_not_end_the_batcher():
    failures = [RuntimeError("no memory")]

    def process(jobs):
        if failures:
            raise failures.pop()
        return [sum(job) for job in jobs]

    async def scenario(batcher):
        with pytest.raises(RuntimeError, match="no memory"):
            await batcher.submit([1])
        return await batcher.submit([2])

    assert run(scenario, process) == 2


def test_whoever_stops_waiting_takes_no_answer_from_others():
    recorder = Recorder(0.02)

    async def scenario(batcher):
        gone = asyncio.create_task(batcher.submit([1]))
        kept = asyncio.create_task(batcher.submit([2]))
        await asyncio.sleep(0.025)
        gone.cancel()
        return await kept, await batcher.submit([3])

    assert run(scenario, recorder) == (2, 3)
