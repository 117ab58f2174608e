"""Names of queues, tasks and job kinds; the states of a job, and which may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

INDEX_QUEUE: Final = "index"
TRAIN_QUEUE: Final = "train"
TICK_QUEUE: Final = "tick"
SYNC_QUEUE: Final = "sync"

LIGHT_WORKER: Final = "light"
"""The worker of the tick and the syncs. It loads no model, so it starts at once and stays small."""
SYNCS_AT_ONCE: Final = 3
LIGHT_THREADS: Final = SYNCS_AT_ONCE + 1
"""One thread more than syncs may take, so that the tick always finds a free one."""

INDEX_FILE: Final = "tandem.index_file"
REINDEX_STORE: Final = "tandem.reindex_store"
RECONCILE: Final = "tandem.reconcile"
SYNC_SOURCE: Final = "tandem.sync_source"
FINE_TUNE: Final = "tandem.fine_tune"
TRAIN_EMBEDDER: Final = "tandem.train_embedder"
EXAMINE_DATA_SET: Final = "tandem.examine_data_set"
TICK: Final = "tandem.tick"

JobKind = Literal[
    "index_file", "reindex", "reconcile", "fine_tuning", "sync_source", "embedder_training", "examine_data_set"
]
JobStatus = Literal["queued", "running", "paused", "succeeded", "failed", "cancelled"]
UNSUCCESSFUL: Final = frozenset[JobStatus]({"failed", "cancelled"})
FINISHED: Final = frozenset[JobStatus]({"succeeded", *UNSUCCESSFUL})
"""A job in such a state stays unchanged."""
ACTIVE: Final = frozenset[JobStatus]({"queued", "running"})
"""Such a job continues by itself; a paused one waits until somebody resumes it."""
WAITING: Final = frozenset[JobStatus]({"queued", "paused"})
"""No worker has such a job, so a request to change it takes effect at once."""
MAY_FOLLOW: Final[Mapping[JobStatus, frozenset[JobStatus]]] = {
    "queued": frozenset({"running", "paused", *FINISHED}),
    "running": frozenset({"queued", "paused", *FINISHED}),
    "paused": frozenset({"queued", *FINISHED}),
    **dict.fromkeys(FINISHED, frozenset[JobStatus]()),
}
"""The states that may follow each. A running job is queued again if its worker puts it aside for another attempt."""
PAUSABLE: Final = frozenset({"reindex", "fine_tuning"})
"""Kinds of jobs that keep their work when they are told to wait."""


def may_become(status: JobStatus) -> frozenset[JobStatus]:
    """The states that `status` may follow."""
    return frozenset(before for before, after in MAY_FOLLOW.items() if status in after)


LATER: Final = 6
"""The broker's priority of work that no person waits for; 0, the usual one, comes first."""


def priority(request: Mapping[str, object]) -> int:
    """The priority of a job in its queue: what a sync or a repair asks for comes after what users upload."""
    return LATER if "asked_by" in request else 0


TASKS: Final[dict[str, tuple[str, str]]] = {
    "index_file": (INDEX_FILE, INDEX_QUEUE),
    "reindex": (REINDEX_STORE, INDEX_QUEUE),
    "reconcile": (RECONCILE, INDEX_QUEUE),
    "sync_source": (SYNC_SOURCE, SYNC_QUEUE),
    "fine_tuning": (FINE_TUNE, TRAIN_QUEUE),
    "embedder_training": (TRAIN_EMBEDDER, TRAIN_QUEUE),
    "examine_data_set": (EXAMINE_DATA_SET, INDEX_QUEUE),
}
"""The task and the queue of each kind of job."""
