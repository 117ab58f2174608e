"""Runs one reindexing job in its own process, for the worker: `python -m services.worker.reindex_process JOB`."""

from __future__ import annotations

import sys
from contextlib import closing

from retrieval.documents.parser import Parser
from services.kit.logging import configure
from services.kit.parent import die_with_parent
from services.kit.quiet import be_quiet
from services.kit.settings import Platform
from services.worker.files.stored import FilesAway
from services.worker.parts import make_parts
from services.worker.performing import perform
from services.worker.retrieval_client import RetrievalDown
from services.worker.settings import WorkerSettings


def main(job_id: str) -> None:
    configure("reindex")
    be_quiet()
    settings = WorkerSettings()
    with closing(Parser(settings.parsing_limits())) as parser:
        parts = make_parts(Platform(), settings, parser, settings.reindex_threads)
        perform(parts.jobs, job_id, parts.reindexing.reindex, passing=(RetrievalDown, FilesAway))


if __name__ == "__main__":
    die_with_parent()
    main(sys.argv[1])
