"""Maximum sizes of a request, and of the queues. `Limits` are those that depend on the machine and its clients."""

from dataclasses import dataclass

from pecl.errors import raise_problems
from pecl.options import option, problems_of

TEXTS = 2048  # per request
CHARACTERS = 8192  # per text
PICTURES = 16  # per request
PICTURE_BYTES = 8 << 20
PICTURE_PIXELS = 50_000_000
TOGETHER = 256  # texts of several requests that are embedded together
FORWARDS = 256  # requests forwarded to immich's service at a time
PATIENCE = 30  # seconds to finish open requests after a stop signal


@dataclass(frozen=True)
class Limits:
    """Limits that an operator sets; each field is a flag of `pecl serve`."""

    body_bytes: int = option(16 << 20, "maximum bytes of a request's body", low=1024)
    waiting: int = option(8192, "maximum texts, and maximum images, in the queue; further requests get 429", low=TEXTS)
    window: float = option(0.005, "seconds to collect requests for one pass", low=0, high=1)

    def __post_init__(self) -> None:
        raise_problems(problems_of(self))
