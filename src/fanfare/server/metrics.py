"""What Prometheus reads: requests, the queue, and what the worker last said of itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram, ProcessCollector
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The figures of one app, in a registry of its own."""

    def __init__(
        self,
        counts: Callable[[], Mapping[str, int]],
        worker: Callable[[], Mapping[str, float]],
    ) -> None:
        """counts: predictions by status; worker: its figures by name. Both read at each scrape."""
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.registry.register(_Live(counts, worker))
        self._requests = Counter(
            "fanfare_http_requests",
            "Requests answered.",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "fanfare_http_request_seconds",
            "Time from a request's arrival to the first byte of its answer.",
            ["method", "route"],
            buckets=_BUCKETS_S,
            registry=self.registry,
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request was answered."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def page(self) -> bytes:
        """All figures in Prometheus' text format; reads the store."""
        return generate_latest(self.registry)


class _Live(Collector):
    """Figures that are looked up when they are asked for."""

    def __init__(
        self,
        counts: Callable[[], Mapping[str, int]],
        worker: Callable[[], Mapping[str, float]],
    ) -> None:
        self._counts = counts
        self._worker = worker

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing: so that registering reads no store."""
        return []

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The figures of now."""
        family = GaugeMetricFamily(
            "fanfare_predictions", "Predictions in the store.", labels=["status"]
        )
        for status, n in sorted(self._counts().items()):
            family.add_metric([status], n)
        yield family
        for name, value in sorted(self._worker().items()):
            slug = re.sub(r"[^a-z0-9_]", "_", name.lower())
            yield GaugeMetricFamily(f"fanfare_worker_{slug}", "As the worker last reported.", value)
