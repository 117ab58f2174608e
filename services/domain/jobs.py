"""Jobs: long work that one process asks for and another does.

A job is claimed by a conditional update, so that a task delivered twice runs once. A running job shows a heartbeat. If
its heartbeat stopped, or no worker has picked it up, `abandoned` offers it again.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Any

from sqlalchemy import Insert, Update, and_, insert, or_, select, update
from sqlalchemy.orm import Session

from services.contracts.jobs import FINISHED, PAUSABLE, WAITING, JobKind, JobStatus, may_become
from services.database.engine import Sessions
from services.database.patience import outlast, patience
from services.database.tables import Job, JobEvent, now

PREFIXES: dict[JobKind, str] = {
    "fine_tuning": "ftjob-",
    "index_file": "job-",
    "reindex": "job-",
    "reconcile": "job-",
    "sync_source": "job-",
    "embedder_training": "job-",
    "examine_data_set": "job-",
}
HEARTBEAT_SECONDS = 5.0
SILENT_SECONDS = 60.0
"""A running job without a heartbeat for this long has lost its worker."""
OFFERED_AT_ONCE = 500
"""The oldest of a kind: after a large sync, thousands wait in the broker already and need no second message every
minute.
"""


class UnknownJob(LookupError):
    """This workspace has no such job."""


class WrongJobState(Exception):
    """The kind or the state of the job does not allow this."""


def new_job(workspace_id: str, kind: JobKind, request: dict[str, Any], deadline_seconds: float) -> Job:
    """A queued job, to be added to a session. Its time counts from its start, so waiting for a worker ends no job."""
    return Job(
        id=f"{PREFIXES[kind]}{secrets.token_hex(12)}",
        workspace_id=workspace_id,
        kind=kind,
        status="queued",
        request=request,
        reason="waits for a worker",
        deadline_seconds=deadline_seconds,
    )


class Jobs:
    """A running job that has no heartbeat for `silent_seconds` has lost its worker.

    On patient sessions, what a worker reads and writes for its job waits until a database that is away is back.
    """

    def __init__(self, sessions: Sessions, silent_seconds: float = SILENT_SECONDS) -> None:
        self._sessions, self._silent_seconds, self._patience = sessions, silent_seconds, patience(sessions)

    def transaction(self) -> AbstractContextManager[Session]:
        """A session that commits at its end."""
        return self._sessions.begin()

    def find(self, workspace_id: str, job_id: str, kinds: Collection[JobKind] | None = None) -> Job:
        """If `kinds` are named, only jobs of those kinds are found. Raises UnknownJob."""
        query = select(Job).where(Job.id == job_id, Job.workspace_id == workspace_id)
        with self._sessions() as session:
            job = session.scalar(query.where(Job.kind.in_(kinds)) if kinds is not None else query)
        if job is None:
            raise UnknownJob(f"There is no job '{job_id}'.")
        return job

    def list(
        self, workspace_id: str, *kinds: JobKind, limit: int = 50, status: JobStatus | None = None
    ) -> Sequence[Job]:
        """The newest jobs of these kinds first; only those of one status if one is named."""
        query = select(Job).where(Job.workspace_id == workspace_id).order_by(Job.created_at.desc()).limit(limit)
        query = query.where(Job.kind.in_(kinds))
        with self._sessions() as session:
            return session.scalars(query.where(Job.status == status) if status else query).all()

    def training_now(self) -> bool:
        """Whether any workspace's fine-tuning is under way."""
        with self._sessions() as session:
            running = select(Job.id).where(Job.kind == "fine_tuning", Job.status == "running").limit(1)
            return session.scalar(running) is not None

    def claim(self, job_id: str) -> Job | None:
        """Start a queued job, or one that lost its worker. None if it is finished, or another worker has it.

        A queued job gets its full time. One that lost its worker keeps its deadline: otherwise a file that kills its
        worker each time would be tried for ever.
        """
        silent = now() - timedelta(seconds=self._silent_seconds)
        free = or_(Job.status == "queued", and_(Job.status == "running", Job.heartbeat_at < silent))
        claim = update(Job).where(Job.id == job_id, free)
        at = now()
        values: dict[str, Any] = {"status": "running", "stage": "started", "reason": None, "tries": Job.tries + 1}
        values |= {"started_at": at, "heartbeat_at": at, "progress_at": at}
        with self._sessions.begin() as session:
            if session.execute(claim.values(**values)).rowcount == 0:  # type: ignore[attr-defined]
                return None
            job = session.get_one(Job, job_id)
            if job.deadline_at is None and job.deadline_seconds is not None:
                job.deadline_at = at + timedelta(seconds=job.deadline_seconds)
            return job

    def progress(self, job_id: str, stage: str, fraction: float, eta_seconds: float | None = None) -> None:
        """Record the progress of a running job; also its heartbeat. `fraction` is of the whole job, in 0..1."""
        at = now()
        self._update(job_id, stage=stage, progress=fraction, eta_seconds=eta_seconds, heartbeat_at=at, progress_at=at)

    def explain(self, job_id: str, reason: str) -> None:
        """Record why a queued job waits."""
        with self._sessions.begin() as session:
            session.execute(update(Job).where(Job.id == job_id, Job.status == "queued").values(reason=reason))

    def heartbeat(self, job_id: str) -> None:
        self._update(job_id, heartbeat_at=now())

    def finish(self, job_id: str, status: JobStatus, reason: str | None, result: dict[str, Any] | None = None) -> None:
        """End a job. A finished job stays unchanged."""
        values: dict[str, Any] = {"status": status, "stage": status, "reason": reason}
        values |= {"finished_at": now(), "eta_seconds": None}
        values |= {"progress": 1.0} if status == "succeeded" else {}
        values |= {"result": result} if result is not None else {}
        self._change(update(Job).where(Job.id == job_id, Job.status.in_(may_become(status))).values(**values))

    def request_cancel(self, workspace_id: str, job_id: str) -> Job:
        """Ask a job to stop. One that no worker has is cancelled at once; a finished one stays unchanged."""
        self.find(workspace_id, job_id)
        with self._sessions.begin() as session:
            self.cancel_all(session, [job_id], "cancelled")
        return self.find(workspace_id, job_id)

    def cancel_all(self, session: Session, job_ids: Sequence[str], reason: str) -> None:
        """As `request_cancel`, for many jobs, in the caller's transaction."""
        session.execute(update(Job).where(Job.id.in_(job_ids)).values(cancel_requested=True))
        waiting = update(Job).where(Job.id.in_(job_ids), Job.status.in_(WAITING))
        session.execute(waiting.values(status="cancelled", stage="cancelled", reason=reason, finished_at=now()))

    def request_pause(self, workspace_id: str, job_id: str) -> Job:
        """Ask a job to wait. One that no worker has waits at once; a finished one stays unchanged.

        Raises WrongJobState for a kind of job that would lose its work.
        """
        job = self.find(workspace_id, job_id)
        if job.kind not in PAUSABLE:
            raise WrongJobState(f"A job of the kind '{job.kind}' cannot be paused; {', '.join(PAUSABLE)} can.")
        with self._sessions.begin() as session:
            running = update(Job).where(Job.id == job_id, Job.status == "running")
            session.execute(running.values(pause_requested=True))
            queued = update(Job).where(Job.id == job_id, Job.status == "queued")
            session.execute(queued.values(status="paused", reason="paused; resume it to go on"))
        return self.find(workspace_id, job_id)

    def resume(self, workspace_id: str, job_id: str) -> tuple[Job, bool]:
        """Let a paused job continue, with its full time again. Returns whether it must be sent to a worker.

        Raises WrongJobState for one that is not paused.
        """
        job = self.find(workspace_id, job_id)
        if job.status != "paused" and not job.pause_requested:
            raise WrongJobState(f"The job '{job_id}' is {job.status}, not paused.")
        values: dict[str, Any] = {"status": "queued", "reason": "waits for a worker", "deadline_at": None}
        with self._sessions.begin() as session:
            session.execute(update(Job).where(Job.id == job_id).values(pause_requested=False))
            paused = update(Job).where(Job.id == job_id, Job.status == "paused")
            sent = session.execute(paused.values(**values, tries=0)).rowcount == 1  # type: ignore[attr-defined]
        return self.find(workspace_id, job_id), sent

    def put_aside(self, job_id: str, status: JobStatus, reason: str) -> None:
        """Take a running job from its worker: `paused`, or `queued` to be offered again by `abandoned`.

        While it waits it has no deadline; its time begins again with its next start.
        """
        self._put_aside(job_id, status=status, reason=reason)

    def put_back(self, job_id: str, reason: str) -> None:
        """As `put_aside` with `queued`, after an attempt that does not count: it could do nothing because something
        else was away.
        """
        self._put_aside(job_id, status="queued", reason=reason, tries=Job.tries - 1)

    def _put_aside(self, job_id: str, **values: Any) -> None:
        self._update(job_id, **values, pause_requested=False, deadline_at=None)

    def current(self, job_id: str) -> Job | None:
        """The job in its present state, with what was asked of it since; None if its row is gone."""
        return self._get(job_id)

    def cancel_requested(self, job_id: str) -> bool:
        job = self._get(job_id)
        return job is None or job.cancel_requested

    def must_stop(self, job: Job) -> bool:
        """Whether the process that works on a claimed job must end: the job is to be cancelled or to wait, has ended,
        or was given to another worker.
        """
        row = self._get(job.id)
        if row is None or row.cancel_requested or row.pause_requested:
            return True
        return row.status != "running" or row.started_at != job.started_at

    def unfinished(self, job_ids: Sequence[str]) -> set[str]:
        """Those of these jobs that have not ended."""
        query = select(Job.id).where(Job.id.in_(job_ids), Job.status.not_in(FINISHED))

        def ask() -> set[str]:
            with self._sessions() as session:
                return set(session.scalars(query))

        return outlast(ask, self._patience)

    def add_event(self, job: Job, message: str, level: str = "info", data: dict[str, Any] | None = None) -> None:
        told = {"workspace_id": job.workspace_id, "job_id": job.id, "level": level, "message": message}
        self._change(insert(JobEvent).values(**told, data=data or {}))

    def events(self, workspace_id: str, job_id: str, limit: int = 100, after: int | None = None) -> Sequence[JobEvent]:
        """The newest events first; with `after`, the id of an event, only events older than it."""
        self.find(workspace_id, job_id)
        query = select(JobEvent).where(JobEvent.job_id == job_id, JobEvent.workspace_id == workspace_id)
        if after is not None:
            query = query.where(JobEvent.id < after)
        with self._sessions() as session:
            return session.scalars(query.order_by(JobEvent.id.desc()).limit(limit)).all()

    def abandoned(self) -> Sequence[Job]:
        """Jobs to offer to the workers again: running without a heartbeat for a minute, queued for a minute, or put
        aside by a worker, which has taken its message.

        The number of each kind is limited, so that thousands of waiting files do not keep a sync or a training from
        being offered.
        """
        silent = now() - timedelta(seconds=self._silent_seconds)
        lost = select(Job).where(Job.status == "running", Job.heartbeat_at < silent)
        waiting = select(Job).where(Job.status == "queued", or_(Job.created_at < silent, Job.tries > 0))
        oldest = waiting.order_by(Job.created_at).limit(OFFERED_AT_ONCE)
        with self._sessions() as session:
            found = list(session.scalars(lost))
            for kind in PREFIXES:
                found += session.scalars(oldest.where(Job.kind == kind))
            return found

    def overdue(self) -> Sequence[Job]:
        """Running jobs past their deadline."""
        with self._sessions() as session:
            return session.scalars(select(Job).where(Job.status == "running", Job.deadline_at < now())).all()

    def _get(self, job_id: str) -> Job | None:
        def ask() -> Job | None:
            with self._sessions() as session:
                return session.get(Job, job_id)

        return outlast(ask, self._patience)

    def _update(self, job_id: str, **values: Any) -> None:
        self._change(update(Job).where(Job.id == job_id, Job.status == "running").values(**values))

    def _change(self, statement: Update | Insert) -> None:
        """One statement that does no harm when repeated, in a transaction of its own."""

        def change() -> None:
            with self._sessions.begin() as session:
                session.execute(statement)

        outlast(change, self._patience)
