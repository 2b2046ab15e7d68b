"""`Limits`: how much one request may ask for, and how much may wait."""

from dataclasses import dataclass

from pecl.errors import ConfigError
from pecl.options import option, problems_of


@dataclass(frozen=True)
class Limits:
    """How much one request may ask for, and how much may wait; each field is a flag of `pecl serve`."""

    body_bytes: int = option(16 << 20, "most bytes of a request's body", low=1024)
    texts: int = option(2048, "most texts of a request", low=1)
    characters: int = option(8192, "most characters of a text", low=1)
    pictures: int = option(16, "most pictures of a request", low=1)
    picture_bytes: int = option(8 << 20, "most bytes of a picture", low=1024)
    picture_pixels: int = option(50_000_000, "most pixels of a picture", low=1)
    waiting: int = option(8192, "most texts, and most pictures, that wait; a request beyond is refused with 429", low=1)
    together: int = option(256, "most texts of one pass", low=1)
    window: float = option(0.005, "seconds in which requests are collected for one pass", low=0, high=1)
    patience: int = option(30, "seconds that a server that is told to stop gives to its requests", low=1)
    forwards: int = option(256, "most requests that immich's service works on at one time", low=1)

    def __post_init__(self) -> None:
        problems = problems_of(self)
        if not problems and self.waiting < (least := max(self.texts, self.pictures)):
            problems = [f"waiting: expected a whole number >= {least}, the size of one request, got {self.waiting}"]
        if problems:
            raise ConfigError("; ".join(problems))
