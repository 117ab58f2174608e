"""Keys and workspaces. A key's secret is shown only in the answer to the call that makes it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends, Response

from services.gateway.http.access import require
from services.gateway.http.callers import Caller
from services.gateway.http.paging import Cursor, cursor, page
from services.gateway.http.parts import part
from services.gateway.keys.keys import ApiKeys, MadeKey
from services.gateway.keys.schemas import KeyCreate, WorkspaceCreate, key_body, workspace_body
from services.gateway.keys.workspaces import Workspaces

router = APIRouter(tags=["access"])
READ_KEYS = Depends(require("operate", counts="reads"))
WRITE_KEYS = Depends(require("operate", counts="writes"))
READ_WORKSPACES = Depends(require("workspaces", counts="reads"))
WRITE_WORKSPACES = Depends(require("workspaces", counts="writes"))
API_KEYS = part(ApiKeys)
WORKSPACES = part(Workspaces)


def _made(response: Response, made: MadeKey) -> dict[str, Any]:
    response.headers["Cache-Control"] = "no-store"
    key, secret = made
    return {**key_body(key), "secret": secret}


@router.post("/v1/keys")
def create_key(
    response: Response, body: KeyCreate, caller: Caller = WRITE_KEYS, api_keys: ApiKeys = API_KEYS
) -> dict[str, Any]:
    """Make a key. Its `secret` is shown only once, here."""
    return _made(response, api_keys.create(caller, body))


@router.get("/v1/keys")
def list_keys(
    workspace_id: str | None = None,
    wanted: Cursor = Depends(cursor),
    caller: Caller = READ_KEYS,
    api_keys: ApiKeys = API_KEYS,
) -> dict[str, Any]:
    """The keys of a workspace, also the revoked ones; of the caller's workspace if none is named."""
    rows, more = api_keys.list(caller, workspace_id, wanted)
    return page([key_body(row) for row in rows], more)


@router.get("/v1/keys/{key_id}")
def retrieve_key(key_id: str, caller: Caller = READ_KEYS, api_keys: ApiKeys = API_KEYS) -> dict[str, Any]:
    return key_body(api_keys.find(caller, key_id))


@router.post("/v1/keys/{key_id}/revoke")
def revoke_key(key_id: str, caller: Caller = WRITE_KEYS, api_keys: ApiKeys = API_KEYS) -> dict[str, Any]:
    """Revoke a key: at once here, within five seconds on other gateways. The last key that can make keys cannot be
    revoked.
    """
    return key_body(api_keys.revoke(caller, key_id))


@router.post("/v1/workspaces")
def create_workspace(
    response: Response, body: WorkspaceCreate, caller: Caller = WRITE_WORKSPACES, workspaces: Workspaces = WORKSPACES
) -> dict[str, Any]:
    """Make a workspace with its default store. `first_key` has the `secret` of its first key, which is shown only once,
    here.
    """
    workspace, made = workspaces.create(caller, body.name)
    return {**workspace_body(workspace), "first_key": _made(response, made)}


@router.get("/v1/workspaces")
def list_workspaces(
    wanted: Cursor = Depends(cursor), _caller: Caller = READ_WORKSPACES, workspaces: Workspaces = WORKSPACES
) -> dict[str, Any]:
    rows, more = workspaces.list(wanted)
    return page([workspace_body(row) for row in rows], more)
