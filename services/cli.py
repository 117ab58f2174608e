"""The `tandem` command: it starts and watches the platform, and calls the public API.

It owns the processes of a platform that runs without containers, and the folder of its state; everything else it asks
the gateway for. Here stand the commands' names and options. `command/verbs/` does what they say, `command/supervisor/`
starts the processes, watches and ends them, `command/api.py` is the client of the public API.

Exit codes: 0 done, 1 failed, 2 called wrongly, 3 the platform is not running or not ready.
"""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from services.command.api import Api, connect, escape
from services.command.errors import CommandError
from services.command.output import Output
from services.command.supervisor import launch, state
from services.command.supervisor.health import inspect
from services.command.verbs import asking, doctor, ingesting, keys, report, source, work, workspaces

app = typer.Typer(
    name="tandem",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Answers from your documents, in your voice. Exit codes: 0 done, 1 failed, 2 called wrongly, "
    "3 the platform is not running or not ready.",
)

app.add_typer(source.app, name="source")
app.add_typer(keys.app, name="keys")
app.add_typer(workspaces.app, name="workspaces")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
Home = Annotated[Path | None, typer.Option("--home", help="The platform's folder (TANDEM_HOME).", show_default=False)]
Port = Annotated[int | None, typer.Option(min=1, max=65534, help="The gateway's port; the dashboard takes the next.")]
Store = Annotated[str | None, typer.Option("--store", help="A vector store's id; by default the default store.")]
Follow = Annotated[bool, typer.Option("--follow", "-f", help="Stay until the job has ended.")]


class Mode(StrEnum):
    base = "base"
    rag = "rag"
    tuned = "tuned"
    hybrid = "hybrid"


@app.command()
def up(
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Run in the background.")] = False,
    wait: Annotated[bool, typer.Option(help="With --detach: come back when the platform is ready.")] = True,
    home: Home = None,
    port: Port = None,
    as_json: Json = False,
) -> None:
    """Start the platform: every process, each with its log, restarted when it ends."""
    output = Output(as_json)
    platform = launch.settings(home, port)
    running = state.is_running(platform.run_folder)
    if running:
        output.remark(f"The platform in {platform.home} is already running.")
    else:
        platform = launch.prepare(platform)
    if not detach:
        report.starting(output, platform, already_running=running)
        if not running:
            launch.run_in_foreground(platform)
        return
    process = None if running else launch.run_in_background(platform)
    if wait:
        launch.wait_until_ready(platform, process, output.remark)
    report.started(output, platform, already_running=running, ready=wait)


@app.command()
def down(home: Home = None, as_json: Json = False) -> None:
    """Stop the platform and free all it held. Harmless where nothing runs."""
    platform = launch.settings(home)
    report.stopped(Output(as_json), platform, launch.stop(platform))


@app.command()
def status(home: Home = None, as_json: Json = False) -> None:
    """Show the platform's processes, and whether they do their work."""
    found = inspect(launch.settings(home))
    report.status(Output(as_json), found)
    if not found.ready:
        raise typer.Exit(3)


@app.command("doctor")
def examine(home: Home = None, port: Port = None, as_json: Json = False) -> None:
    """Check whether this machine can run the platform. Changes nothing."""
    checks = doctor.examine(launch.settings(home, port))
    report.checks(Output(as_json), checks)
    if any(check.verdict == "bad" for check in checks):
        raise typer.Exit(1)


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(help="Files, and folders with files.")],
    store: Store = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Put documents into a store. A file already there changes nothing; a changed one replaces the former."""
    output = Output(as_json)
    sources = ingesting.find_sources(paths)
    with connect(home) as api, output.bar("Ingesting") as bar:
        store_id = store or api.default_store()
        results = ingesting.ingest(api, store_id, sources, bar)
    report.ingested(output, ingesting.as_json(store_id, results), results)
    if any(result.outcome == "failed" for result in results):
        raise typer.Exit(1)


@app.command()
def search(
    query: str,
    store: Store = None,
    limit: Annotated[int, typer.Option(min=1, max=50, help="How many passages.")] = 5,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show the passages for a query, best first."""
    with connect(home) as api:
        found = asking.search(api, store or api.default_store(), query, limit)
    Output(as_json).result(found, asking.found_in_words(found))


