"""Makes a candidate live, refuses it, or discards it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

from training.judging.verdict import GateReport
from training.weights.candidate import Candidate


class Versions(Protocol):
    """The list of versions."""

    def candidate(self, candidate: Candidate) -> None:
        """Enter a new version, status `candidate`."""
        ...

    def judged(self, version_id: str, metrics: Mapping[str, Any], gate: GateReport) -> None:
        """Store a version's figures and verdict; status `refused` if it did not pass."""
        ...

    def published(self, version_id: str) -> None:
        """Mark a version as live now."""
        ...

    def discard(self, version_id: str) -> None:
        """Delete a candidate of a cancelled run; harmless if it was never entered."""
        ...


class Publisher(Protocol):
    """The part of generation's slots that publishing needs."""

    def publish(self, version_id: str) -> None:
        """Move the live pointer to a version that the spare serves."""
        ...

    def unload(self, version_id: str) -> None:
        """Free the spare slot that holds a version; harmless if no slot does."""
        ...


def settle(
    candidate: Candidate, figures: Mapping[str, Any], gate: GateReport, versions: Versions, slots: Publisher
) -> bool:
    """Store figures and verdict, and publish a candidate that passed. A refused one leaves the spare slot, and stays
    listed.
    """
    versions.judged(candidate.version_id, figures, gate)
    if not gate.passed:
        slots.unload(candidate.version_id)
        return False
    slots.publish(candidate.version_id)
    versions.published(candidate.version_id)
    return True


def discard(candidate: Candidate, versions: Versions, slots: Publisher) -> None:
    """Remove everything of a candidate whose run was cancelled."""
    slots.unload(candidate.version_id)
    versions.discard(candidate.version_id)
    shutil.rmtree(candidate.path, ignore_errors=True)


def report(gate: GateReport) -> dict[str, Any]:
    """A verdict as plain values."""
    return {"passed": gate.passed, "summary": gate.summary, "checks": [asdict(check) for check in gate.checks]}
