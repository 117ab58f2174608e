"""What Prometheus can ask of the retrieval service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from retrieval.errors import StaleRevision

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The counters of one app, in a registry of their own, so that two apps in a process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        name = "tandem_retrieval_"
        self._stages = Histogram(
            name + "search_seconds", "Time of a search by stage", ["stage"], buckets=SECONDS, registry=self._registry
        )
        self._written = Counter(name + "points_written", "Points written to the index", registry=self._registry)
        self._stale = Counter(
            name + "stale_writes", "Writes refused because the file had changed or gone", registry=self._registry
        )
        self._open = Gauge(name + "open_collections", "Collections that are open", registry=self._registry)

    def searched(self, timings_ms: Mapping[str, float]) -> None:
        for stage, spent in timings_ms.items():
            self._stages.labels(stage).observe(spent / 1000)

    def written(self, points: int) -> None:
        self._written.inc(points)

    @contextmanager
    def counting_refusals(self) -> Iterator[None]:
        """Counts a write that is refused as stale."""
        with self._stale.count_exceptions(StaleRevision):
            yield

    def text(self, open_collections: int) -> bytes:
        """The exposition, with the gauge as of now."""
        self._open.set(open_collections)
        return generate_latest(self._registry)
