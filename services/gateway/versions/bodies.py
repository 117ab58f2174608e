"""Versions, canaries and the history, as answers of the API show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.database.tables import Canary, LivePointer, Publication, Version

PUBLICATION = "pub-"


LINEAGE = ("data_set_id", "from_version", "code_version", "seed", "weights")


def version_body(
    version: Version, pointer: LivePointer | None, canary: Canary | None, events: Sequence[Publication]
) -> dict[str, Any]:
    return {
        "id": version.id,
        "object": "version",
        "name": version.name,
        "status": version.status,
        "live": bool(pointer and pointer.version_id == version.id),
        "previous": bool(pointer and pointer.previous_version_id == version.id),
        "pinned": version.pinned,
        "canary": canary_body(canary) if canary and canary.version_id == version.id else None,
        "base_model": version.base_model,
        "job_id": version.job_id,
        "dataset_hash": version.dataset_hash,
        "template_fingerprint": version.template_fingerprint,
        **{name: version.lineage.get(name) for name in LINEAGE},
        "settings": version.settings,
        "metrics": version.metrics,
        "gate": version.gate,
        "history": [publication_body(event, version.name) for event in events],
        "created_at": int(version.created_at.timestamp()),
    }


def canary_body(canary: Canary) -> dict[str, Any]:
    fields = ("share", "margin", "min_requests", "promote_after", "answers", "errors", "live_answers", "live_errors")
    shown = {name: getattr(canary, name) for name in fields}
    return {"id": canary.id, "object": "canary", "created_at": int(canary.created_at.timestamp()), **shown}


def publication_body(event: Publication, name: str | None) -> dict[str, Any]:
    return {
        "id": f"{PUBLICATION}{event.id}",
        "object": "version.event",
        "event": event.event,
        "version": name,
        "version_id": event.version_id,
        "from_version_id": event.from_version_id,
        "why": event.why,
        "by": event.by,
        "overrides": event.overrides,
        "reason": event.reason,
        "figures": event.figures,
        "created_at": int(event.created_at.timestamp()),
    }
