"""Every benchmark on one platform of its own, made for it: `python -m benchmarks`.

Start-up, indexing, training and publishing are timed as they happen; then the others run against the result. The
platform goes when they are done, unless KEEP is given as an argument.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.scifact import DATA
from harness.figures import report
from harness.machine import describe_machine
from harness.places import BRINDLE
from harness.platform import RunningPlatform, start, stop

ON_A_PLATFORM = ("benchmarks.serving", "benchmarks.modes", "benchmarks.background")
ALONE = (
    "benchmarks.support",
    "benchmarks.answerability",
    "benchmarks.guard",
    "benchmarks.search",
    "benchmarks.freshness",
    "benchmarks.reindex",
    "benchmarks.training_speed",
    "benchmarks.dataset_report",
)
ON_SCIFACT = ("benchmarks.embedding", "benchmarks.ingest", "benchmarks.rivals")
TRAINING_SECONDS = 1800.0


def main() -> None:
    print(describe_machine(), flush=True)
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        started = time.monotonic()
        platform = start(Path(folder))
        first_start = time.monotonic() - started
        try:
            stop(platform)
            started = time.monotonic()
            platform.tandem("up", "--detach", timeout=420.0)
            second_start = time.monotonic() - started
            report("startup", {"first_s": round(first_start, 1), "second_s": round(second_start, 1)})
            lifecycle(platform)
            for module in ON_A_PLATFORM:
                subprocess.run([sys.executable, "-m", module], env={**os.environ, **platform.environment}, check=True)
        finally:
            stop(platform)
    for module in (*ALONE, *(ON_SCIFACT if DATA.is_dir() else ())):
        subprocess.run([sys.executable, "-m", module], check=True)


def lifecycle(platform: RunningPlatform) -> None:
    """Index the sample, train on it, and tell what took how long."""
    started = time.monotonic()
    platform.tandem("ingest", str(BRINDLE / "documents"))
    indexed = time.monotonic() - started
    client = platform.openai()
    with (BRINDLE / "train.jsonl").open("rb") as data:
        file = client.files.create(file=data, purpose="fine-tune")
    started = time.monotonic()
    job = client.fine_tuning.jobs.create(model="smollm2-135m-instruct", training_file=file.id, suffix="brindle")
    done = platform.wait_for_job(job.id, TRAINING_SECONDS)
    trained = time.monotonic() - started
    events = [event.message for event in client.fine_tuning.jobs.list_events(job.id, limit=100)]
    print("\n".join(reversed(events)), flush=True)
    figures = {name: done["result"].get(name) for name in ("live", "trained_tokens", "tokens_per_second", "parity")}
    report("lifecycle", {"ingest_s": round(indexed, 1), "created_to_published_s": round(trained, 1), **figures})


if __name__ == "__main__":
    main()
