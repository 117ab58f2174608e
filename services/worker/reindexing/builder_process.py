"""The process that `FolderBuilder` starts: `python -m services.worker.reindexing.builder_process SPEC.json`.

It is `retrieval.index.collection_builder`, at low priority and tied to its worker: it ends with that one, so that a job
that another worker takes over never finds a builder at work on its folder.
"""

from __future__ import annotations

import sys

from retrieval.index import collection_builder
from services.kit.parent import die_with_parent
from services.kit.quiet import be_quiet

if __name__ == "__main__":
    die_with_parent()
    be_quiet()
    sys.exit(collection_builder.main(sys.argv[1:]))
