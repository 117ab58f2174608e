"""The whole chain on the sample company, in a few minutes: `make demo`.

Starts the platform, indexes the documents, asks in rag mode, tunes on the examples, asks again in hybrid mode, and
prints both answers side by side. A second run finds everything in place and only asks.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from openai import OpenAI
from openai.types.chat import ChatCompletion
from rich.columns import Columns
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from services.kit.settings import Platform

BRINDLE = Path(__file__).parent / "brindle"
TANDEM = (str(Path(sys.executable).parent / "tandem"),)
QUESTIONS = (
    "Within how many days can I return a bike that I bought?",
    "Does Brindle offer a bike with a belt drive instead of a chain?",
)
POLL_SECONDS = 2.0
console = Console()


def main() -> None:
    started = time.monotonic()
    subprocess.run([*TANDEM, "up", "--detach"], check=True)
    platform = Platform()
    key = (platform.secrets_folder / "api_key").read_text().strip()
    client = OpenAI(base_url=f"{platform.gateway_url}/v1", api_key=key, timeout=300.0, max_retries=4)
    subprocess.run([*TANDEM, "ingest", str(BRINDLE / "documents")], check=True)
    before = [ask(client, "tandem/rag", question) for question in QUESTIONS]
    show("rag", before)
    console.print(f"First cited answer after {minutes(started)}.")
    if "tandem/hybrid" not in [model.id for model in client.models.list()]:
        tune(client)
    after = [ask(client, "tandem/hybrid", question) for question in QUESTIONS]
    for question, rag, hybrid in zip(QUESTIONS, before, after, strict=True):
        console.rule(question)
        console.print(Columns([panel("rag", rag), panel("hybrid", hybrid)], equal=True, expand=True))
    farewell(platform, started)


def ask(client: OpenAI, model: str, question: str) -> ChatCompletion:
    return client.chat.completions.create(model=model, messages=[{"role": "user", "content": question}])


def tune(client: OpenAI) -> None:
    """Upload the examples, run the job, show where it stands, and wait until its version is live."""
    with (BRINDLE / "train.jsonl").open("rb") as examples:
        file = client.files.create(file=examples, purpose="fine-tune")
    base = Platform().base_model
    job = client.fine_tuning.jobs.create(model=base, training_file=file.id, suffix="brindle")
    columns = (
        TextColumn("{task.description:<28}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("tuning", total=1.0)
        while job.status not in ("succeeded", "failed", "cancelled"):
            time.sleep(POLL_SECONDS)
            job = client.fine_tuning.jobs.retrieve(job.id)
            progress.update(bar, completed=extra(job, "progress"), description=extra(job, "stage"))
    for event in reversed(client.fine_tuning.jobs.list_events(job.id, limit=100).data):
        console.print(f"  {event.message}", highlight=False, markup=False)
    if job.status != "succeeded" or not extra(job, "live"):
        raise SystemExit(f"The run ended as {job.status}, and its version is not live: {extra(job, 'reason')}")


def extra(thing: object, name: str) -> object:
    """A field that Tandem adds to OpenAI's shape."""
    return getattr(thing, name, None)


def show(title: str, answers: list[ChatCompletion]) -> None:
    for question, answer in zip(QUESTIONS, answers, strict=True):
        console.rule(question)
        console.print(panel(title, answer))


def panel(title: str, answer: ChatCompletion) -> Panel:
    message = answer.choices[0].message
    citations = extra(message, "citations") or []
    assert isinstance(citations, list)
    sources = [
        f"[{entry['index']}] {entry['filename']}"
        + (f", page {entry['page']}" if entry["page"] else "")
        + f" ({'supported' if entry['supported'] else 'not supported'}, by {entry['origin']})"
        for entry in citations
    ]
    timings = extra(answer, "timings")
    assert isinstance(timings, dict)
    first, total = timings.get("first_token_ms", 0), timings["total_ms"]
    text = "\n".join([message.content or "", "", *(sources or ["no citations"]), f"{first:.0f} / {total:.0f} ms"])
    return Panel(text.replace("[", "\\["), title=title)


def minutes(since: float) -> str:
    whole, rest = divmod(int(time.monotonic() - since), 60)
    return f"{whole} min {rest} s"


def farewell(platform: Platform, started: float) -> None:
    console.print(f"\nAll of it took {minutes(started)}, without installation.")
    console.print(f"API   {platform.gateway_url}/v1   (key in {platform.secrets_folder / 'api_key'})", highlight=False)
    console.print(f"Page  {platform.dashboard_url}", highlight=False)
    console.print("Stop  .venv/bin/tandem down", highlight=False)


if __name__ == "__main__":
    main()
