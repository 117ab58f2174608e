"""Removes version folders that nobody needs: those beyond the number to keep, and those that no row names."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from sqlalchemy import select

from services.database.engine import Sessions
from services.database.tables import Version, Workspace
from services.domain.versions import REMOVED, protected, remove_version

log = logging.getLogger(__name__)
DAY_SECONDS = 24 * 3600.0


class Clearing:
    """For each workspace, the `keep` newest versions stay, besides those that must."""

    def __init__(self, sessions: Sessions, versions_folder: Path, keep: int) -> None:
        self._sessions, self._folder, self._keep = sessions, versions_folder.resolve(), keep

    def clear(self) -> list[str]:
        """Remove the versions beyond that number; returns the names of those that lost their weights.

        If a folder cannot be removed, it is tried again the next time.
        """
        with self._sessions() as session:
            workspaces = session.scalars(select(Workspace.id)).all()
        removed = [version.name for workspace_id in workspaces for version in self._retire(workspace_id)]
        with self._sessions() as session:
            versions = session.scalars(select(Version)).all()
        folders = {version.id: (self._folder / version.path).resolve() for version in versions}
        gone = [folders[version.id] for version in versions if version.status == REMOVED]
        for folder in [*gone, *self._unnamed(set(folders.values()))]:
            self._delete(folder)
        return removed

    def _retire(self, workspace_id: str) -> list[Version]:
        """Mark versions as removed that are neither protected nor among the newest. One that became protected meanwhile
        stays.
        """
        kept = Version.workspace_id == workspace_id, Version.status != REMOVED
        with self._sessions() as session:
            versions = session.scalars(select(Version).where(*kept).order_by(Version.created_at.desc())).all()
            stay = protected(session, workspace_id)
        spare = [version for version in versions if version.id not in stay][self._keep :]
        return [version for version in spare if self._remove(version)]

    def _remove(self, version: Version) -> bool:
        with self._sessions.begin() as session:
            return remove_version(session, version) is None

    def _unnamed(self, named: set[Path]) -> Sequence[Path]:
        """Folders of versions and drafts that a killed run left at least a day ago."""
        if not self._folder.is_dir():
            return []
        found = [folder for workspace in self._folder.iterdir() if workspace.is_dir() for folder in workspace.iterdir()]
        return [folder for folder in found if folder not in named and _age(folder) > DAY_SECONDS]

    def _delete(self, folder: Path) -> None:
        """Whatever a row says, only `<workspace>/<version>` is ever removed."""
        if folder.parent.parent != self._folder or not folder.is_dir():
            return
        try:
            shutil.rmtree(folder)
            log.info("removed the version folder %s", folder)
        except OSError as error:
            log.warning("the version folder %s stays: %s", folder, error)


def _age(folder: Path) -> float:
    """Seconds since a folder's content changed; none if it does not exist."""
    try:
        return time.time() - folder.stat().st_mtime
    except FileNotFoundError:
        return 0.0
