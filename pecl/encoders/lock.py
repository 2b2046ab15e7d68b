"""`Lock`: a tower's lock, for callers that embed in several threads."""

import threading


class Lock:
    """A re-entrant lock. A copy of it is a new lock, so that its owner can be copied and pickled."""

    def __init__(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def __reduce__(self) -> tuple[type["Lock"], tuple[()]]:
        return Lock, ()
