"""Which jobs and files of its workspace a key sees: those of its scopes. Any other does not exist for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, get_args

from services.contracts.jobs import JobKind
from services.gateway.http.access import Scope, lacks
from services.gateway.http.callers import Caller

JOB_KINDS: Final[Mapping[Scope, frozenset[JobKind]]] = {
    "knowledge": frozenset({"index_file", "reindex", "reconcile", "sync_source"}),
    "voice": frozenset({"fine_tuning", "embedder_training", "examine_data_set"}),
    "operate": frozenset(get_args(JobKind)),
}
PURPOSES: Final[Mapping[Scope, frozenset[str]]] = {
    "knowledge": frozenset({"assistants", "user_data"}),
    "voice": frozenset({"fine-tune", "fine-tune-results"}),
}
"""Purposes of files. Evaluation data is uploaded as `fine-tune` too."""
DOCUMENTS: Final = PURPOSES["knowledge"]


def job_kinds(caller: Caller) -> frozenset[JobKind]:
    return frozenset(kind for scope, kinds in JOB_KINDS.items() if scope in caller.scopes for kind in kinds)


def purposes(caller: Caller) -> frozenset[str]:
    return frozenset(one for scope, some in PURPOSES.items() if scope in caller.scopes for one in some)


def check_purpose(caller: Caller, purpose: str) -> None:
    """Raises ApiError 403 for a purpose that needs another scope. Other code refuses a purpose that does not exist."""
    for scope, some in PURPOSES.items():
        if purpose in some and scope not in caller.scopes:
            raise lacks([scope], f"Uploading a file with the purpose '{purpose}'")
