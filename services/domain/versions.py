"""Rules about versions that gateway, generation and worker share: which ones must stay, and how one is removed."""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.contracts.jobs import FINISHED
from services.database.tables import Canary, Job, LivePointer, Publication, Version, Workspace

REMOVED = "removed"


def hold(session: Session, workspace_id: str) -> None:
    """Until the transaction ends, nobody else can move the workspace's live pointer or remove one of its versions."""
    session.execute(update(Workspace).where(Workspace.id == workspace_id).values(name=Workspace.name))


def protected(session: Session, workspace_id: str) -> dict[str, str]:
    """The ids of the versions that must stay, each with the reason in words."""
    reasons: dict[str, str] = {}
    unfinished = select(Version.id).join(Job, Job.id == Version.job_id)
    unfinished = unfinished.where(Version.workspace_id == workspace_id, Job.status.not_in(FINISHED))
    begun_with = select(Job.request["from_version"].as_string()).where(Job.workspace_id == workspace_id)
    begun_with = begun_with.where(Job.kind == "fine_tuning", Job.status.not_in(FINISHED))
    canaries = select(Canary.version_id).where(Canary.workspace_id == workspace_id, Canary.ended_at.is_(None))
    pinned = select(Version.id).where(Version.workspace_id == workspace_id, Version.pinned.is_(True))
    for query, reason in (
        (unfinished, "the job that made it is not finished; wait, or cancel it"),
        (begun_with, "a fine-tuning job begins with it; wait, or cancel it"),
        (pinned, "it is pinned; unpin it first"),
        (canaries, "it is tried as a canary; end that first"),
    ):
        reasons |= dict.fromkeys(session.scalars(query), reason)
    pointer = session.get(LivePointer, workspace_id, populate_existing=True)
    live, previous = (pointer.version_id, pointer.previous_version_id) if pointer else (None, None)
    for version_id, reason in (
        (_last_good(session, workspace_id, live), "it is the last good one before the live one"),
        (previous, "a rollback goes back to it"),
        (live, "it is live; publish another one first"),
    ):
        reasons |= {version_id: reason} if version_id else {}
    return reasons


def remove_version(session: Session, version: Version) -> str | None:
    """Mark a version as removed in the caller's transaction; the workers delete its folder.

    If it must stay, returns why, in words.
    """
    hold(session, version.workspace_id)
    reason = protected(session, version.workspace_id).get(version.id)
    if reason is None:
        session.execute(update(Version).where(Version.id == version.id).values(status=REMOVED))
    return reason


def _last_good(session: Session, workspace_id: str, live: str | None) -> str | None:
    """The last published version that passed the gate, apart from the live one."""
    query = select(Version.id, Version.gate).join(Publication, Publication.version_id == Version.id)
    query = query.where(Publication.workspace_id == workspace_id, Publication.event == "moved", Version.id != live)
    for version_id, gate in session.execute(query.order_by(Publication.id.desc())):
        if gate.get("passed"):
            return str(version_id)
    return None
