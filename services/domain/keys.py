"""API keys and workspaces as rows. The secret of a key is shown once to whoever made it, and not stored."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from services.database.tables import ApiKey, Store, Workspace

SCOPES = ("ask", "knowledge", "voice", "operate")
"""What a key may do in its own workspace."""
WORKSPACES = "workspaces"
"""The scope to make workspaces, and keys for them. Only keys of the default workspace have it."""
ALL_SCOPES = (*SCOPES, WORKSPACES)
REQUESTS_PER_MINUTE = 600
TOKENS_PER_MINUTE = 1_000_000
PREFIX_LENGTH = 14


def new_secret() -> str:
    """A new key, of 256 random bits."""
    return f"sk-tandem-{secrets.token_urlsafe(32)}"


def digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def key_row(
    secret: str,
    workspace_id: str,
    name: str,
    scopes: Iterable[str],
    requests_per_minute: int = REQUESTS_PER_MINUTE,
    tokens_per_minute: int = TOKENS_PER_MINUTE,
) -> ApiKey:
    """The row of a new key. It holds everything about the key except the secret itself."""
    return ApiKey(
        id=f"key_{secrets.token_hex(12)}",
        workspace_id=workspace_id,
        name=name,
        digest=digest(secret),
        prefix=secret[:PREFIX_LENGTH],
        scopes=list(scopes),
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        is_first=False,
    )


def add_workspace(session: Session, workspace_id: str, name: str) -> Workspace:
    """The workspace with its default store; whichever does not exist is made."""
    workspace = session.get(Workspace, workspace_id)
    if workspace is None:
        workspace = Workspace(id=workspace_id, name=name)
        session.add(workspace)
        session.flush()
    default = select(Store.id).where(
        Store.workspace_id == workspace_id, Store.is_default.is_(True), Store.deleted_at.is_(None)
    )
    if session.scalar(default) is None:
        session.add(Store(id=f"vs_{secrets.token_hex(12)}", workspace_id=workspace_id, name="default", is_default=True))
    return workspace


def take_turns(session: Session, workspace_ids: Iterable[str]) -> None:
    """Wait until nobody else changes keys of these workspaces, and make others wait until this transaction ends.

    It is the first statement of its transaction, so later reads see what the others wrote.
    """
    for workspace_id in sorted(set(workspace_ids)):
        session.execute(update(Workspace).where(Workspace.id == workspace_id).values(name=Workspace.name))
