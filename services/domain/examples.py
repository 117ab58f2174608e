"""Freezes approved examples into a file to train on, and finds the files and versions that have an example's text."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from services.contracts.jobs import UNSUCCESSFUL, JobKind
from services.database.engine import Sessions
from services.database.tables import Example, ExampleUse, File, Job, Version, not_expired
from services.domain.files import new_file, remove_bytes
from training.config import ExampleSettings

ExampleKind = Literal["supervised", "preference", "rating"]
ExampleStatus = Literal["proposed", "approved", "rejected"]
FINE_TUNING: JobKind = "fine_tuning"
PURPOSE = "fine-tune"


class TooFewExamples(Exception):
    """Fewer approved examples than a training needs."""


@dataclass(frozen=True)
class Use:
    """A file that has an example's text, the fine-tuning jobs on that file, and the names of the versions that they
    made.
    """

    example_id: str
    file_id: str
    filename: str
    frozen_at: datetime
    job_ids: tuple[str, ...]
    versions: tuple[str, ...]


def freeze_examples(sessions: Sessions, files_url: str, workspace_id: str, kind: ExampleKind) -> File:
    """Write the approved examples of a kind to a file for fine-tuning, JSONL, the oldest first.

    The same examples give the same file again. Raises TooFewExamples.
    """
    with sessions() as session:
        examples = session.scalars(_approved(workspace_id, kind).order_by(Example.created_at, Example.id)).all()
    least = ExampleSettings().min_examples
    if len(examples) < least:
        raise TooFewExamples(
            f"The workspace has {len(examples)} approved examples of the kind '{kind}'; at least {least} are needed to "
            "train. Approve more of those that are proposed, or create some."
        )
    data = "".join(f"{json.dumps(training_line(one), ensure_ascii=False)}\n" for one in examples).encode()
    file = _same_file(sessions, workspace_id, data)
    if file is not None:
        return file
    file = new_file(files_url, workspace_id, f"examples-{kind}-{len(examples)}.jsonl", data, None, PURPOSE)
    try:
        with sessions.begin() as session:
            session.add(file)
            session.flush()
            session.add_all(use_of(one, file.id) for one in examples)
    except BaseException:
        remove_bytes(file.path)
        raise
    return file


def training_line(example: Example) -> dict[str, Any]:
    """One line of the file: OpenAI's `messages`, its preference format, or trl's rows for KTO.

    `metadata.answer_id` names the journal's answer; lineage finds the file by it. The answers in its prompt have the
    weight 0, because nobody has approved them.
    """
    origin = {"answer_id": example.turn_id} if example.turn_id else {}
    metadata = {**example.details, "example_id": example.id, **origin}
    if example.kind == "supervised":
        before = [{**turn, "weight": 0} if turn["role"] == "assistant" else turn for turn in example.prompt]
        return {"messages": [*before, *_said(example.answer)], "metadata": metadata}
    if example.kind == "preference":
        return {
            "input": {"messages": example.prompt},
            "preferred_output": _said(example.answer),
            "non_preferred_output": _said(example.rejected),
            "metadata": metadata,
        }
    completion = _said(example.answer)
    return {"prompt": example.prompt, "completion": completion, "label": example.label, "metadata": metadata}


def use_of(example: Example, file_id: str) -> ExampleUse:
    """A row that says that a file has an example's text, to be added to a session."""
    return ExampleUse(
        file_id=file_id, example_id=example.id, turn_id=example.turn_id, workspace_id=example.workspace_id
    )


def count_new(sessions: Sessions, workspace_id: str, kind: ExampleKind) -> int:
    """How many approved examples no fine-tuning job has used yet; jobs that failed or were cancelled do not count."""
    taken = select(Job.request["training_file"].as_string()).where(
        Job.workspace_id == workspace_id, Job.kind == FINE_TUNING, Job.status.not_in(UNSUCCESSFUL)
    )
    used = select(ExampleUse.example_id).where(ExampleUse.workspace_id == workspace_id, ExampleUse.file_id.in_(taken))
    fresh = _approved(workspace_id, kind).where(Example.id.not_in(used))
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(fresh.subquery())) or 0


def count_approved(sessions: Sessions, workspace_id: str, kind: ExampleKind, since: datetime | None) -> int:
    """How many examples were approved since a given time; without one, how many there are."""
    approved = _approved(workspace_id, kind)
    if since is not None:
        approved = approved.where(func.coalesce(Example.reviewed_at, Example.created_at) > since)
    with sessions() as session:
        return session.scalar(select(func.count()).select_from(approved.subquery())) or 0


def uses_of_examples(session: Session, workspace_id: str, example_ids: Sequence[str]) -> list[Use]:
    """Where the texts of these examples are, the oldest file first."""
    return _uses(session, workspace_id, ExampleUse.example_id.in_(example_ids))


def uses_of_turn(session: Session, workspace_id: str, turn_id: str) -> list[Use]:
    """Where the text of an answer is, or text that was made from it; also of examples that were deleted since."""
    return _uses(session, workspace_id, ExampleUse.turn_id == turn_id)


def _uses(session: Session, workspace_id: str, which: ColumnElement[bool]) -> list[Use]:
    mine = ExampleUse.workspace_id == workspace_id
    query = select(ExampleUse, File.filename).join(File, File.id == ExampleUse.file_id).where(mine, which)
    rows = session.execute(query.order_by(ExampleUse.created_at, ExampleUse.file_id)).all()
    jobs, versions = _trained(session, workspace_id, {use.file_id for use, _ in rows})
    return [
        Use(
            use.example_id,
            use.file_id,
            filename,
            use.created_at,
            tuple(jobs.get(use.file_id, ())),
            tuple(name for job_id in jobs.get(use.file_id, ()) for name in versions.get(job_id, ())),
        )
        for use, filename in rows
    ]


def _trained(
    session: Session, workspace_id: str, file_ids: set[str]
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The fine-tuning jobs on each file, and the names of each job's versions."""
    on_file = Job.request["training_file"].as_string()
    asked = select(Job.id, on_file).where(Job.workspace_id == workspace_id, Job.kind == FINE_TUNING)
    jobs: dict[str, list[str]] = {}
    for job_id, file_id in session.execute(asked.where(on_file.in_(file_ids)).order_by(Job.created_at)):
        jobs.setdefault(file_id, []).append(job_id)
    made = select(Version.job_id, Version.name).where(Version.workspace_id == workspace_id)
    ids = [job_id for some in jobs.values() for job_id in some]
    versions: dict[str, list[str]] = {}
    for job_id, name in session.execute(made.where(Version.job_id.in_(ids)).order_by(Version.created_at)):
        versions.setdefault(job_id or "", []).append(name)
    return jobs, versions


def _said(text: str | None) -> list[dict[str, Any]]:
    return [{"role": "assistant", "content": text}]


def _approved(workspace_id: str, kind: ExampleKind) -> Select[Example]:
    return select(Example).where(
        Example.workspace_id == workspace_id, Example.kind == kind, Example.status == "approved"
    )


def _same_file(sessions: Sessions, workspace_id: str, data: bytes) -> File | None:
    """An earlier frozen file with exactly these examples. Lines name their examples, so no uploaded file matches."""
    there = File.deleted_at.is_(None), not_expired(File.expires_at)
    same = File.workspace_id == workspace_id, File.purpose == PURPOSE, File.sha256 == hashlib.sha256(data).hexdigest()
    with sessions() as session:
        frozen = select(File).where(*there, *same, File.id.in_(select(ExampleUse.file_id)))
        return session.scalars(frozen.order_by(File.created_at).limit(1)).first()
