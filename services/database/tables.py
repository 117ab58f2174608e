"""The tables. Every row belongs to a workspace; every query that serves a request filters by it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    ColumnElement,
    DateTime,
    ForeignKey,
    Index,
    String,
    Text,
    TypeDecorator,
    UniqueConstraint,
    or_,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, InstrumentedAttribute, Mapped, mapped_column


def now() -> datetime:
    return datetime.now(UTC)


def not_expired(moment: InstrumentedAttribute[datetime | None]) -> ColumnElement[bool]:
    """The condition that a time is in the future or not set."""
    return or_(moment.is_(None), moment > now())


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC. SQLite does not store the zone; this adds it again."""

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
    """`digest` is the SHA-256 of the key, which has 256 random bits; `prefix` is its first characters, for people.

    `is_first` marks the key whose secret the first start, or a recovery, wrote into the home.
    """

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    digest: Mapped[str] = mapped_column(unique=True)
    prefix: Mapped[str]
    scopes: Mapped[list[Any]]
    requests_per_minute: Mapped[int]
    tokens_per_minute: Mapped[int]
    is_first: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)
    revoked_at: Mapped[datetime | None]


class File(InWorkspace, Base):
    """An uploaded file; its bytes are under `path` in the files' folder. `url` is where a reader finds the original."""

    __tablename__ = "files"

    id: Mapped[str] = mapped_column(primary_key=True)
    filename: Mapped[str]
    purpose: Mapped[str]
    bytes: Mapped[int]
    sha256: Mapped[str]
    path: Mapped[str] = mapped_column(String(1024))
    url: Mapped[str | None] = mapped_column(String(2048))
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    deleted_at: Mapped[datetime | None]


class Store(InWorkspace, Base):
    """OpenAI's vector store. `collection_id` is the alias: the collection that answers searches.

    With `expires_days` it expires that many days after `last_active_at`: it is kept, but not searched.
    """

    __tablename__ = "stores"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    is_default: Mapped[bool] = mapped_column(default=False)
    collection_id: Mapped[str | None]
    previous_collection_id: Mapped[str | None]
    description: Mapped[str | None] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    expires_days: Mapped[int | None]
    last_active_at: Mapped[datetime] = mapped_column(default=now)
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]


class Collection(InWorkspace, Base):
    """One build of a store's index. `settings` is the recipe that it was made with, `problem` why it cannot be read.

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
    """A file that a collection holds completely: every chunk of this revision was written."""

    __tablename__ = "collection_files"

    collection_id: Mapped[str] = mapped_column(primary_key=True)
    file_id: Mapped[str] = mapped_column(primary_key=True)
    revision: Mapped[int]
    chunk_count: Mapped[int]


class StoreFile(InWorkspace, Base):
    """A file in a store. `revision` is the wanted revision: a later one, or `deleted`, makes earlier writes stale.

    `former_revision` answers until the index has the wanted one completely. It is None if the wanted one answers, or
    none does.

    `error_code` is one of OpenAI's: unsupported_file, invalid_file, server_error. `chunking` has the file's own sizes,
    None if it uses its store's; `chunked` has those that its chunks were cut with. `job_id` is its last indexing.
    """

    __tablename__ = "store_files"

    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), primary_key=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id"), primary_key=True)
    revision: Mapped[int]
    former_revision: Mapped[int | None]
    status: Mapped[str]
    deleted: Mapped[bool] = mapped_column(default=False)
    chunk_count: Mapped[int] = mapped_column(default=0)
    error: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None]
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    attributes_changed_at: Mapped[datetime | None]
    chunking: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    chunked: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    job_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    indexed_at: Mapped[datetime | None]


class FileBatch(InWorkspace, Base):
    """Files that were put into a store together."""

    __tablename__ = "file_batches"

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)
    cancelled_at: Mapped[datetime | None]


class FileBatchEntry(InWorkspace, Base):
    """A file of a batch. Its status is in its `StoreFile`."""

    __tablename__ = "file_batch_entries"

    batch_id: Mapped[str] = mapped_column(ForeignKey("file_batches.id"), primary_key=True)
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id"), primary_key=True)


class Job(InWorkspace, Base):
    """Long work. `reason` says in words why the job has its present status.

    `heartbeat_at` is the worker's sign of life, `progress_at` that of the work itself. `tries` counts the starts of the
    job since it last stored something to continue from. `deadline_at` is `deadline_seconds` after the start of the job;
    while it waits there is none.
    """

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
    progress_at: Mapped[datetime | None]
    deadline_seconds: Mapped[float | None]
    deadline_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)


class JobEvent(InWorkspace, Base):
    __tablename__ = "job_events"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    level: Mapped[str]
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Checkpoint(InWorkspace, Base):
    """A checkpoint that a fine-tuning wrote. `metrics` has what was measured at its step."""

    __tablename__ = "checkpoints"
    __table_args__ = (UniqueConstraint("job_id", "step"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), index=True)
    step: Mapped[int]
    metrics: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=now)


class Version(InWorkspace, Base):
    """Immutable weights. `name` is `ft:<base>:<suffix>:<version>`. Status: candidate, refused, published, removed.

    `lineage` has what the other columns and `settings` do not say about how it was made: data set id, which of its
    examples were not trained on, general questions that were, code version, seed, hashes of the weights. A `pinned`
    version is never cleared away; of a `removed` one only this row is left.
    """

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
    lineage: Mapped[dict[str, Any]] = mapped_column(default=dict)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    gate: Mapped[dict[str, Any]] = mapped_column(default=dict)
    status: Mapped[str]
    pinned: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(default=now)


class TunedEmbedder(InWorkspace, Base):
    """Tuned weights of the embedder: an immutable folder. Status: passed, refused. `report` is the gate's."""

    __tablename__ = "tuned_embedders"

    id: Mapped[str] = mapped_column(primary_key=True)
    base: Mapped[str] = mapped_column(String(1024))
    job_id: Mapped[str | None]
    path: Mapped[str] = mapped_column(String(1024))
    report: Mapped[dict[str, Any]]
    status: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=now)


