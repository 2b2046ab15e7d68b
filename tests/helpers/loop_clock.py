"""An event loop with a clock of its own: it goes on only when nothing else is to be done, and then at once.

What waits for a moment is called at that moment in order, whatever else the machine does, and no test waits for it.
"""

import asyncio
import selectors
from concurrent.futures import Future


class _Selector(selectors.DefaultSelector):
    """Instead of waiting, lets the clock go on."""

    passed = 0.0

    def select(self, timeout=None):
        assert timeout is not None, "everything waits for something that nothing brings"
        self.passed += max(timeout, 0)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self):
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self):
        return self._clock.passed


class Worker:
    """An executor: each of its calls, one at a time, takes `seconds` of the loop's clock."""

    def __init__(self, seconds=0.0):
        self.seconds = seconds

    def submit(self, function, *arguments):
        future = Future()
        asyncio.get_running_loop().call_later(self.seconds, _carry_out, future, function, arguments)
        return future


def _carry_out(future, function, arguments):
    try:
        future.set_result(function(*arguments))
    except Exception as error:
        future.set_exception(error)


def run_by_its_clock(coroutine):
    """Return what a coroutine returns in such a loop, whose clock begins at 0."""
    loop = _Loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()
