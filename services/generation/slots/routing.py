"""The routing table: which slot serves what, as the gateway reads it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence

from services.contracts.generation import CanaryShare, Route, RoutingTable, SlotBody


class RoutingTables:
    """Makes tables from the slots' rows and numbers them. Safe to call from several threads.

    Epochs start at the time in milliseconds, so they also grow when the service restarts.
    """

    def __init__(self, first_epoch: int | None = None) -> None:
        self._table = table_of((), {}, first_epoch if first_epoch is not None else time.time_ns() // 1_000_000)
        self._lock = threading.Lock()

    def current(self, rows: Sequence[SlotBody], canaries: Mapping[str, CanaryShare]) -> RoutingTable:
        """The table for these rows; it has a new epoch if anything changed."""
        with self._lock:
            table = table_of(rows, canaries, self._table.epoch)
            if table != self._table:
                self._table = table.model_copy(update={"epoch": self._table.epoch + 1})
            return self._table


def table_of(rows: Sequence[SlotBody], canaries: Mapping[str, CanaryShare], epoch: int) -> RoutingTable:
    """Which ready slot serves what. A live slot that is restarting counts as loading."""
    ready = [row for row in rows if row.state == "ready"]
    coming = [row for row in rows if row.state == "starting" or (row.state == "failed" and row.role == "live")]
    versions = {row.version_id: _route(row) for row in ready if row.role == "spare" and row.version_id}
    return RoutingTable(
        epoch=epoch,
        base=next((_route(row) for row in ready if row.role == "base"), None),
        live={row.workspace_id: _route(row) for row in ready if row.role == "live" and row.workspace_id},
        versions=versions,
        loading=sorted(row.version_id for row in coming if row.version_id),
        canaries={key: canary for key, canary in canaries.items() if canary.version_id in versions},
    )


def _route(row: SlotBody) -> Route:
    return Route(slot=row.name, address=row.address, model=row.model, version_id=row.version_id, engine=row.engine)
