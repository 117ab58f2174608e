"""Time to the first token of chat, idle and while the platform works in the background.

    python -m benchmarks.background [--questions 40] [--work training comparing reindexing]

A platform with the sample's documents and a live version is up (TANDEM_HOME). A client asks in hybrid mode, streaming,
one question after the other: first with nothing else to do, then while a fine-tuning job trains (it is cancelled
afterwards), while a candidate is loaded and asked beside the live version, and while the default store is re-indexed
again and again. To reach: p95 at most doubled. The last line is JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from typing import Any

import httpx

from benchmarks.serving import stream
from harness.figures import percentile, report
from harness.jsonl import read_jsonl
from harness.machine import describe_machine
from harness.places import BRINDLE
from harness.platform import api_key
from services.kit.http import async_client
from services.kit.settings import Platform
from training.data.dataset import canonical, parse_dataset

TOKENS = 32
START_SECONDS = 900.0
POLL_SECONDS = 0.5
ENDING_SECONDS = 2.0
"""Until the process of a re-indexing is gone: one that comes sooner waits a minute or two."""
WORK = ("training", "comparing", "reindexing")
COMPARING = ("Loading the candidate", "Asking")
TUNED, KEPT_OUT = 40, 60
"""Examples of the job whose candidate is compared: those that it is tuned on, and those that it is asked."""


async def main() -> None:
    options = arguments()
    platform = Platform()
    asked = [row["question"] for row in read_jsonl(BRINDLE / "questions.jsonl")]
    questions = list(islice(cycle(asked), options.questions))
    print(f"{describe_machine()}\n{len(questions)} questions, one after the other, answers of {TOKENS} tokens\n")
    print(f"{'background':14}{'first token p50':>17}{'p95':>10}{'p95 to idle':>13}")
    async with async_client(platform.gateway_url, api_key(platform.home), timeout=300.0) as http:
        await ask(http, questions)  # so that no round, the first neither, asks what the engine has not read
        figures = {"idle": await ask(http, questions)}
        for name in options.work:
            figures[name] = await DURING[name](http, questions)
    idle = percentile(figures["idle"], 0.95)
    rows = {}
    for name, seconds in figures.items():
        p50, p95 = percentile(seconds, 0.5), percentile(seconds, 0.95)
        print(f"{name:14}{p50 * 1000:>14.0f} ms{p95 * 1000:>7.0f} ms{p95 / idle:>13.2f}")
        rows[name] = {"p50_ms": round(p50 * 1000), "p95_ms": round(p95 * 1000), "ratio": round(p95 / idle, 2)}
    report("background", rows)


async def ask(http: httpx.AsyncClient, questions: Sequence[str]) -> list[float]:
    """Seconds to each answer's first token."""
    return [await stream(http, body(question)) for question in questions]


def body(question: str) -> dict[str, Any]:
    return {
        "model": "tandem/hybrid",
        "messages": [{"role": "user", "content": question}],
        "max_tokens": TOKENS,
        "temperature": 0.0,
    }


async def while_training(http: httpx.AsyncClient, questions: Sequence[str]) -> list[float]:
    job = await fine_tune(http, training_file=await upload(http, (BRINDLE / "train.jsonl").read_bytes()))
    try:
        await reached(http, job, lambda row: row["stage"].startswith("Tuning: step"))
        return await ask(http, questions)
    finally:
        await cancelled(http, job)


async def while_comparing(http: httpx.AsyncClient, questions: Sequence[str]) -> list[float]:
    """Raises RuntimeError where the candidate was compared before the questions were asked."""
    examples = parse_dataset((BRINDLE / "train.jsonl").read_bytes()).examples
    job = await fine_tune(
        http,
        training_file=await upload(http, canonical(examples[:TUNED])),
        validation_file=await upload(http, canonical(examples[-KEPT_OUT:])),
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    )
    try:
        await reached(http, job, lambda row: row["stage"].startswith(COMPARING))
        seconds = await ask(http, questions)
        row = (await http.get(f"/v1/jobs/{job}")).raise_for_status().json()
        if not row["stage"].startswith(COMPARING):
            raise RuntimeError(f"{job} stood at {row['stage']!r} before all questions were asked: ask fewer")
        return seconds
    finally:
        await cancelled(http, job)


async def upload(http: httpx.AsyncClient, data: bytes) -> str:
    sent = await http.post("/v1/files", data={"purpose": "fine-tune"}, files={"file": ("examples.jsonl", data)})
    return str(sent.raise_for_status().json()["id"])


async def fine_tune(http: httpx.AsyncClient, **asked: Any) -> str:
    models = (await http.get("/v1/versions")).raise_for_status().json()["data"]
    made = await http.post("/v1/fine_tuning/jobs", json={"model": models[0]["base_model"], **asked})
    return str(made.raise_for_status().json()["id"])


async def cancelled(http: httpx.AsyncClient, job: str) -> None:
    await http.post(f"/v1/jobs/{job}/cancel")
    await reached(http, job, lambda row: row["finished_at"] is not None)


async def while_reindexing(http: httpx.AsyncClient, questions: Sequence[str]) -> list[float]:
    stores = (await http.get("/v1/vector_stores?order=asc")).raise_for_status().json()["data"]
    store = next(one["id"] for one in stores if one["metadata"].get("default") == "true")
    over = asyncio.Event()

    async def again_and_again() -> None:
        while not over.is_set():
            job = (await http.post(f"/v1/vector_stores/{store}/reindex", json={})).raise_for_status().json()["id"]
            await reached(http, job, lambda row: row["finished_at"] is not None)
            await asyncio.sleep(ENDING_SECONDS)

    work = asyncio.create_task(again_and_again())
    seconds = await ask(http, questions)
    over.set()
    await work
    return seconds


async def reached(http: httpx.AsyncClient, job: str, where: Callable[[dict[str, Any]], bool]) -> None:
    """Wait until a job stands where it should. Raises TimeoutError, and RuntimeError where it failed."""
    deadline = time.monotonic() + START_SECONDS
    while True:
        row = (await http.get(f"/v1/jobs/{job}")).raise_for_status().json()
        if where(row):
            return
        if row["status"] == "failed":
            raise RuntimeError(f"{job} failed: {row['reason']}")
        if time.monotonic() > deadline:
            raise TimeoutError(f"{job} stands at {row['stage']!r} after {START_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)


DURING = {"training": while_training, "comparing": while_comparing, "reindexing": while_reindexing}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=40)
    parser.add_argument("--work", nargs="+", choices=WORK, default=WORK)
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(main())
