"""What tests of hostile files share."""

import signal

import pytest


@pytest.fixture
def at_once():
    """Let a test that hangs, such as on a pipe, fail, rather than end the process with all others."""

    def end(*_):
        raise TimeoutError("it hangs")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