class DataSet(InWorkspace, Base):
    """Examples, frozen: `path` has their canonical JSONL, written once, and `sha256` is its hash.

    `use` is training or evaluation; evaluation data is never trained on. `report` is empty until the job `job_id` has
    made it. A deleted data set has no content any more; its row says what versions were trained on.
    """

    __tablename__ = "data_sets"
    __table_args__ = (
        UniqueConstraint("workspace_id", "name", "version"),
        UniqueConstraint("workspace_id", "name", "use", "sha256"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    version: Mapped[int]
    use: Mapped[str]
    sha256: Mapped[str]
    examples: Mapped[int]
    path: Mapped[str] = mapped_column(String(1024))
    report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    job_id: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]


class TextOrigin(InWorkspace, Base):
    """Text of a file, or of an answer in the journal, is in a data set or was trained into a version.

    `holder_id` is the data set's or the version's id, `origin_id` the file's or the answer's; `how` is examples or
    passages.
    """

    __tablename__ = "text_origins"

    holder_id: Mapped[str] = mapped_column(primary_key=True)
    origin_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    how: Mapped[str] = mapped_column(primary_key=True)


class LivePointer(Base):
    """Which version a workspace's users get. One row, changed in one statement."""

    __tablename__ = "live_pointers"

    workspace_id: Mapped[str] = mapped_column(ForeignKey("workspaces.id"), primary_key=True)
    version_id: Mapped[str | None]
    previous_version_id: Mapped[str | None]
    moved_at: Mapped[datetime] = mapped_column(default=now)


class Publication(InWorkspace, Base):
    """One event in the history of what a workspace's users get; never changed, never deleted.

    Event: `moved` (of the live pointer, from `from_version_id` to `version_id`; None is the base weights),
    `canary_started`, `canary_ended`. Why: gate, person, rollback, canary. `by` is the id of the key that asked for it,
    None if the platform did it by itself; `overrides` says that a person published what the gate had not passed.
    """

    __tablename__ = "publications"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    event: Mapped[str]
    version_id: Mapped[str | None]
    from_version_id: Mapped[str | None]
    why: Mapped[str]
    by: Mapped[str | None]
    overrides: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str] = mapped_column(Text, default="")
    figures: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Canary(InWorkspace, Base):
    """A version that is tested on a share of a workspace's questions. It runs until `ended_at`.

    `answers` and `errors` are the version's own, `live_answers` and `live_errors` those of the live version meanwhile;
    an error does not count as an answer.
    """

    __tablename__ = "canaries"

    id: Mapped[str] = mapped_column(primary_key=True)
    version_id: Mapped[str]
    share: Mapped[float]
    margin: Mapped[float]
    min_requests: Mapped[int]
    promote_after: Mapped[int | None]
    answers: Mapped[int] = mapped_column(default=0)
    errors: Mapped[int] = mapped_column(default=0)
    live_answers: Mapped[int] = mapped_column(default=0)
    live_errors: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]


class Turn(InWorkspace, Base):
    """One answer in the journal, with everything that is needed to explain it.

    `response` is what OpenAI's Responses format needs in addition, if the request used that format: the `body` as it
    was sent and the `input` items.
    """

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
    response: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[datetime] = mapped_column(default=now)


