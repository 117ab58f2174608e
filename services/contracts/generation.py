"""Bodies between gateway, worker or command line and the generation service."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

SlotState = Literal["starting", "ready", "draining", "stopped", "failed"]


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Route(Contract):
    """Where to send a request: a slot's address (`unix:/path` or `http://host:port`) and the name it answers to."""

    slot: str
    address: str
    model: str
    version_id: str | None = None


class RoutingTable(Contract):
    """GET /routing. Which slot serves what now.

    `live` is keyed by workspace. `versions` holds the versions that a spare slot serves, by version id; `loading`
    those still starting. `epoch` grows with each change.
    """

    epoch: int
    base: Route | None
    live: dict[str, Route]
    versions: dict[str, Route]
    loading: list[str]


class SlotBody(Contract):
    """One row of GET /slots."""

    name: str
    state: SlotState
    engine: Literal["vllm", "transformers"]
    address: str
    model: str
    role: Literal["base", "live", "spare", "retired"]
    workspace_id: str | None
    version_id: str | None
    cores: list[int]
    pid: int | None
    error: str | None = None


class LoadRequest(Contract):
    """POST /load. Starts a spare slot with a version's weights; answers 202 at once, poll /slots or /routing.

    409 while another version is loading or the spare is held; `replace` gives up a version that the spare holds, not
    one that it is still loading.
    """

    workspace_id: str
    version_id: str
    replace: bool = False


class UnloadRequest(Contract):
    """POST /unload. Stops the spare that holds this version; harmless where it is not loaded or is live."""

    workspace_id: str
    version_id: str


class PublishRequest(Contract):
    """POST /publish. Moves the workspace's live pointer to a version that a spare slot serves."""

    workspace_id: str
    version_id: str


class PublishResponse(Contract):
    """`moved_ms` is the time the pointer took; `previous_version_id` the one that was live before."""

    version_id: str
    previous_version_id: str | None
    moved_ms: float


class RollbackRequest(Contract):
    """POST /rollback. To the previous version: at once where its slot is warm, else after loading it (202)."""

    workspace_id: str
