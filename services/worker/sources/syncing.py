"""Synchronises a store with a source: adds new and changed documents, removes those that are gone, and writes a report.

A document is removed only if the source was listed completely without it: if the listing stops early, nothing is
removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Any

from retrieval.documents.loading import FORMATS
from retrieval.errors import (
    DocumentGone,
    DocumentRefused,
    InputError,
    SourceRefused,
    SourceUnavailable,
    SyncStopped,
)
from retrieval.sources.port import Content, Entry, Selection
from retrieval.sources.port import Source as Place
from services.database.engine import Sessions
from services.database.tables import Job, Source, now
from services.domain import documents
from services.domain.files import new_file, remove_bytes
from services.kit.settings import SourceSettings
from services.worker.files.purging import purge
from services.worker.heartbeat import Heartbeat, JobCancelled, JobTaken
from services.worker.retrieval_client import RetrievalWriter
from services.worker.sources.sync_state import Known, SyncState

ASK_SECONDS = 1.0
LISTED = 0.9  # the share of a sync's time that listing and reading take
ALWAYS_REMOVABLE = 10
MOST_FAILURES_SHOWN = 100
LONGEST_KEY = 1024
AT_ONCE = 200
Connect = Callable[[Source], AbstractContextManager[Place]]
Send = Callable[[Job], None]


@dataclass
class Report:
    """What a sync did. `bytes` were read; `skipped` are listed but not wanted; `retried` could not be indexed before.

    `complete`: the source was listed to its end, and everything that is gone from it was removed.
    """

    complete: bool = False
    new: int = 0
    changed: int = 0
    removed: int = 0
    unchanged: int = 0
    retried: int = 0
    skipped: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    failed_count: int = 0
    bytes: int = 0
    seconds: float = 0.0
    revision: str | None = None

    def fail(self, key: str, reason: str) -> None:
        self.failed_count += 1
        if len(self.failed) < MOST_FAILURES_SHOWN:
            self.failed.append({"key": key, "reason": reason})


@dataclass(frozen=True)
class Syncing:
    """`connect` opens a source's place, `send` hands a job to the workers. `index_deadline` is in seconds."""

    sessions: Sessions
    files_url: str
    writer: RetrievalWriter
    connect: Connect
    send: Send
    settings: SourceSettings
    index_deadline: float = 3600.0

    def sync(self, job: Job, heartbeat: Heartbeat) -> dict[str, Any]:
        """Synchronise one source. Raises JobCancelled, and SyncStopped with a report of what was done until then."""
        state = SyncState(self.sessions, job.request["source_id"], job.id)
        source, is_mine = state.hold(), True
        try:
            if source.deleted_at is not None:
                return self._clear(state, heartbeat)
            return _Run(self, source, state, job, heartbeat).run()
        except JobTaken:
            is_mine = False  # whoever has the job by now holds the source in its name
            raise
        finally:
            if is_mine:
                state.release()

    def withdraw(self, state: SyncState, keys: list[str], heartbeat: Heartbeat) -> Iterator[int]:
        """Take documents out of the store: hide them, then remove their data. Yields how many went at a time."""
        for start in range(0, len(keys), AT_ONCE):
            heartbeat.progress(f"removing {start} of {len(keys)}", LISTED + (1 - LISTED) * start / len(keys))
            some = keys[start : start + AT_ONCE]
            with self.sessions.begin() as session:
                state.check_held(session)
                withdrawn = documents.withdraw_documents(session, state.source_id, some)
            purge(self.writer, state.workspace_id, withdrawn)
            yield len(some)

    def _clear(self, state: SyncState, heartbeat: Heartbeat) -> dict[str, Any]:
        removed = sum(self.withdraw(state, list(state.known()), heartbeat))
        return asdict(Report(complete=True, removed=removed))


