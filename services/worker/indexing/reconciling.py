"""Finds and repairs differences between database, files and index."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fsspec
from sqlalchemy import ColumnElement, or_, select, update

from retrieval.errors import RepairStopped
from services.contracts.jobs import ACTIVE
from services.contracts.retrieval import TidyRequest
from services.database.engine import Sessions
from services.database.tables import Collection, File, Job, Store, StoreFile, Workspace, not_expired, now
from services.domain.files import remove_listed
from services.domain.jobs import new_job
from services.worker.files.stored import exists, place_exists
from services.worker.heartbeat import Heartbeat
from services.worker.retrieval_client import RetrievalWriter

log = logging.getLogger(__name__)
DAY_SECONDS = 24 * 3600.0
JOB_SECONDS = 3600.0
MOST_AT_ONCE = 10
MOST_LOST, HALF, MOST_UNKNOWN = 0.1, 0.5, 0.5
"""Shares of all files. More than so many, and more than that share, are no single losses any more."""
NAMED = 20  # as many of a kind are named in the report; the number is of all
Report = dict[str, Any]


@dataclass(frozen=True)
class Missing:
    """Files whose bytes are gone. If too many of all files are missing, none is marked, and `left` says why."""

    file_ids: frozenset[str]
    left: str | None


class Reconciling:
    """Every workspace is checked once in `hours`; 0 means never."""

    def __init__(
        self, sessions: Sessions, writer: RetrievalWriter, files_url: str, index_folder: Path, hours: float
    ) -> None:
        self._sessions, self._writer = sessions, writer
        self._files_url, self._index_folder, self._hours = files_url.rstrip("/"), index_folder, hours

    def reconcile(self, job: Job, heartbeat: Heartbeat) -> Report:
        """Check the store that the job names, or the whole workspace, and repair the differences.

        The report says what was done. Raises IndexUnavailable if the retrieval service does not do its part; the job
        may run again without harm. Raises RepairStopped at the end if so much is missing at once that the files' folder
        or the database seems to be the wrong one; that part was left as it is.
        """
        named = job.request.get("store_id")
        stores = [named] if named else self._stores(job.workspace_id)
        report: Report = {"stores": {}, "reindex": []}
        left, missing = list[str](), self._missing(stores)
        for number, store_id in enumerate(stores):
            heartbeat.progress(f"looking through store {store_id}", number / (len(stores) + 1))
            report["stores"][store_id] = found = self._store(job.workspace_id, store_id, missing)
            if found["problem"]:
                report["reindex"].append(store_id)
            if found["left"] and found["left"] not in left:
                left.append(found["left"])
        if not named:
            heartbeat.progress("looking through the files", len(stores) / (len(stores) + 1))
            report |= self._bytes_without_a_file(job.workspace_id)
            left += [report["left"]] if report["left"] else []
        if left:
            raise RepairStopped(" ".join(left), report)
        return report

    def start_due(self) -> None:
        """Queue a check of each workspace that had none for this many hours."""
        if not self._hours:
            return
        since = now() - timedelta(hours=self._hours)
        recent = select(Job).where(Job.kind == "reconcile", Job.created_at > since)
        with self._sessions.begin() as session:
            done = {job.workspace_id for job in session.scalars(recent) if "store_id" not in job.request}
            for workspace_id in session.scalars(select(Workspace.id)).all():
                if workspace_id not in done:
                    session.add(new_job(workspace_id, "reconcile", {}, JOB_SECONDS))

    def _store(self, workspace_id: str, store_id: str, missing: Missing) -> Report:
        tidied = self._writer.tidy(TidyRequest(workspace_id=workspace_id, store_id=store_id))
        counts = {(one.file_id, one.revision): one.chunks for one in tidied.held or ()}
        gone, left = self._without_bytes(store_id, missing)
        return {
            "left": left,
            "removed_chunks": tidied.removed_chunks,
            "dropped_collections": [*tidied.dropped, *self._leftover_folders(workspace_id, store_id)],
            "missing_bytes": _named(gone),
            "requeued": _named(self._requeue(workspace_id, store_id, None if tidied.held is None else counts, gone)),
            "problem": tidied.problem,
        }

    def _stores(self, workspace_id: str) -> Sequence[str]:
        """Deleted ones too: their collections may still exist."""
        with self._sessions() as session:
            return session.scalars(select(Store.id).where(Store.workspace_id == workspace_id)).all()

    def _missing(self, stores: Sequence[str]) -> Missing:
        files = {file.id: file for store_id in stores for _, file in self._rows(store_id, StoreFile.status != "failed")}
        lost = {file_id: file for file_id, file in files.items() if not exists(file)}
        is_outage = len(stores) > 1 and _looks_like_an_outage(list(lost.values()), len(files))
        return Missing(frozenset(lost), _left(len(lost), len(files), "all stores") if is_outage else None)

    def _without_bytes(self, store_id: str, missing: Missing) -> tuple[list[str], str | None]:
        """Mark the files whose bytes are gone as failed. What the index has of them continues to answer.

        If many are gone at once, none is marked, and a sentence says why. Returns the files.
        """
        looked_at = self._rows(store_id, StoreFile.status != "failed")
        lost = [file for _, file in looked_at if file.id in missing.file_ids]
        gone = [file.id for file in lost]
        if lost and missing.left:
            return gone, missing.left
        if _looks_like_an_outage(lost, len(looked_at)):
            return gone, _left(len(lost), len(looked_at), f"the store {store_id}")
        reason = "the file's bytes are gone from the files' folder; upload it again, or delete it"
        with self._sessions.begin() as session:
            mine = StoreFile.store_id == store_id, StoreFile.file_id.in_(gone)
            session.execute(
                update(StoreFile).where(*mine).values(status="failed", error=reason, error_code="server_error")
            )
        return gone, None

    def _requeue(
        self, workspace_id: str, store_id: str, counts: dict[tuple[str, int], int] | None, gone: Sequence[str]
    ) -> list[str]:
        """Queue again the files that are wrong in the index, and those that wait without a job."""
        waiting = self._files_with_a_job(workspace_id, store_id)
        again = []
        for row, _ in self._rows(store_id, or_(StoreFile.status == "completed", StoreFile.status == "in_progress")):
            done = row.status == "completed"
            whole = counts is None or counts.get((row.file_id, row.revision), 0) == row.chunk_count
            if row.file_id not in waiting and row.file_id not in gone and not (done and whole):
                again.append(row)
        with self._sessions.begin() as session:
            for row in again:
                mine = StoreFile.store_id == store_id, StoreFile.file_id == row.file_id
                wanted = StoreFile.revision == row.revision, StoreFile.deleted.is_(False)
                named = {"store_id": store_id, "file_id": row.file_id, "revision": row.revision}
                request = {**named, "asked_by": "repair"}
                job = new_job(workspace_id, "index_file", request, JOB_SECONDS)
                session.add(job)
                values = {"status": "in_progress", "job_id": job.id}
                session.execute(update(StoreFile).where(*mine, *wanted).values(**values))
        return [row.file_id for row in again]

    def _files_with_a_job(self, workspace_id: str, store_id: str) -> set[str]:
        waiting = Job.kind == "index_file", Job.status.in_(ACTIVE), Job.workspace_id == workspace_id
        with self._sessions() as session:
            requests = [job.request for job in session.scalars(select(Job).where(*waiting))]
        return {str(asked["file_id"]) for asked in requests if asked["store_id"] == store_id}

    def _rows(self, store_id: str, which: ColumnElement[bool]) -> list[tuple[StoreFile, File]]:
        query = select(StoreFile, File).join(File, File.id == StoreFile.file_id)
        here = StoreFile.store_id == store_id, StoreFile.deleted.is_(False)
        wanted = *here, File.deleted_at.is_(None), not_expired(File.expires_at)
        with self._sessions() as session:
            return [(row, file) for row, file in session.execute(query.where(*wanted, which))]

    def _leftover_folders(self, workspace_id: str, store_id: str) -> list[str]:
        """Remove what builders left on this machine's disk for abandoned builds."""
        folder = self._index_folder / workspace_id / store_id
        building = Collection.store_id == store_id, Collection.state == "building"
        with self._sessions() as session:
            needed = set(session.scalars(select(Collection.id).where(*building)))
        left = [path for path in folder.glob(".*") if path.is_dir() and path.stem.removeprefix(".") not in needed]
        for path in left:
            shutil.rmtree(path, ignore_errors=True)
        return [path.name for path in left]

    def _bytes_without_a_file(self, workspace_id: str) -> Report:
        """Report bytes that no row names, and remove them once they are a day old: an upload writes its bytes before
        its row.

        If they are many, and most of all, none is removed: an older copy of the database does not know newer files.
        """
        filesystem, root = fsspec.core.url_to_fs(f"{self._files_url}/{workspace_id}")
        with self._sessions() as session:
            mine = File.workspace_id == workspace_id, File.deleted_at.is_(None)
            known = set(session.scalars(select(File.id).where(*mine)))
        found = filesystem.ls(root, detail=True) if filesystem.exists(root) else []
        unknown = [one for one in found if one["type"] == "file" and Path(one["name"]).name not in known]
        old = [one for one in unknown if _age(filesystem, one["name"]) > DAY_SECONDS]
        left = None
        if len(old) > MOST_AT_ONCE and len(old) > MOST_UNKNOWN * len(found):
            left = (
                f"No row of the database names {len(old)} of {len(found)} files in {root}. None was removed: see "
                "whether this is the right database, and not an older copy."
            )
            old = []
        for one in old:
            remove_listed(filesystem, one["name"])
        names, removed = ([Path(one["name"]).name for one in some] for some in (unknown, old))
        return {"bytes_without_a_file": _named(names), "removed_bytes_of": _named(removed), "left": left}


def _left(lost: int, of: int, where: str) -> str:
    return (
        f"The bytes of {lost} of {of} files of {where} are missing at once. None was marked as failed: see whether the "
        "files' folder or bucket is there and whole, then repair again. Where they are gone for good, delete those "
        "files or upload them again."
    )


def _looks_like_an_outage(lost: Sequence[File], of: int) -> bool:
    """Whether so many files are missing that a folder or bucket is probably away, and not single files lost."""
    if not lost:
        return False
    many = len(lost) > MOST_AT_ONCE and len(lost) > MOST_LOST * of
    half = len(lost) > 1 and len(lost) >= HALF * of
    return many or half or not any(place_exists(file) for file in lost)


def _age(filesystem: fsspec.AbstractFileSystem, path: str) -> float:
    """Seconds since the last change; none if the file system does not say."""
    try:
        modified = filesystem.modified(path)
    except (NotImplementedError, FileNotFoundError):
        return 0.0
    known = modified if modified.tzinfo else modified.replace(tzinfo=UTC)
    return time.time() - datetime.timestamp(known)


def _named(names: Sequence[str]) -> dict[str, Any]:
    return {"count": len(names), "first": list(names[:NAMED])}
