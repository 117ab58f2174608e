"""The recipe of a tuned embedder: from pairs to a folder of weights and a verdict.

pairs -> split by document -> hard negatives from the present embedder -> tune -> judge on held-out pairs -> close
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from training.config import EmbedderSettings
from training.embedders import gate as embedder_gate
from training.embedders import pairs
from training.embedders import tuning as embedder_tuning
from training.embedders.gate import EmbedderReport, Encode
from training.embedders.pairs import Pair
from training.embedders.tuning import Tuned
from training.errors import InvalidDataset, VersionExists
from training.progress import MustStop

MANIFEST = "embedder.json"
Progress = Callable[[str, float], None]
"""Receives what is being done, and the share of the whole that is finished, in 0..1."""


@dataclass(frozen=True)
class EmbedderRequest:
    """One tuning. `passages` are chunk ids with their texts as they are embedded: the queries are searched in these.

    `base` is the folder or hub id of the present weights. The result becomes the folder `target`, a name never used
    before; `work` is for temporary files.
    """

    base: str
    pairs: Sequence[Pair]
    passages: Sequence[tuple[str, str]]
    target: Path
    work: Path
    settings: EmbedderSettings = field(default_factory=EmbedderSettings)


@dataclass(frozen=True)
class EmbedderResult:
    """The result of a tuning. A refused embedder is a result as well: its folder exists, and `report` says why."""

    folder: Path
    trained_pairs: int
    tuned: Tuned
    report: EmbedderReport


def train_embedder(
    request: EmbedderRequest, load: Callable[[str], Encode], progress: Progress, cancelled: MustStop
) -> EmbedderResult:
    """Tune, judge and close an embedder. `load` opens the weights of a folder or hub id as they will serve.

    Raises InvalidDataset for too few pairs, VersionExists for a target that exists, and Cancelled.
    """
    settings, rng = request.settings, random.Random(request.settings.seed)
    trained, held_out, passages = _data(request, rng)
    progress(f"Looking for hard negatives for {len(trained)} pairs", 0.0)
    present = remembering(load(request.base))
    negatives = embedder_tuning.hard_negatives(trained, passages, present)

    def on_step(step: int, steps: int) -> None:
        progress(f"Tuning the embedder: step {step} of {steps}", 0.2 + 0.6 * step / max(1, steps))

    draft = request.target.with_name(f".draft-{request.target.name}")
    shutil.rmtree(draft, ignore_errors=True)
    try:
        tuned = embedder_tuning.tune(
            request.base, trained, negatives, draft, request.work, settings, on_step, cancelled
        )
        progress(f"Asking {len(held_out)} kept-out queries of both embedders", 0.8)
        before, after = (embedder_gate.scores(one, held_out, passages) for one in (present, load(str(draft))))
        report = embedder_gate.compare(before, after, settings.seed)
        _close(draft, request, len(trained), tuned, report)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return EmbedderResult(request.target, len(trained), tuned, report)


def remembering(encode: Encode) -> Encode:
    """The same, but each text is embedded once: the search for negatives and the gate both need the passages."""
    known: dict[str, Sequence[float]] = {}

    def remembered(texts: Sequence[str]) -> list[Sequence[float]]:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, encode(new), strict=True))
        return [known[text] for text in texts]

    return remembered


def _data(request: EmbedderRequest, rng: random.Random) -> tuple[list[Pair], list[Pair], list[tuple[str, str]]]:
    """Pairs to train on, pairs kept out, and the passages to search: at most `max_passages`, chosen at random."""
    settings, every = request.settings, request.pairs
    if request.target.exists():
        raise VersionExists(f"The embedder folder {request.target} exists already; give the run a name of its own.")
    if len(every) < settings.min_pairs:
        raise InvalidDataset(
            f"There are {len(every)} pairs of a query and a passage, and at least {settings.min_pairs} are needed; add "
            "documents with headings and longer sections, or collect feedback."
        )
    trained, held_out = pairs.split(every, settings.share_held_out, rng)
    if not trained:
        raise InvalidDataset("No pair is left to train on: every query is among the kept-out ones as well.")
    held_out = rng.sample(held_out, min(len(held_out), settings.max_held_out))
    passages = list(request.passages)
    return trained, held_out, rng.sample(passages, min(len(passages), settings.max_passages))


def _close(draft: Path, request: EmbedderRequest, trained: int, tuned: Tuned, report: EmbedderReport) -> None:
    """Write settings, figures and hashes into the folder, then give it its name, in one step."""
    about = {
        "base": request.base,
        "settings": asdict(request.settings),
        "trained_pairs": trained,
        "steps": tuned.steps,
        "seconds": round(tuned.seconds, 1),
        "report": report.figures(),
        "files": {str(path.relative_to(draft)): _sha256(path) for path in sorted(draft.rglob("*")) if path.is_file()},
    }
    (draft / MANIFEST).write_text(json.dumps(about, indent=1), encoding="utf-8")
    draft.rename(request.target)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
