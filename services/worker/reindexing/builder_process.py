"""The process that `FolderBuilder` starts: `python -m services.worker.reindexing.builder_process SPEC.json`.

It runs `retrieval.index.collection_builder` at low priority, and ends when its worker ends. So if another worker takes
the job over, no builder is still working on the job's folder.
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
