"""Removes the data of withdrawn files: their points in the index, their bytes in the files' folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from retrieval.errors import IndexUnavailable
from services.domain.files import remove_bytes
from services.domain.removal import Withdrawn
from services.worker.retrieval_client import RetrievalWriter

log = logging.getLogger(__name__)


def purge(writer: RetrievalWriter, workspace_id: str, withdrawn: Sequence[Withdrawn]) -> None:
    """Nobody sees withdrawn files any more, so a failure here does not stop the work: a later repair corrects it."""
    with suppress(IndexUnavailable):
        for file in withdrawn:
            for store_id in file.store_ids:
                writer.delete_file(workspace_id, store_id, file.file_id)
    for file in withdrawn:
        try:
            remove_bytes(file.path)
        except OSError as error:
            log.warning("the bytes of the withdrawn file %s stay: %s", file.file_id, error)
