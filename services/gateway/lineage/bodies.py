"""The lineage of a text, as answers of the API show it."""

from __future__ import annotations

from typing import Any

from services.database.tables import DataSet, Version
from services.domain.lineage import Holder, Lineage


def lineage_body(found: Lineage, origin_id: str) -> dict[str, Any]:
    """The data sets and versions that contain text of a file or an answer."""
    return {
        "object": "lineage",
        "id": origin_id,
        "data_sets": [_data_set_holder(holder) for holder in found.data_sets],
        "versions": [_version_holder(holder, found.live_id) for holder in found.versions],
    }


def _data_set_holder(holder: Holder) -> dict[str, Any]:
    row = holder.thing
    assert isinstance(row, DataSet)
    return {"id": row.id, "name": row.name, "version": row.version, "sha256": row.sha256, "how": list(holder.how)}


def _version_holder(holder: Holder, live_id: str | None) -> dict[str, Any]:
    row = holder.thing
    assert isinstance(row, Version)
    live = row.id == live_id
    return {"id": row.id, "name": row.name, "status": row.status, "live": live, "how": list(holder.how)}
