"""The queue in front of the towers: what arrives together is computed together, and what fails fails alone.

All by the loop's own clock, so that what arrives when does not depend on the machine.
"""

import asyncio
import contextlib

import pytest
from helpers.loop_clock import Worker, run_by_its_clock

from pecl.serving.batching import Batcher
from pecl.serving.limits import Limits
from pecl.serving.refusals import Refusal


def run(scenario, process, seconds=0.0, **options):
    """Run `scenario(batcher)` with a batcher in front of `process`, whose passes take `seconds`."""
    limits = Limits(**{"texts": 1, "pictures": 1, "window": 0.02, "waiting": 100, "together": 10, **options})

    async def body():
        batcher = Batcher(process, Worker(seconds), limits)
        task = asyncio.create_task(batcher.run())
        try:
            return await scenario(batcher)
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    return run_by_its_clock(body())


def now():
    return asyncio.get_running_loop().time()


class Recorder:
    """Answers each job with its sum, and remembers the passes and when they ended."""

    def __init__(self):
        self.passes = []
        self.ended = []

    def __call__(self, jobs):
        self.passes.append([list(job) for job in jobs])
        self.ended.append(now())
        return [sum(job) for job in jobs]


@pytest.mark.parametrize(
    ("later", "second", "passes", "ended"),
    [
        (0.019, [3], [[[1, 2], [3]]], [0.02]),  # the window is that of the first
        (0.021, [3], [[[1, 2]], [[3]]], [0.02, 0.041]),
        (0.005, [0] * 8, [[[1, 2], [0] * 8]], [0.005]),  # a full pass does not wait for its window
    ],
)
def test_what_arrives_within_the_window_is_one_pass_and_later_another(later, second, passes, ended):
    recorder = Recorder()

    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit([1, 2]))
        await asyncio.sleep(later)
        return await asyncio.gather(first, batcher.submit(second))

    assert run(scenario, recorder) == [3, sum(second)]
    assert recorder.passes == passes
    assert recorder.ended == pytest.approx(ended)


def test_a_pass_holds_no_more_than_it_may_and_keeps_the_order():
    recorder = Recorder()

    async def scenario(batcher):
        return await asyncio.gather(*(batcher.submit([i] * 4) for i in range(6)), batcher.submit([1] * 15))

    assert run(scenario, recorder, seconds=0.01) == [0, 4, 8, 12, 16, 20, 15]
    sizes = [[len(job) for job in jobs] for jobs in recorder.passes]
    assert sizes == [[4, 4], [4, 4], [4, 4], [15]]  # one that is larger than a pass is a pass of its own


def test_a_full_queue_refuses_at_once_and_takes_requests_again_later():
    async def scenario(batcher):
        first = asyncio.create_task(batcher.submit([1]))
        left = asyncio.create_task(batcher.submit([1]))  # of the same pass: it takes no answer from others
        await asyncio.sleep(0.04)
        left.cancel()
        waiting = asyncio.create_task(batcher.submit([1] * 5))
        await asyncio.sleep(0)
        with pytest.raises(Refusal, match="5 inputs wait of at most 6") as refused:
            await batcher.submit([1, 1])
        assert (refused.value.status_code, refused.value.headers) == (429, {"retry-after": "1"})
        last = asyncio.create_task(batcher.submit([7]))
        await asyncio.sleep(0)
        assert batcher.waiting == 6
        assert now() == pytest.approx(0.04)
        answers = await asyncio.gather(first, waiting, last)
        return answers, await batcher.submit([2, 2])

    assert run(scenario, Recorder(), seconds=5, waiting=6) == ([1, 5, 7], 4)


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