class _Run:
    """One sync of one source."""

    def __init__(self, syncing: Syncing, source: Source, state: SyncState, job: Job, heartbeat: Heartbeat) -> None:
        self._syncing, self._source, self._state, self._job, self._heartbeat = syncing, source, state, job, heartbeat
        self._report, self._started, self._asked_at = Report(), time.monotonic(), time.monotonic()
        self._known: dict[str, Known] = {}
        self._seen: set[str] = set()
        self._attributes = dict(source.settings.get("attributes") or {})
        settings = source.settings
        self._selection = Selection(
            tuple(settings.get("include") or ()),
            tuple(settings.get("exclude") or ()),
            () if source.kind == "site" else tuple(FORMATS),
        )
        self._max_bytes = settings.get("max_file_bytes")

    def run(self) -> dict[str, Any]:
        problem: str | None = "The sync broke off; the worker's log says why. Nothing was removed."
        is_mine = True
        try:
            self._known = self._state.known()
            with self._syncing.connect(self._source) as place:
                self._report.revision = place.revision()
                self._walk(place)
            self._remove()
            self._report.complete, problem = True, None
        except (SourceUnavailable, SourceRefused) as error:
            problem = f"{error} Nothing was removed."
        except SyncStopped as error:
            problem = str(error)
        except JobCancelled:
            problem = "The sync was cancelled."
            raise
        except JobTaken:
            is_mine = False
            raise
        finally:
            self._report.seconds = round(time.monotonic() - self._started, 3)
            if is_mine:
                self._state.record(asdict(self._report), problem, self._seen & self._known.keys())
        if problem:
            raise SyncStopped(problem, asdict(self._report))
        return asdict(self._report)

    def _walk(self, place: Place) -> None:
        for entry in self._wanted(place):
            self._look_around()
            try:
                self._take(place, entry)
            except DocumentGone as error:
                self._seen.discard(entry.key)
                if entry.key not in self._known:
                    self._report.fail(entry.key, str(error))
            except InputError as error:
                self._report.fail(entry.key, str(error))

    def _wanted(self, place: Place) -> Iterator[Entry]:
        for entry in place.entries():
            if not self._selection.wants(entry.key):
                self._report.skipped += 1
                continue
            if entry.key in self._seen:
                continue
            if len(entry.key) > LONGEST_KEY or not _is_text(entry.key):
                self._report.fail(entry.key[:200].encode("utf-8", "replace").decode(), "the name is not usable")
                continue
            self._seen.add(entry.key)
            if len(self._seen) > self._syncing.settings.max_documents:
                most = self._syncing.settings.max_documents
                raise SyncStopped(f"The source lists more than {most} documents (sources.max_documents).")
            yield entry

    def _take(self, place: Place, entry: Entry) -> None:
        known = self._known.get(entry.key)
        if self._max_bytes is not None and (entry.size or 0) > self._max_bytes:
            raise DocumentRefused(f"{entry.key} has {entry.size} bytes; this source's limit is {self._max_bytes}.")
        trusted = known is not None and not self._job.request.get("full") and known.attributes == self._attributes
        hint = known.hint if known and trusted and known.present else None
        if hint is not None and hint == entry.hint:
            self._settle(known)
            return
        content = place.read(entry, hint)
        self._report.bytes += len(content.data) if content else 0
        if content is None:
            self._settle(known)
        elif known and known.present and known.sha256 == content.digest and known.attributes == self._attributes:
            if content.hint != known.hint:
                self._state.remember_hint(entry.key, content.hint)
            self._settle(known)
        else:
            self._put(entry.key, content, known)

    def _settle(self, known: Known | None) -> None:
        """A document that has not changed; if it could not be indexed before, it is tried again."""
        self._report.unchanged += 1
        if known and known.status == "failed":
            with self._syncing.sessions.begin() as session:
                job = documents.index_again(session, self._source, known.file_id, self._syncing.index_deadline)
            if job:
                self._report.retried += 1
                self._syncing.send(job)

    def _put(self, key: str, content: Content, known: Known | None) -> None:
        if not content.data.strip():
            raise DocumentRefused(f"{key} is empty.")
        if self._max_bytes is not None and len(content.data) > self._max_bytes:
            raise DocumentRefused(f"{key} has {len(content.data)} bytes; this source's limit is {self._max_bytes}.")
        workspace_id, deadline = self._source.workspace_id, self._syncing.index_deadline
        file = new_file(self._syncing.files_url, workspace_id, content.filename, content.data, content.url)
        try:
            with self._syncing.sessions.begin() as session:
                self._state.check_held(session)
                job, withdrawn = documents.put(session, self._source, key, file, content.digest, content.hint, deadline)
        except BaseException:
            remove_bytes(file.path)
            raise
        purge(self._syncing.writer, workspace_id, withdrawn)
        self._syncing.send(job)
        if known and known.present:
            self._report.changed += 1
        else:
            self._report.new += 1

    def _remove(self) -> None:
        missing = [key for key in self._known if key not in self._seen]
        held = len(self._known)
        too_many = len(missing) > ALWAYS_REMOVABLE and len(missing) > held * self._syncing.settings.max_removed_share
        if missing and (too_many or not self._seen) and not self._job.request.get("confirm"):
            raise SyncStopped(
                f"{len(missing)} of {held} documents are gone from {self._source.location}. Nothing was removed: where "
                "that is meant, sync again with confirm; else look whether the source is whole."
            )
        for count in self._syncing.withdraw(self._state, missing, self._heartbeat):
            self._report.removed += count

    def _look_around(self) -> None:
        """Once a second: report the progress, and stop if the sync was cancelled or is overdue."""
        if time.monotonic() - self._asked_at < ASK_SECONDS:
            return
        self._asked_at = time.monotonic()
        if self._job.deadline_at and now() > self._job.deadline_at:
            raise SyncStopped(
                "The sync passed its deadline (sources.deadline). Nothing was removed; sync again to go on."
            )
        share = min(1.0, len(self._seen) / len(self._known)) if self._known else 0.5
        self._heartbeat.progress(f"{len(self._seen)} documents compared", LISTED * share)


def _is_text(key: str) -> bool:
    try:
        key.encode("utf-8")
    except UnicodeEncodeError:  # a file name in no known encoding
        return False
    return "\0" not in key
