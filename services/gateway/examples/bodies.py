"""Examples and the files that contain their texts, as answers of the API show them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from services.database.tables import Example
from services.domain.examples import Use


def example_body(example: Example, uses: Sequence[Use]) -> dict[str, Any]:
    """`uses` are the files that have its text, with the jobs and versions that were trained on them."""
    return {
        "id": example.id,
        "object": "example",
        "created_at": int(example.created_at.timestamp()),
        "kind": example.kind,
        "status": example.status,
        "origin": example.origin,
        "prompt": example.prompt,
        "answer": example.answer,
        "rejected": example.rejected,
        "label": example.label,
        "metadata": example.details,
        "answer_id": example.turn_id,
        "feedback_id": example.feedback_id,
        "reviewed_by": example.reviewed_by,
        "reviewed_at": int(example.reviewed_at.timestamp()) if example.reviewed_at else None,
        "note": example.note,
        "uses": [use_body(use) for use in uses],
    }


def use_body(use: Use) -> dict[str, Any]:
    """A file that has an example's text, and the jobs and versions that were trained on it."""
    return {
        "example_id": use.example_id,
        "file_id": use.file_id,
        "filename": use.filename,
        "frozen_at": int(use.frozen_at.timestamp()),
        "jobs": use.job_ids,
        "versions": use.versions,
    }
