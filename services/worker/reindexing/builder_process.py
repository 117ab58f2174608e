"""The builder as a worker starts it: `python -m services.worker.reindexing.builder_process SPEC.json`.

It ends with the worker, so that a job that another worker takes over never finds a builder at work on its folder.
"""

from __future__ import annotations

import sys

from retrieval.index import collection_builder as build
from services.kit.parent import die_with_parent
from services.kit.quiet import be_quiet

if __name__ == "__main__":
    die_with_parent()
    be_quiet()
    sys.exit(build.main(sys.argv[1:]))
