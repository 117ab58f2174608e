"""The metrics of the generation service for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from services.generation.service import Generation


class SlotCollector(Collector):
    """Reads the slots at the moment of a scrape; it stores nothing and counts nothing twice."""

    def __init__(self, generation: Generation) -> None:
        self._generation = generation

    def collect(self) -> Iterator[Metric]:
        slots = GaugeMetricFamily("tandem_generation_slots", "Slots by role and state", labels=["role", "state"])
        for (role, state), count in Counter((row.role, row.state) for row in self._generation.fleet.rows()).items():
            slots.add_metric([role, state], count)
        yield slots
        starts = GaugeMetricFamily(
            "tandem_generation_slot_start_seconds", "How long the slot's last start took", labels=["slot"]
        )
        for slot, seconds in self._generation.fleet.start_seconds().items():
            starts.add_metric([slot], seconds)
        yield starts
        failures = self._generation.fleet.failures
        yield CounterMetricFamily("tandem_generation_failures", "Slots that failed or crashed", value=failures)
        moves = self._generation.publisher.moves
        yield CounterMetricFamily("tandem_generation_publishes", "Times a live pointer moved", value=moves)
        epoch = self._generation.table().epoch
        yield GaugeMetricFamily("tandem_generation_routing_epoch", "Epoch of the routing table", value=epoch)


def registry(generation: Generation) -> CollectorRegistry:
    """A registry of this app only, so that several apps can run in one process."""
    own = CollectorRegistry()
    own.register(SlotCollector(generation))
    return own
