"""`Limits`: maximum sizes of a request, and of the queues."""

from dataclasses import dataclass

from pecl.errors import ConfigError
from pecl.options import option, problems_of


@dataclass(frozen=True)
class Limits:
    """Maximum sizes of a request, and of the queues; each field is a flag of `pecl serve`."""

    body_bytes: int = option(16 << 20, "maximum bytes of a request's body", low=1024)
    texts: int = option(2048, "maximum texts per request", low=1)
    characters: int = option(8192, "maximum characters per text", low=1)
    pictures: int = option(16, "maximum images per request", low=1)
    picture_bytes: int = option(8 << 20, "maximum bytes per image", low=1024)
    picture_pixels: int = option(50_000_000, "maximum pixels per image", low=1)
    waiting: int = option(8192, "maximum texts, and maximum images, in the queue; further requests get 429", low=1)
    together: int = option(256, "maximum texts of several requests that are embedded together", low=1)
    window: float = option(0.005, "seconds to collect requests for one pass", low=0, high=1)
    patience: int = option(30, "seconds to finish open requests after a stop signal", low=1)
    forwards: int = option(256, "maximum requests forwarded to immich's service at a time", low=1)

    def __post_init__(self) -> None:
        problems = problems_of(self)
        if not problems and self.waiting < (least := max(self.texts, self.pictures)):
            problems = [f"waiting: expected a whole number >= {least}, the size of one request, got {self.waiting}"]
        if problems:
            raise ConfigError("; ".join(problems))
