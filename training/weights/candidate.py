"""Closes a candidate's folder: its weights with style, settings and manifest."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from training.errors import VersionExists
from training.weights.registry import write_manifest

STYLE_FILE = "style.json"
RUN_FILE = "run.json"


@dataclass(frozen=True)
class Candidate:
    """A version that is written but not judged yet. `run` has the settings and figures of the run that made it."""

    version_id: str
    path: Path
    base_model: str
    dataset_hash: str
    template_fingerprint: str
    run: Mapping[str, Any]


def close_version(
    draft: Path,
    target: Path,
    base_model: str,
    dataset_hash: str,
    style: Mapping[str, Any],
    run: Mapping[str, Any],
) -> Candidate:
    """Finish a folder of merged weights: write style, settings and manifest into it, then give it its name, in one
    step.

    `style` is what the training answers have in common, as JSON values.

    Raises VersionExists if the target exists already.
    """
    if target.exists():
        raise VersionExists(f"The version folder {target} exists already; give the run a version id of its own.")
    (draft / STYLE_FILE).write_text(json.dumps(dict(style), indent=1, ensure_ascii=False), encoding="utf-8")
    (draft / RUN_FILE).write_text(json.dumps(dict(run), indent=1, ensure_ascii=False), encoding="utf-8")
    manifest = write_manifest(draft, base_model, dataset_hash)
    draft.rename(target)
    return Candidate(target.name, target, base_model, dataset_hash, manifest.template_fingerprint, run)
