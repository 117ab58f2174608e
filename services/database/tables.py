"""The tables. Every row belongs to a workspace; every query that serves a request filters by it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, ForeignKey, Index, String, Text, TypeDecorator, UniqueConstraint
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


def now() -> datetime:
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite forgets the zone; this puts it back."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return value.astimezone(UTC) if value is not None else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    type_annotation_map = {dict[str, Any]: JSON, list[Any]: JSON, datetime: UtcDateTime, str: String(255)}  # noqa: RUF012


class Workspace(Base):
    __tablename__ = "workspaces"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class InWorkspace:
    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), index=True)


class ApiKey(InWorkspace, Base):
    """`digest` is the SHA-256 of the key, which has 256 random bits; `prefix` is its first characters, for people."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    prefix: Mapped[str]
    scopes: Mapped[list[Any]]
    requests_per_minute: Mapped[int]
    tokens_per_minute: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime | None]


class File(InWorkspace, Base):
    """An uploaded file; its bytes lie under `path` in the files' folder."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    bytes: Mapped[int]
    sha256: Mapped[str]
    path: Mapped[str] = mapped_column(String(1024))
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]


class Store(InWorkspace, Base):
    """OpenAI's vector store. `collection_id` is the alias: the collection that answers searches."""

    __tablename__ = "stores"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    is_default: Mapped[bool] = mapped_column(default=False)
    collection_id: Mapped[str | None]
    previous_collection_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]


class Collection(InWorkspace, Base):
    """One build of a store's index. `settings` is the recipe it was made by, `problem` why it cannot be read.

    State: building, live, retired.
    """

    __tablename__ = "collections"

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), index=True)
    embedder: Mapped[str]
    dimension: Mapped[int]
    settings: Mapped[dict[str, Any]]
    state: Mapped[str]
    problem: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class CollectionFile(InWorkspace, Base):
    """A file that a collection holds whole: every chunk of this revision was written."""

    __tablename__ = "collection_files"

    collection_id: Mapped[str] = mapped_column(primary_key=True)
    file_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    chunk_count: Mapped[int]


class StoreFile(InWorkspace, Base):
    """A file in a store. `revision` is the wanted writing: a later one, or `deleted`, makes earlier writes stale."""

    __tablename__ = "store_files"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id"), primary_key=True)
    revision: Mapped[int]
    status: Mapped[str]
    deleted: Mapped[bool] = mapped_column(default=False)
    chunk_count: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)
    indexed_at: Mapped[datetime | None]


class Job(InWorkspace, Base):
    """Long work. `reason` says in words why the job stands where it does."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(index=True)
    status: Mapped[str] = mapped_column(index=True)
    stage: Mapped[str] = mapped_column(default="queued")
    progress: Mapped[float] = mapped_column(default=0.0)
    eta_seconds: Mapped[float | None]
    reason: Mapped[str | None] = mapped_column(Text)
    request: Mapped[dict[str, Any]]
    result: Mapped[dict[str, Any]] = mapped_column(default=dict)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    pause_requested: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    deadline_at: Mapped[datetime | None]


class JobEvent(InWorkspace, Base):
    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    level: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Version(InWorkspace, Base):
    """Immutable weights. `name` is `ft:<base>:<suffix>:<version>`. Status: candidate, refused, published."""

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("workspace_id", "name"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    base_model: Mapped[str]
    job_id: Mapped[str | None]
    path: Mapped[str] = mapped_column(String(1024))
    dataset_hash: Mapped[str]
    template_fingerprint: Mapped[str]
    settings: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    gate: Mapped[dict[str, Any]] = mapped_column(default=dict)
    status: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class LivePointer(Base):
    """Which version a workspace's users get. One row, moved in one statement."""

    __tablename__ = "live_pointers"

    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    version_id: Mapped[str | None]
    previous_version_id: Mapped[str | None]
    moved_at: Mapped[datetime] = mapped_column(default=now)


class Turn(InWorkspace, Base):
    """One answer in the journal, with all it takes to explain it."""

    __tablename__ = "turns"
    __table_args__ = (Index("ix_turns_workspace_created", "workspace_id", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    model: Mapped[str]
    mode: Mapped[str]
    question: Mapped[str] = mapped_column(Text)
    answer: Mapped[str] = mapped_column(Text)
    messages: Mapped[list[Any]]
    passages: Mapped[list[Any]]
    citations: Mapped[list[Any]]
    timings: Mapped[dict[str, Any]]
    versions: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Feedback(InWorkspace, Base):
    __tablename__ = "feedback"

    id: Mapped[str] = mapped_column(primary_key=True)
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id"), index=True)
    rating: Mapped[str]
    reason: Mapped[str | None]
    correction: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
