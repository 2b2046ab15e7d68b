"""`Limits`: how much one request may ask for, and how much may wait."""

from dataclasses import dataclass, replace

from pecl.errors import ConfigError
from pecl.options import option, problems_of

_SPARE = 64  # open files next to connections: photographs, adapters, logs, and connections that are being taken
_LEAST = 8  # connections of a server that is of any use


@dataclass(frozen=True)
class Limits:
    """How much one request may ask for, and how much may wait; each field is a flag of `pecl serve`."""

    body_bytes: int = option(16 << 20, "most bytes of a request's body", low=1024)
    values: int = option(1 << 17, "most values in the JSON of a request's body, names of fields among them", low=64)
    texts: int = option(2048, "most texts of a request", low=1)
    characters: int = option(8192, "most characters of a text", low=1)
    pictures: int = option(16, "most pictures of a request", low=1)
    picture_bytes: int = option(8 << 20, "most bytes of a picture", low=1024)
    picture_pixels: int = option(50_000_000, "most pixels of a picture", low=1)
    waiting: int = option(8192, "most texts, and most pictures, that wait; a request beyond is refused with 429", low=1)
    together: int = option(256, "most texts of one pass", low=1)
    window: float = option(0.005, "seconds in which requests are collected for one pass", low=0, high=1)
    patience: float = option(30.0, "seconds that a request's body may take to arrive", low=0.1)
    idle: int = option(30, "seconds that a connection may wait for a request's head, or leave an answer unread", low=1)
    open_requests: int = option(512, "most requests at one time, bodies on their way among them", low=1)
    connections: int = option(1024, "most open connections; the longest idle one is closed for a new one", low=_LEAST)

    def __post_init__(self) -> None:
        problems = problems_of(self)
        least = 0 if problems else max(self.texts, self.pictures)
        for name in ("values", "waiting"):
            if (found := getattr(self, name)) < least:
                problems += [f"{name}: expected a whole number >= {least}, the size of one request, got {found}"]
        if problems:
            raise ConfigError("; ".join(problems))

    def within(self, files: int) -> "Limits":
        """Return the limits under which `files` more open files are enough.

        Requests stay below connections, so that there is always an idle connection to close for a new one.

        Raises:
            ConfigError: there is no room for connections.
        """
        connections = min(self.connections, files - _SPARE)
        if connections < _LEAST:
            least = _SPARE + _LEAST
            raise ConfigError(f"open files: expected room for at least {least} more, got {files}: raise `ulimit -n`")
        return replace(self, connections=connections, open_requests=min(self.open_requests, connections * 3 // 4))
