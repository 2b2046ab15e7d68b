"""Waiting for what another thread or process does, with a deadline."""

import time


def wait_until(condition, seconds, what):
    """Ask `condition` until its answer is true and return that answer; an AssertionError names `what` did not come."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {what}"
        time.sleep(0.01)
    return found
