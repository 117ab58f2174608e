"""Workspaces: each has its own stores, versions, journal and keys, and sees nothing of another's."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from sqlalchemy import select

from services.database.engine import Sessions
from services.database.tables import Workspace
from services.domain.keys import SCOPES, add_workspace, key_row, new_secret, take_turns
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, Place, read_page
from services.gateway.keys.keys import MadeKey, check_caller, check_scopes
from services.kit.errors import ApiError

FIRST_KEY = "first key"


class Workspaces:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def create(self, caller: Caller, name: str) -> tuple[Workspace, MadeKey]:
        """A workspace with its default store and its first key, which has every scope but `workspaces`.

        Raises ApiError 409 for a name that is taken, 403 if the caller lacks one of those scopes.
        """
        with self._sessions.begin() as session:
            take_turns(session, (caller.workspace_id,))
            check_caller(session, caller)
            if session.scalar(select(Workspace.id).where(Workspace.name == name).limit(1)) is not None:
                message = f"There is a workspace '{name}' already; choose another name."
                raise ApiError(409, message, code="workspace_exists", param="name")
            workspace = add_workspace(session, f"ws_{secrets.token_hex(12)}", name)
            secret = new_secret()
            key = key_row(secret, workspace.id, FIRST_KEY, check_scopes(caller, SCOPES, workspace.id))
            session.add(key)
        return workspace, (key, secret)

    def list(self, cursor: Cursor) -> tuple[Sequence[Workspace], bool]:
        """A page of all workspaces, and whether there are more."""
        with self._sessions() as session:

            def place(workspace_id: str) -> Place:
                found = session.get(Workspace, workspace_id)
                if found is None:
                    message = f"There is no workspace '{workspace_id}'."
                    raise ApiError(404, message, code="workspace_not_found", param="workspace_id")
                return found.created_at, workspace_id

            rows, more = read_page(session, select(Workspace), Workspace.created_at, Workspace.id, cursor, place)
        return [workspace for (workspace,) in rows], more
