"""Numbers for Prometheus, over all worker processes together."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """What is counted. One object for each process: the client library keeps its own list."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self._of: dict[tuple[str, ...], tuple[Counter, Histogram]] = {}
        self._requests = Counter(
            "chancery_http_requests",
            "Requests by route and outcome; problem is the slug of a refusal.",
            ["method", "route", "status", "problem"],
            registry=registry,
        )
        self._seconds = Histogram(
            "chancery_http_request_seconds",
            "Time to answer, by route.",
            ["route"],
            buckets=_BUCKETS,
            registry=registry,
        )

    def count(self, method: str, route: str, status: int, problem: str, took_s: float) -> None:
        """Count an answered request."""
        labels = (method, route, str(status), problem)
        # Looked up once: the library takes a lock and checks the labels each time. Routes and problems are
        # few, so this does not grow.
        if (of := self._of.get(labels)) is None:
            of = self._of[labels] = (self._requests.labels(*labels), self._seconds.labels(route))
        requests, seconds = of
        requests.inc()
        seconds.observe(took_s)


def render_metrics() -> bytes:
    """Return the sum over all workers in the text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
