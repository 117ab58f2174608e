"""Several trainings of the sample in a row, each with another seed: which go live, how long each takes, and how far the
four modes' figures move from one to the next.

    python -m benchmarks.trainings [TIMES] [MEASURED]    (a platform with the sample's documents is up: TANDEM_HOME)

TIMES trainings, five unless given; after each of the first MEASURED, three unless given, the modes are measured.
"""

from __future__ import annotations

import sys
import time
from statistics import fmean
from typing import Any

from openai import OpenAI

from benchmarks import modes
from benchmarks.four_modes import MODES
from harness.figures import report
from harness.machine import describe_machine
from harness.places import BRINDLE
from harness.platform import api_key
from services.kit.settings import Platform
from training.judging.figures import Metrics

LIMIT_SECONDS = 3600.0
POLL_SECONDS = 2.0


def main(times: int, measured: int) -> None:
    print(describe_machine(), flush=True)
    platform = Platform()
    openai = OpenAI(base_url=f"{platform.gateway_url}/v1", api_key=api_key(platform.home), timeout=300.0)
    with (BRINDLE / "train.jsonl").open("rb") as examples:
        file = openai.files.create(file=examples, purpose="fine-tune")
    runs, tables = [], list[dict[str, Metrics]]()
    for seed in range(1, times + 1):
        runs.append(trained(openai, platform.base_model, file.id, seed))
        report("training", runs[-1])
        if len(runs) <= measured and runs[-1]["live"]:
            asked = MODES if len(runs) == 1 else ("tuned", "hybrid")
            tables.append(modes.measured(platform, asked))
            modes.show(tables[-1])
    went_live = sum(run["live"] for run in runs)
    figures = {f"right document, {name}": right_documents(tables, name) for name in ("hybrid", "hybrid, guard off")}
    report("trainings", {"live": went_live, "of": times, **figures})


def trained(openai: OpenAI, base: str, file_id: str, seed: int) -> dict[str, Any]:
    """One run to its verdict. Raises TimeoutError after an hour."""
    started = time.monotonic()
    job = openai.fine_tuning.jobs.create(model=base, training_file=file_id, suffix="brindle", seed=seed)
    while job.status not in ("succeeded", "failed", "cancelled"):
        if time.monotonic() - started > LIMIT_SECONDS:
            raise TimeoutError(f"The job {job.id} has no verdict after {LIMIT_SECONDS:.0f} s.")
        time.sleep(POLL_SECONDS)
        job = openai.fine_tuning.jobs.retrieve(job.id)
    seconds = round(time.monotonic() - started, 1)
    told = job.model_dump()
    rates = [row.data["tokens_per_second"] for row in openai.fine_tuning.jobs.list_events(job.id, limit=100).data
             if isinstance(row.data, dict) and "tokens_per_second" in row.data]  # fmt: skip
    rate = max(rates, default=None)
    about = {"seed": seed, "status": job.status, "live": bool(told.get("live")), "reason": told.get("reason")}
    return {**about, "seconds": seconds, "tokens_per_second": rate, "model": job.fine_tuned_model}


def right_documents(tables: list[dict[str, Metrics]], name: str) -> dict[str, Any]:
    shares = [round(value, 3) for table in tables if (value := table[name].citation_recall.value) is not None]
    return {"each": shares, "mean": round(fmean(shares), 3) if shares else None}


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    main(given[0] if given else 5, given[1] if len(given) > 1 else 3)
