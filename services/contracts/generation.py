"""Bodies between gateway, worker or command line and the generation service."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Why = Literal["gate", "person", "rollback", "canary"]
Engine = Literal["vllm", "transformers"]
SlotState = Literal["starting", "ready", "draining", "stopped", "failed"]


class Contract(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Route(Contract):
    """Where to send a request: a slot's address (`unix:/path` or `http://host:port`) and the name it answers to."""

    slot: str
    address: str
    model: str
    version_id: str | None = None
    engine: Engine = "vllm"


class CanaryShare(Contract):
    """The share of a workspace's questions, in 0..1, that a version gets in place of the live one."""

    id: str
    version_id: str
    share: float


class RoutingTable(Contract):
    """GET /routing. Which slot serves what now.

    `live` and `canaries` are keyed by workspace. `versions` holds the versions that a spare slot serves, by version id;
    `loading` those still starting. `epoch` grows with each change.
    """

    epoch: int
    base: Route | None
    live: dict[str, Route]
    versions: dict[str, Route]
    loading: list[str]
    canaries: dict[str, CanaryShare] = Field(default_factory=dict)


class SlotBody(Contract):
    """One row of GET /slots."""

    name: str
    state: SlotState
    engine: Engine
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

    409 while another version is loading or the spare is held. `replace` drops a version that the spare holds, but not
    one that it is still loading.
    """

    workspace_id: str
    version_id: str
    replace: bool = False


class UnloadRequest(Contract):
    """POST /unload. Stops the spare that holds this version; harmless if it is not loaded or is live."""

    workspace_id: str
    version_id: str


class Asked(Contract):
    """Who asked to move the live pointer, for the history: a key's id (None: the platform itself), and why."""

    by: str | None = None
    reason: str = ""


class PublishRequest(Asked):
    """POST /publish. Moves the workspace's live pointer to a version that a spare slot serves.

    `overrides`: a person publishes what the gate did not pass.
    """

    workspace_id: str
    version_id: str
    why: Why = "person"
    overrides: bool = False


class PublishResponse(Contract):
    """`moved_ms` is the time that moving the pointer took; `previous_version_id` the version that was live before.

    None is the base weights.
    """

    version_id: str | None
    previous_version_id: str | None
    moved_ms: float


class RollbackRequest(Asked):
    """POST /rollback. To the previous version: at once if its slot is warm, else after loading it (202).

    From the first version that was ever live, it leads to the base weights.
    """

    workspace_id: str


class CanaryRequest(Asked):
    """POST /canary. Loads a version into the spare slot and gives it a share of the questions; 202, poll /routing.

    Gateways end it if its error rate exceeds the live version's by more than `margin` after `min_requests`. If
    `promote_after` is set, they publish it after that many requests without such an excess. 409 as /load, and if
    another canary has the spare.
    """

    workspace_id: str
    version_id: str
    share: float = Field(gt=0, lt=1)
    margin: float = Field(ge=0, le=1)
    min_requests: int = Field(ge=1)
    promote_after: int | None = Field(default=None, ge=1)
    overrides: bool = False
    replace: bool = False


class CanaryEndRequest(Asked):
    """POST /canary/end. Harmless if the workspace has none or, with `canary_id`, if it has another one by now."""

    workspace_id: str
    canary_id: str | None = None
    why: Why = "person"
