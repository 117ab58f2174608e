"""The metrics of the retrieval service for Prometheus."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from retrieval.errors import StaleRevision

FRESHNESS = (0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Metrics:
    """The counters of one app, in a registry of their own, so that two apps in a process stay separate."""

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
        self._searchable = Histogram(
            name + "upload_to_searchable_seconds",
            "From a file's putting into a store to its being found",
            buckets=FRESHNESS,
            registry=self._registry,
        )
        self._purged = Histogram(
            name + "delete_to_gone_seconds",
            "From the deletion of a file to its leaving the index",
            buckets=FRESHNESS,
            registry=self._registry,
        )
        self._open = Gauge(name + "open_collections", "Collections that are open", registry=self._registry)

    def searched(self, timings_ms: Mapping[str, float]) -> None:
        for stage, spent in timings_ms.items():
            self._stages.labels(stage).observe(spent / 1000)

    def written(self, points: int) -> None:
        self._written.inc(points)

    def became_searchable(self, asked_at: float | None) -> None:
        """From now on a file is found; it was put into its store at `asked_at`, in seconds since 1970."""
        if asked_at is not None:
            self._searchable.observe(max(0.0, time.time() - asked_at))

    def was_purged(self, asked_at: float | None) -> None:
        """A file is no longer in the index; somebody deleted it at `asked_at`."""
        if asked_at is not None:
            self._purged.observe(max(0.0, time.time() - asked_at))

    @contextmanager
    def counting_refusals(self) -> Iterator[None]:
        """Counts each write that is refused as stale."""
        with self._stale.count_exceptions(StaleRevision):
            yield

    def text(self, open_collections: int) -> bytes:
        """The exposition, with the gauge's present value."""
        self._open.set(open_collections)
        return generate_latest(self._registry)
