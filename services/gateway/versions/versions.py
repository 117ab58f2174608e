"""Versions of a workspace's weights, from the database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import or_, select, update

from services.database.engine import Sessions
from services.database.tables import Canary, LivePointer, Publication, Version
from services.domain.versions import REMOVED, remove_version
from services.gateway.http.paging import Cursor, Place, read_page
from services.gateway.settings import GatewaySettings
from services.gateway.versions.schemas import CanaryCreate
from services.kit.errors import ApiError

Event = tuple[Publication, str | None]
"""An event of the history, and the name of its version."""


class Versions:
    """The settings say how a canary is judged if its caller does not."""

    def __init__(self, sessions: Sessions, settings: GatewaySettings) -> None:
        self._sessions, self._settings = sessions, settings

    def page(self, workspace_id: str, wanted: Cursor) -> tuple[Sequence[Version], bool]:
        """A page of the list, and whether there are more."""
        query = select(Version).where(Version.workspace_id == workspace_id)
        with self._sessions() as session:
            rows, more = read_page(
                session, query, Version.created_at, Version.id, wanted, lambda name: self._place(workspace_id, name)
            )
        return [row[0] for row in rows], more

    def names(self, workspace_id: str) -> dict[str, str]:
        """`ft:` names and ids of the versions that still have weights, the newest first."""
        query = select(Version.name, Version.id).where(Version.workspace_id == workspace_id, Version.status != REMOVED)
        with self._sessions() as session:
            return {row.name: row.id for row in session.execute(query.order_by(Version.created_at.desc()))}

    def find(self, workspace_id: str, name: str) -> Version:
        """A version by its `ft:` name or its id."""
        named = or_(Version.name == name, Version.id == name)
        with self._sessions() as session:
            version = session.scalar(select(Version).where(Version.workspace_id == workspace_id, named))
        if version is None:
            raise ApiError(404, f"There is no version '{name}'.", code="version_not_found", param="name")
        return version

    def pointer(self, workspace_id: str) -> LivePointer | None:
        with self._sessions() as session:
            return session.get(LivePointer, workspace_id)

    def canary(self, workspace_id: str) -> Canary | None:
        """The workspace's running canary."""
        running = Canary.workspace_id == workspace_id, Canary.ended_at.is_(None)
        with self._sessions() as session:
            return session.scalar(select(Canary).where(*running).order_by(Canary.created_at.desc()))

    def history(self, workspace_id: str, limit: int, after: int | None = None) -> tuple[Sequence[Event], bool]:
        """What users got and why, the newest first: the events older than the one with the id `after`; and whether
        there are more.
        """
        query = select(Publication, Version.name).outerjoin(Version, Version.id == Publication.version_id)
        query = query.where(Publication.workspace_id == workspace_id)
        query = query.where(Publication.id < after) if after is not None else query
        with self._sessions() as session:
            found = session.execute(query.order_by(Publication.id.desc()).limit(limit + 1)).all()
        return [(row[0], row[1]) for row in found[:limit]], len(found) > limit

    def events_of(self, workspace_id: str, version_ids: Sequence[str]) -> dict[str, list[Publication]]:
        """The history of each of these versions, the newest first."""
        about = Publication.workspace_id == workspace_id, Publication.version_id.in_(version_ids)
        found: dict[str, list[Publication]] = {version_id: [] for version_id in version_ids}
        with self._sessions() as session:
            for event in session.scalars(select(Publication).where(*about).order_by(Publication.id.desc())):
                found[str(event.version_id)].append(event)
        return found

    def pin(self, workspace_id: str, name: str, pinned: bool) -> Version:
        """Protect a version from being cleared or deleted, or end the protection."""
        version = self.find(workspace_id, name)
        kept = update(Version).where(Version.id == version.id, Version.status != REMOVED).values(pinned=pinned)
        with self._sessions.begin() as session:
            if session.execute(kept).rowcount == 0:  # type: ignore[attr-defined]
                raise _removed(version)
        return self.find(workspace_id, name)

    def remove(self, workspace_id: str, name: str) -> Version:
        """Delete a version's weights. Raises ApiError 409 for a version that must stay."""
        version = self.find(workspace_id, name)
        with self._sessions.begin() as session:
            reason = remove_version(session, version)
        if reason:
            raise ApiError(409, f"'{version.name}' is not deleted: {reason}.", code="version_in_use", param="name")
        return version

    def check_passed(self, version: Version, override: bool) -> bool:
        """Whether publishing would override the gate. Raises ApiError 409 if it would and the caller did not ask for
        that.

        A version that was live before has passed, or was overridden then.
        """
        if version.status == REMOVED:
            raise _removed(version)
        if version.gate.get("passed") or version.status == "published":
            return False
        if not override:
            verdict = version.gate.get("summary") or "The gate has not judged it."
            message = f"'{version.name}' did not pass. {verdict} Send `override` with a `reason` to publish it anyway."
            raise ApiError(409, message, code="gate_not_passed", param="override")
        return True

    def canary_bounds(self, asked: CanaryCreate) -> dict[str, Any]:
        """How a canary is judged; what the body leaves out comes from the settings. Raises ApiError 400."""
        settings = self._settings
        least = asked.min_requests or settings.canary_min_requests
        if asked.promote_after and asked.promote_after < least:
            message = f"`promote_after` is below `min_requests` ({least}), so errors would not be judged before."
            raise ApiError(400, message, code="invalid_value", param="promote_after")
        margin = settings.canary_margin if asked.margin is None else asked.margin
        return {"share": asked.share, "margin": margin, "min_requests": least, "promote_after": asked.promote_after}

    def _place(self, workspace_id: str, name: str) -> Place:
        version = self.find(workspace_id, name)
        return version.created_at, version.id


def _removed(version: Version) -> ApiError:
    message = f"The weights of '{version.name}' were removed; train it again from its data set and settings."
    return ApiError(409, message, code="version_removed", param="name")