class Feedback(InWorkspace, Base):
    """A verdict on an answer, one a key. `correct_file_id` and `correct_quote` say what should have been cited."""

    __tablename__ = "feedback"
    __table_args__ = (Index("ix_feedback_turn_key", "turn_id", "key_id", unique=True),)

    id: Mapped[str] = mapped_column(primary_key=True)
    turn_id: Mapped[str] = mapped_column(ForeignKey("turns.id"), index=True)
    key_id: Mapped[str | None]
    rating: Mapped[str]
    reason: Mapped[str | None]
    correction: Mapped[str | None] = mapped_column(Text)
    correct_file_id: Mapped[str | None]
    correct_quote: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Example(InWorkspace, Base):
    """Text that weights may be trained on after a reviewer has approved it.

    Kind: supervised (`answer` is learned), preference (`answer` is better than `rejected`) or rating (`label` says
    whether `answer` is wanted). Status: proposed, approved, rejected. Origin: feedback, api, file. `prompt` is the
    conversation up to the user's question, `turn_id` the answer that it came from, `reviewed_by` the reviewer's key.
    """

    __tablename__ = "examples"
    __table_args__ = (Index("ix_examples_workspace_status_created", "workspace_id", "status", "created_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[str]
    status: Mapped[str]
    origin: Mapped[str]
    prompt: Mapped[list[Any]]
    answer: Mapped[str] = mapped_column(Text)
    rejected: Mapped[str | None] = mapped_column(Text)
    label: Mapped[bool | None]
    details: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict)
    turn_id: Mapped[str | None] = mapped_column(ForeignKey("turns.id"), index=True)
    feedback_id: Mapped[str | None] = mapped_column(ForeignKey("feedback.id"), index=True)
    reviewed_by: Mapped[str | None]
    reviewed_at: Mapped[datetime | None]
    note: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)


class ExampleUse(InWorkspace, Base):
    """A file that has an example's text. The row outlives the example and the answer, as the file does."""

    __tablename__ = "example_uses"

    file_id: Mapped[str] = mapped_column(ForeignKey("files.id"), primary_key=True)
    example_id: Mapped[str] = mapped_column(primary_key=True, index=True)
    turn_id: Mapped[str | None] = mapped_column(index=True)
    created_at: Mapped[datetime] = mapped_column(default=now)


class Source(InWorkspace, Base):
    """A folder, Git working tree, web site or bucket whose documents a store follows.

    `settings` has patterns, limits and attributes. `cron` and `time_zone` say when to synchronise; without `cron`, only
    on demand. `next_due_at` is empty until the tick has calculated it. `job_id` is the sync that holds the source.
    """

    __tablename__ = "sources"

    id: Mapped[str] = mapped_column(primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("stores.id"), index=True)
    name: Mapped[str]
    kind: Mapped[str]
    location: Mapped[str] = mapped_column(String(2048))
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    cron: Mapped[str | None]
    time_zone: Mapped[str] = mapped_column(default="UTC")
    enabled: Mapped[bool] = mapped_column(default=True)
    next_due_at: Mapped[datetime | None] = mapped_column(index=True)
    job_id: Mapped[str | None]
    last_synced_at: Mapped[datetime | None]
    last_report: Mapped[dict[str, Any]] = mapped_column(default=dict)
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]


class SourceDocument(InWorkspace, Base):
    """A document that a source held when it was last read.

    `sha256` is of its content. `hint` is what the source cheaply tells about a change (modification time, ETag).
    `former_file_id` is the file that answers until `file_id` is indexed.
    """

    __tablename__ = "source_documents"

    source_id: Mapped[str] = mapped_column(ForeignKey("sources.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(1024), primary_key=True)
    sha256: Mapped[str]
    hint: Mapped[str | None] = mapped_column(Text)
    size: Mapped[int]
    file_id: Mapped[str] = mapped_column(ForeignKey("files.id"), index=True)
    former_file_id: Mapped[str | None]
    seen_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)


class TrainingSchedule(InWorkspace, Base):
    """Scheduled retraining: `cron` and `time_zone` say when, `conditions` whether it is worth it then.

    Without `training_file`, the workspace's approved examples are frozen for each run. `next_due_at` is empty until the
    tick has calculated it. `last_job_id` is the last run's job, `last_error` why the tick turned the schedule off.
    """

    __tablename__ = "training_schedules"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    cron: Mapped[str]
    time_zone: Mapped[str] = mapped_column(default="UTC")
    conditions: Mapped[dict[str, Any]] = mapped_column(default=dict)
    training_file: Mapped[str | None]
    hyperparameters: Mapped[dict[str, Any]] = mapped_column(default=dict)
    suffix: Mapped[str]
    seed: Mapped[int]
    enabled: Mapped[bool] = mapped_column(default=True)
    next_due_at: Mapped[datetime | None] = mapped_column(index=True)
    last_job_id: Mapped[str | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None]


class ScheduleRun(InWorkspace, Base):
    """One due time of one schedule. The primary key makes sure that only one beat gets it.

    `outcome` says in words what happened if there was no job.
    """

    __tablename__ = "schedule_runs"

    schedule_id: Mapped[str] = mapped_column(primary_key=True)
    due_at: Mapped[datetime] = mapped_column(primary_key=True)
    job_id: Mapped[str | None]
    outcome: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=now)
