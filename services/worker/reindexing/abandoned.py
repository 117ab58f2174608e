"""Abandoned builds: drops their collections, and removes their files on this machine's disk."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

from sqlalchemy import select

from retrieval.errors import IndexUnavailable
from retrieval.index.folders import points_folder, unfinished_folder
from retrieval.index.port import CollectionRef
from services.contracts.jobs import FINISHED
from services.database.engine import Sessions
from services.database.tables import Collection, Job
from services.worker.retrieval_client import RetrievalDown, RetrievalWriter

log = logging.getLogger(__name__)


class AbandonedBuilds:
    """`index_folder` is where an embedded index has its collections."""

    def __init__(self, sessions: Sessions, writer: RetrievalWriter, index_folder: Path) -> None:
        self._sessions, self._writer, self._index_folder = sessions, writer, index_folder

    def sweep(self) -> None:
        """Drop the builds that no job will continue: the job was cancelled, or ended while the service was down.

        If the service is still down, the other builds are left until the next time.
        """
        unfinished = select(Job).where(Job.kind == "reindex", Job.status.not_in(FINISHED))
        with self._sessions() as session:  # in this order: a build's job is there before it
            rows = session.scalars(select(Collection).where(Collection.state == "building")).all()
            stores = {job.request["store_id"] for job in session.scalars(unfinished)}
        for row in rows:
            if row.store_id not in stores and not self.clear(CollectionRef(row.workspace_id, row.store_id, row.id)):
                break

    def clear(self, ref: CollectionRef) -> bool:
        """Drop a build with everything made for it; returns whether the retrieval service answered."""
        answered = self.drop(ref)
        remove_build_folders(self._index_folder / ref.workspace_id / ref.store_id / ref.collection_id)
        return answered

    def drop(self, ref: CollectionRef) -> bool:
        """Drop a build, unless it is live by now; returns whether the retrieval service answered. It does not raise if
        that fails, so that the reason why a job ends is not lost.
        """
        try:
            self._writer.drop(ref)
        except IndexUnavailable as error:
            log.warning("collection %s is left until the next minute's tick: %s", ref, error)
            return not isinstance(error, RetrievalDown)
        return True


def remove_build_folders(collection: Path) -> None:
    """Remove what was only needed to build a collection's folder."""
    for left in (points_folder(collection), unfinished_folder(collection)):
        shutil.rmtree(left, ignore_errors=True)
