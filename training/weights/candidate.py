"""A candidate written, recorded, and made live or refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from training.errors import VersionExists
from training.judging.style import StyleProfile
from training.model import GateReport
from training.weights.registry import write_manifest

STYLE_FILE = "style.json"
RUN_FILE = "run.json"


@dataclass(frozen=True)
class Candidate:
    """A version that is written and not judged yet. `run` has the settings and figures of its making."""

    version_id: str
    path: Path
    base_model: str
    dataset_hash: str
    template_fingerprint: str
    run: Mapping[str, Any]


class Versions(Protocol):
    """The list of versions."""

    def candidate(self, candidate: Candidate) -> None:
        """Enter a new version, status `candidate`."""
        ...

    def judged(self, version_id: str, metrics: Mapping[str, Any], gate: GateReport) -> None:
        """Keep a version's figures and verdict; status `refused` where it did not pass."""
        ...

    def published(self, version_id: str) -> None:
        """Mark a version as live now."""
        ...

    def discard(self, version_id: str) -> None:
        """Forget a candidate of a cancelled run; harmless where it was never entered."""
        ...


class Publisher(Protocol):
    """The part of generation's slots that publishing needs."""

    def publish(self, version_id: str) -> None:
        """Move the live pointer to a version that the spare serves."""
        ...

    def unload(self, version_id: str) -> None:
        """Give up the spare that holds a version; harmless where none does."""
        ...


def close_version(
    draft: Path,
    target: Path,
    base_model: str,
    dataset_hash: str,
    style: StyleProfile,
    run: Mapping[str, Any],
) -> Candidate:
    """Finish a folder of merged weights: style, settings and manifest into it, then its name, in one step.

    Raises VersionExists where the target is there already.
    """
    if target.exists():
        raise VersionExists(f"The version folder {target} exists already; give the run a version id of its own.")
    (draft / STYLE_FILE).write_text(json.dumps(style.to_json(), indent=1, ensure_ascii=False), encoding="utf-8")
    (draft / RUN_FILE).write_text(json.dumps(dict(run), indent=1, ensure_ascii=False), encoding="utf-8")
    manifest = write_manifest(draft, base_model, dataset_hash)
    draft.rename(target)
    return Candidate(target.name, target, base_model, dataset_hash, manifest.template_fingerprint, run)


def settle(
    candidate: Candidate, figures: Mapping[str, Any], gate: GateReport, versions: Versions, slots: Publisher
) -> bool:
    """Keep figures and verdict; publish a candidate that passed. A refused one leaves the spare, and stays listed."""
    versions.judged(candidate.version_id, figures, gate)
    if not gate.passed:
        slots.unload(candidate.version_id)
        return False
    slots.publish(candidate.version_id)
    versions.published(candidate.version_id)
    return True


def discard(candidate: Candidate, versions: Versions, slots: Publisher) -> None:
    """Leave nothing of a candidate whose run was cancelled."""
    slots.unload(candidate.version_id)
    versions.discard(candidate.version_id)
    shutil.rmtree(candidate.path, ignore_errors=True)


def report(gate: GateReport) -> dict[str, Any]:
    """A verdict as plain values."""
    return {"passed": gate.passed, "summary": gate.summary, "checks": [asdict(check) for check in gate.checks]}
