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
        self._requests.labels(method, route, str(status), problem).inc()
        self._seconds.labels(route).observe(took_s)


def render_metrics() -> bytes:
    """Return the sum over all workers in the text format."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
