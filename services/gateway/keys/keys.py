"""API keys: a key with the scope `operate` makes, lists and revokes keys of its own workspace.

A key with the scope `workspaces` does so in every workspace. No key can give away a scope or limit that it does not
have itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from services.database.engine import Sessions
from services.database.tables import ApiKey, Workspace, now
from services.domain.keys import (
    ALL_SCOPES,
    REQUESTS_PER_MINUTE,
    TOKENS_PER_MINUTE,
    WORKSPACES,
    key_row,
    new_secret,
    take_turns,
)
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, Place, read_page
from services.gateway.keys.schemas import KeyCreate
from services.kit.errors import ApiError

INDISPENSABLE = (("operate",), ("operate", WORKSPACES))
"""Scopes of which a workspace that has a key with them keeps one: without it nobody could make another."""
MadeKey = tuple[ApiKey, str]
"""A new key, and its secret."""


class ApiKeys:
    """`forget` is called with the id of each key that is revoked."""

    def __init__(self, sessions: Sessions, forget: Callable[[str], None]) -> None:
        self._sessions, self._forget = sessions, forget

    def create(self, caller: Caller, asked: KeyCreate) -> MadeKey:
        """Raises ApiError 403 for scopes and limits beyond the caller's, 404 for a workspace that it cannot see."""
        workspace_id = asked.workspace_id or caller.workspace_id
        with self._sessions.begin() as session:
            take_turns(session, (caller.workspace_id,))
            check_caller(session, caller)
            _check_workspace(session, caller, workspace_id)
            scopes = check_scopes(caller, asked.scopes, workspace_id)
            limits = (
                _limit(caller, "requests_per_minute", asked.requests_per_minute, REQUESTS_PER_MINUTE),
                _limit(caller, "tokens_per_minute", asked.tokens_per_minute, TOKENS_PER_MINUTE),
            )
            secret = new_secret()
            key = key_row(secret, workspace_id, asked.name, scopes, *limits)
            session.add(key)
        return key, secret

    def find(self, caller: Caller, key_id: str) -> ApiKey:
        with self._sessions() as session:
            return _find(session, caller, key_id)

    def list(self, caller: Caller, workspace_id: str | None, cursor: Cursor) -> tuple[Sequence[ApiKey], bool]:
        """A page of a workspace's keys, revoked ones among them, and whether there are more."""
        with self._sessions() as session:
            _check_workspace(session, caller, workspace_id or caller.workspace_id)
            query = select(ApiKey).where(ApiKey.workspace_id == (workspace_id or caller.workspace_id))

            def place(key_id: str) -> Place:
                found = session.scalar(query.where(ApiKey.id == key_id))
                if found is None:
                    raise _no_key(key_id)
                return found.created_at, key_id

            rows, more = read_page(session, query, ApiKey.created_at, ApiKey.id, cursor, place)
        return [key for (key,) in rows], more

    def revoke(self, caller: Caller, key_id: str) -> ApiKey:
        """Revoke a key; one that is already revoked stays as it is. Raises ApiError 409 for the last key that can make
        others.
        """
        key = self.find(caller, key_id)
        with self._sessions.begin() as session:
            take_turns(session, (caller.workspace_id, key.workspace_id))
            check_caller(session, caller)
            key = _find(session, caller, key_id)
            if key.revoked_at is None:
                if key.workspace_id == caller.workspace_id:
                    _check_dispensable(session, key)
                key.revoked_at = now()
        self._forget(key_id)
        return key


def check_caller(session: Session, caller: Caller) -> None:
    """Raises ApiError 401 if the caller was revoked since its key was looked up: a revoked key must not make another
    one.
    """
    mine = select(ApiKey.id).where(ApiKey.id == caller.key_id, ApiKey.revoked_at.is_(None))
    if session.scalar(mine) is None:
        raise ApiError(401, "This API key is unknown or revoked.", code="invalid_api_key")


def check_scopes(caller: Caller, scopes: Iterable[str], workspace_id: str) -> Sequence[str]:
    """The scopes, without repetitions. Raises ApiError 403 for one that the caller cannot give away there."""
    given = [scope for scope in ALL_SCOPES if scope in scopes]
    for scope in given:
        if scope not in caller.scopes:
            message = f"This key lacks the scope '{scope}', so it cannot give it to another key."
            raise ApiError(403, message, code="missing_scope", param="scopes")
    if WORKSPACES in given and workspace_id != caller.workspace_id:
        message = f"The scope '{WORKSPACES}' reaches into every workspace; a key of '{workspace_id}' cannot have it."
        raise ApiError(403, message, code="scope_not_allowed", param="scopes")
    return given


def _limit(caller: Caller, name: str, asked: int | None, usual: int) -> int:
    own: int = getattr(caller, name)
    if asked is None:
        return min(usual, own)
    if asked > own and WORKSPACES not in caller.scopes:
        message = f"This key's own limit is {own}, so it cannot make one with {asked}; ask for at most {own}."
        raise ApiError(403, message, code="limit_too_high", param=name)
    return asked


def _check_workspace(session: Session, caller: Caller, workspace_id: str) -> None:
    if workspace_id == caller.workspace_id:
        return
    if WORKSPACES not in caller.scopes or session.get(Workspace, workspace_id) is None:
        message = (
            f"There is no workspace '{workspace_id}' that this key may manage; for another workspace than its own it "
            f"needs the scope '{WORKSPACES}'."
        )
        raise ApiError(404, message, code="workspace_not_found", param="workspace_id")


def _find(session: Session, caller: Caller, key_id: str) -> ApiKey:
    key = session.scalar(_visible(caller).where(ApiKey.id == key_id))
    if key is None:
        raise _no_key(key_id)
    return key


def _visible(caller: Caller) -> Select[ApiKey]:
    query = select(ApiKey)
    return query if WORKSPACES in caller.scopes else query.where(ApiKey.workspace_id == caller.workspace_id)


def _no_key(key_id: str) -> ApiError:
    return ApiError(404, f"There is no key '{key_id}'.", code="key_not_found", param="key_id")


def _check_dispensable(session: Session, key: ApiKey) -> None:
    others = select(ApiKey.scopes).where(ApiKey.workspace_id == key.workspace_id, ApiKey.id != key.id)
    left = [set(scopes) for scopes in session.scalars(others.where(ApiKey.revoked_at.is_(None)))]
    for needed in INDISPENSABLE:
        if set(needed) <= set(key.scopes) and not any(set(needed) <= scopes for scopes in left):
            what, scopes = ("workspaces", "scopes") if WORKSPACES in needed else ("keys", "scope")
            named = " and ".join(f"'{scope}'" for scope in needed)
            message = f"'{key.name}' is the last key here that can make {what}; make another with the {scopes} {named} "
            raise ApiError(409, message + "first, then revoke this one.", code="last_key", param="key_id")
