"""Model names: which weights answer, and whether passages are retrieved."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.contracts.generation import CanaryShare, Route, RoutingTable
from services.kit.errors import ApiError

Mode = Literal["base", "rag", "tuned", "hybrid"]
MODES: tuple[Mode, ...] = ("base", "rag", "tuned", "hybrid")
GROUNDED = frozenset({"rag", "hybrid"})
TUNED = frozenset({"tuned", "hybrid"})
PREFIX = "tandem/"
SECONDS_TO_LOAD = 30


@dataclass(frozen=True)
class Trial:
    """The canary that runs in the workspace, and whether this question goes to the version on trial."""

    canary_id: str
    new: bool


@dataclass(frozen=True)
class Choice:
    """What a model name means now: the name to answer under, the mode, and the slot.

    `trial` is set while a canary shares the questions of this name with the live version.
    """

    name: str
    mode: Mode
    route: Route
    trial: Trial | None = None


class UnloadedVersion(Exception):
    """A version of this workspace that no slot serves."""

    def __init__(self, version_id: str) -> None:
        super().__init__(version_id)
        self.version_id = version_id


def served(table: RoutingTable, workspace_id: str) -> list[str]:
    """The mode names that have weights now."""
    return [PREFIX + mode for mode in MODES if _route(mode, table, workspace_id) is not None]


def choose(
    name: str,
    table: RoutingTable,
    workspace_id: str,
    aliases: Mapping[str, str],
    versions: Mapping[str, str],
    with_stores: bool,
    conversation: str = "",
) -> Choice:
    """Resolve a model name.

    `versions` maps the workspace's `ft:` names to version ids. `with_stores` says whether the request names vector
    stores: an `ft:` name answers as hybrid with them, as tuned without. All turns of one `conversation` go to the same
    side of a canary. Raises ApiError 404 for a name that means nothing or whose weights are not served, 503 while they
    load, and UnloadedVersion.
    """
    name = aliases.get(name, name)
    if name in ("", "default", "tandem"):
        name = PREFIX + ("hybrid" if workspace_id in table.live else "rag")
    if name.startswith("ft:"):
        return _version(name, table, workspace_id, versions, with_stores)
    mode = next((mode for mode in MODES if name == PREFIX + mode), None)
    if mode is None:
        known = ", ".join(served(table, workspace_id)) or "none yet"
        raise ApiError(404, f"The model '{name}' does not exist. Served now: {known}.", code="model_not_found")
    route = _route(mode, table, workspace_id)
    if route is None:
        raise ApiError(404, _how_to_serve(mode), code="model_not_served")
    canary = table.canaries.get(workspace_id)
    if mode not in TUNED or canary is None or canary.version_id not in table.versions:
        return Choice(name, mode, route)
    new = falls_to(canary, conversation)
    return Choice(name, mode, table.versions[canary.version_id] if new else route, Trial(canary.id, new))


def falls_to(canary: CanaryShare, conversation: str) -> bool:
    """Whether a conversation belongs to a canary's share. Every gateway decides the same; each canary gets other
    conversations.
    """
    drawn = hashlib.sha256(f"{canary.id}:{conversation}".encode()).digest()[:8]
    return int.from_bytes(drawn) < canary.share * 2**64


def _route(mode: Mode, table: RoutingTable, workspace_id: str) -> Route | None:
    return table.live.get(workspace_id) if mode in TUNED else table.base


def _how_to_serve(mode: Mode) -> str:
    if mode in TUNED:
        return (
            f"'tandem/{mode}' needs tuned weights and none are live in this workspace. "
            "Train some (`tandem train FILE`) or publish a version (`tandem publish NAME`)."
        )
    return f"'tandem/{mode}' needs the base weights, which are not served: set `serve_base = true` under [generation]."


def _version(
    name: str, table: RoutingTable, workspace_id: str, versions: Mapping[str, str], with_stores: bool
) -> Choice:
    version_id = versions.get(name)
    if version_id is None:
        raise ApiError(404, f"The model '{name}' does not exist.", code="model_not_found")
    mode: Mode = "hybrid" if with_stores else "tuned"
    live = table.live.get(workspace_id)
    if live and live.version_id == version_id:
        return Choice(name, mode, live)
    if version_id in table.versions:
        return Choice(name, mode, table.versions[version_id])
    if version_id in table.loading:
        raise still_loading(name)
    raise UnloadedVersion(version_id)


def still_loading(name: str) -> ApiError:
    message = f"'{name}' is being loaded; try again in {SECONDS_TO_LOAD} seconds."
    return ApiError(503, message, code="model_loading", retry_after=SECONDS_TO_LOAD)
