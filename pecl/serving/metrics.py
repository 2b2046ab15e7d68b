"""Counters of a server, in Prometheus' form."""

from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """Counters of one application, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = own = CollectorRegistry()
        seconds = partial(Histogram, buckets=_SECONDS, registry=own)
        sizes = partial(Histogram, buckets=_SIZES, registry=own)
        self.requests = Counter("pecl_requests_total", "Requests answered", ["endpoint", "status"], registry=own)
        self.request_seconds = seconds("pecl_request_seconds", "Seconds of a request", ["endpoint"])
        self.open_requests = Gauge("pecl_open_requests", "Requests being worked on", registry=own)
        self.passes = sizes("pecl_pass_inputs", "Texts or pictures of a pass", ["kind"])
        self.pass_requests = sizes("pecl_pass_requests", "Requests of a pass", ["kind"])
        languages = "Adapters in a pass of texts, the plain tower counted as one"
        self.pass_languages = sizes("pecl_pass_languages", languages)
        self.pass_seconds = seconds("pecl_pass_seconds", "Seconds of a pass", ["kind"])
        self.tokens = Counter("pecl_tokens_total", "Tokens read", registry=own)

    def watch(self, name: str, what: str, read: Callable[[], float]) -> None:
        """Add a number that is read when the metrics are asked for."""
        Gauge(name, what, registry=self.registry).set_function(read)

    def text(self) -> bytes:
        """Return all of them in Prometheus' text form."""
        return generate_latest(self.registry)