@app.command()
def ask(
    question: str,
    mode: Annotated[Mode | None, typer.Option(help="By default hybrid where tuned weights are live, else rag.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Print the answer as it comes.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Ask a question of the documents."""
    output = Output(as_json)
    with connect(home) as api:
        if stream and not as_json:
            output.result(None, asking.ask_streamed(api, question, mode, output.write))
        else:
            completion = asking.ask(api, question, mode)
            output.result(completion, asking.answer_in_words(completion))


@app.command()
def train(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="OpenAI `messages` lines (JSONL).")],
    suffix: Annotated[str | None, typer.Option(help="A word for the version's name.")] = None,
    follow: Follow = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Tune the base model on examples, and publish the result where it passes the gate."""
    output = Output(as_json)
    with connect(home) as api:
        job = work.train(api, file, suffix)
        if not follow:
            _tell_queued(output, job)
            return
        output.remark(f"Queued as {job['id']}.")
        _follow(api, job["id"], output, "Training")


@app.command("train-embedder")
def train_embedder(
    store: Store = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many steps.")] = None,
    follow: Follow = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Tune the embedder on a store's documents and the feedback; says whether the result is better."""
    output = Output(as_json)
    with connect(home) as api:
        job = work.train_embedder(api, store, max_steps)
        if follow:
            _follow(api, job["id"], output, "Training the embedder")
        else:
            _tell_queued(output, job)


@app.command()
def jobs(
    job_id: Annotated[str | None, typer.Argument(help="One job; without, the latest.")] = None,
    follow: Follow = False,
    cancel: Annotated[bool, typer.Option("--cancel", help="Ask the job to stop.")] = False,
    pause: Annotated[bool, typer.Option("--pause", help="Ask a re-indexing or fine-tuning to wait.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Let a paused one, fine-tuning too, go on.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Show long work: what runs and what failed first, by kind, then what waits and what is done."""
    output = Output(as_json)
    orders = [name for name, given in (("cancel", cancel), ("pause", pause), ("resume", resume)) if given]
    if len(orders) > 1 or (job_id is None and (follow or orders)):
        raise typer.BadParameter("--follow needs a job's id; so does one of --cancel, --pause and --resume")
    with connect(home) as api:
        if job_id is None:
            report.jobs(output, work.overview(api))
            return
        job = work.order(api, job_id, orders[0]) if orders else work.find(api, job_id)
        if follow:
            _follow(api, job_id, output, str(job["kind"]), "cancelled" if cancel else "succeeded")
        else:
            output.result(job, work.in_words(job))


@app.command()
def reindex(
    store: Store = None,
    chunk_size: Annotated[int | None, typer.Option(help="Largest chunk, in tokens.", show_default=False)] = None,
    chunk_overlap: Annotated[int | None, typer.Option(help="Tokens shared by neighbours.", show_default=False)] = None,
    force: Annotated[bool, typer.Option("--force", help="Switch though the new index finds too little.")] = False,
    back: Annotated[bool, typer.Option("--back", help="Go back to the index before.")] = False,
    wait: Annotated[bool, typer.Option(help="Stay until the new index answers.")] = True,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Build a store's index anew from the files, beside the live one, then switch. A damaged one is mended by this."""
    sizes = {"chunk_size": chunk_size, "chunk_overlap": chunk_overlap, "force": force or None}
    settings = {name: value for name, value in sizes.items() if value is not None}
    if back and settings:
        raise typer.BadParameter("--back takes the index before as it is, without other settings")
    output = Output(as_json)
    with connect(home) as api:
        store_id = store or api.default_store()
        job = work.reindex_back(api, store_id) if back else work.reindex(api, store_id, settings)
        _follow_or_tell(api, job, output, "Re-indexing", wait)


@app.command()
def repair(
    store: Store = None,
    wait: Annotated[bool, typer.Option(help="Stay until everything was looked through.")] = True,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Find and mend differences between database, files and index. A damaged index needs `tandem reindex`."""
    output = Output(as_json)
    with connect(home) as api:
        job = api.post(f"/v1/vector_stores/{escape(store or api.default_store())}/reconcile")
        _follow_or_tell(api, job, output, "Repairing", wait)


@app.command()
def versions(home: Home = None, as_json: Json = False) -> None:
    """List the tuned weights, the newest first."""
    with connect(home) as api:
        report.versions(Output(as_json), list(api.every("/v1/versions")))


@app.command()
def publish(
    version: str,
    override: Annotated[str | None, typer.Option(help="Why one that the gate did not pass goes live.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a version live, without a dropped request."""
    output = Output(as_json)
    with connect(home) as api:
        output.result(work.publish(api, version, output, override), f"{version} is live.")


@app.command()
def rollback(home: Home = None, as_json: Json = False) -> None:
    """Make the previous version live again."""
    output = Output(as_json)
    with connect(home) as api:
        moved = work.roll_back(api, output)
    output.result(moved, f"{moved['version']} is live again.")


def _tell_queued(output: Output, job: work.Job) -> None:
    output.result(job, f"Queued as {job['id']}; `tandem jobs {job['id']} --follow` shows how it goes.")


def _follow_or_tell(api: Api, job: work.Job, output: Output, title: str, wait: bool) -> None:
    if wait:
        _follow(api, job["id"], output, title)
    else:
        output.result(job, f"Queued as {job['id']}.")


def _follow(api: Api, job_id: str, output: Output, title: str, wanted: str = "succeeded") -> None:
    job = work.follow(api, job_id, output, title)
    output.result(job, work.in_words(job))
    work.check(job, wanted)


def main(arguments: list[str] | None = None) -> None:
    """Run the command, and end the process with its exit code."""
    try:
        app(arguments)
    except CommandError as error:
        print(f"tandem: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
