"""Bodies of the calls on keys and workspaces. Unknown fields are refused, so that a mistyped limit is noticed."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from services.database.tables import ApiKey, Workspace
from services.domain.keys import ALL_SCOPES
from services.gateway.http.bodies import Strict

HIGHEST_LIMIT = 1_000_000_000


def _can_be_shown(name: str) -> str:
    if not name.isprintable():
        raise ValueError("the name has a character that cannot be shown, such as a line break; leave it out")
    return name


def _known(scope: str) -> str:
    if scope not in ALL_SCOPES:
        raise ValueError(f"there is no scope '{scope}'; the known ones are {', '.join(ALL_SCOPES)}")
    return scope


Name = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200), AfterValidator(_can_be_shown)
]
Scope = Annotated[str, AfterValidator(_known)]
Limit = Annotated[int, Field(ge=1, le=HIGHEST_LIMIT)]


class KeyCreate(Strict):
    """Without `workspace_id` the key belongs to the caller's workspace. A limit that is not given has its default, or
    the caller's own limit if that is lower.
    """

    name: Name
    scopes: list[Scope] = Field(default=["ask"], min_length=1, max_length=100)
    workspace_id: str | None = Field(default=None, max_length=255)
    requests_per_minute: Limit | None = None
    tokens_per_minute: Limit | None = None


class WorkspaceCreate(Strict):
    name: Name


def key_body(key: ApiKey) -> dict[str, Any]:
    """What may always be shown of a key; never its secret."""
    return {
        "id": key.id,
        "object": "key",
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "requests_per_minute": key.requests_per_minute,
        "tokens_per_minute": key.tokens_per_minute,
        "workspace_id": key.workspace_id,
        "created_at": int(key.created_at.timestamp()),
        "revoked_at": int(key.revoked_at.timestamp()) if key.revoked_at else None,
    }


def workspace_body(workspace: Workspace) -> dict[str, Any]:
    return {
        "id": workspace.id,
        "object": "workspace",
        "name": workspace.name,
        "created_at": int(workspace.created_at.timestamp()),
    }
