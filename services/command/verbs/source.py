"""`tandem source`: places whose documents a store follows."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from services.command.api import Api, connect, escape
from services.command.errors import CommandError
from services.command.output import Output, table
from services.command.verbs import work

app = typer.Typer(no_args_is_help=True, help="Places whose documents a store follows: folders, Git, sites, buckets.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
Home = Annotated[Path | None, typer.Option("--home", help="The platform's folder (TANDEM_HOME).", show_default=False)]
Store = Annotated[str | None, typer.Option("--store", help="A vector store's id; by default the default store.")]
Wait = Annotated[bool, typer.Option(help="Stay until the sync has ended.")]
COUNTS = ("new", "changed", "removed", "unchanged", "retried", "skipped")


class Kind(StrEnum):
    folder = "folder"
    git = "git"
    site = "site"
    bucket = "bucket"


@app.command()
def add(
    kind: Kind,
    location: Annotated[str, typer.Argument(help="A folder, a site map's or site's URL, or a bucket's URL.")],
    name: Annotated[str | None, typer.Option(help="What to call it.")] = None,
    store: Store = None,
    include: Annotated[list[str] | None, typer.Option(help="Only documents like this: 'docs/*'. Repeatable.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No documents like this. Repeatable.")] = None,
    cron: Annotated[str | None, typer.Option(help="When to synchronise: '0 3 * * *' is daily at three.")] = None,
    time_zone: Annotated[str, typer.Option(help="The zone of --cron.")] = "UTC",
    url_prefix: Annotated[str | None, typer.Option(help="Put before a path, makes the link of a citation.")] = None,
    sync_now: Annotated[bool, typer.Option("--sync/--no-sync", help="Synchronise at once.")] = True,
    wait: Wait = True,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Register a source, and import its documents."""
    output = Output(as_json)
    body: dict[str, Any] = {"kind": kind.value, "location": _absolute(kind, location)}
    optional = {
        "name": name,
        "vector_store_id": store,
        "include": include,
        "exclude": exclude,
        "url_prefix": url_prefix,
    }
    body |= {key: value for key, value in optional.items() if value}
    body |= {"schedule": {"cron": cron, "time_zone": time_zone}} if cron else {}
    with connect(home) as api:
        made = api.post("/v1/sources", body)
        if not sync_now:
            output.result(made, f"Registered as {made['id']}; `tandem source sync {made['id']}` brings it in.")
            return
        output.remark(f"Registered as {made['id']}.")
        synchronise(api, made["id"], {}, output, wait)


@app.command("list")
def show(
    source_id: Annotated[str | None, typer.Argument(help="One source's documents; without, all sources.")] = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """List the sources, or the documents of one."""
    with connect(home) as api:
        if source_id is None:
            sources = api.get("/v1/sources")["data"]
            Output(as_json).result(sources, table(("source", "kind", "where", "documents", "synced", "", "problem"),
                                   [_row(source) for source in sources]) if sources else "No sources yet.")  # fmt: skip
            return
        found = documents_of(api, source_id)
    rows = [(one["id"], one["status"], one["bytes"], one["error"]) for one in found]
    Output(as_json).result(found, table(("document", "status", "bytes", ""), rows) if rows else "No documents yet.")


@app.command()
def sync(
    source_id: str,
    full: Annotated[bool, typer.Option("--full", help="Read every document anew, whatever its time stamp.")] = False,
    confirm: Annotated[bool, typer.Option("--confirm", help="Remove however many documents are gone.")] = False,
    wait: Wait = True,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Synchronise a source's documents now."""
    options = {key: True for key, chosen in (("full", full), ("confirm", confirm)) if chosen}
    with connect(home) as api:
        synchronise(api, source_id, options, Output(as_json), wait)


@app.command()
def remove(
    source_id: str,
    keep: Annotated[bool, typer.Option("--keep-documents", help="Leave its documents in the store.")] = False,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Forget a source, and remove its documents from the store."""
    with connect(home) as api:
        gone = api.delete(f"/v1/sources/{escape(source_id)}", documents="keep" if keep else "remove")
    Output(as_json).result(gone, f"{source_id} is removed; its documents {'stay' if keep else 'answer no more'}.")


def synchronise(api: Api, source_id: str, options: dict[str, bool], output: Output, wait: bool) -> None:
    """Start a sync and print its report. Raises CommandError if it failed, or if a document could not be imported."""
    job = api.post(f"/v1/sources/{escape(source_id)}/sync", options)
    if not wait:
        output.result(job, f"Queued as {job['id']}.")
        return
    job = work.follow(api, job["id"], output, "Synchronising")
    for failure in job["result"].get("failed") or []:
        output.remark(f"{failure['key']}: {failure['reason']}")
    output.result(job, in_words(job["result"]))
    work.check(job)
    if job["result"].get("failed_count"):
        raise CommandError(f"{job['result']['failed_count']} documents could not be taken in; the rest is in step.")


def in_words(report: dict[str, Any]) -> str:
    counted = ", ".join(f"{report[name]} {name}" for name in COUNTS if report.get(name))
    revision = f" at {report['revision'][:12]}" if report.get("revision") else ""
    return f"{counted or 'nothing'}{revision}, {report.get('seconds', 0):.1f} s"


def documents_of(api: Api, source_id: str) -> list[dict[str, Any]]:
    path, found = f"/v1/sources/{escape(source_id)}/documents", list[dict[str, Any]]()
    while True:
        page = api.get(path, limit=1000, **({"after": found[-1]["id"]} if found else {}))
        found += page["data"]
        if not page["has_more"]:
            return found


def _row(source: dict[str, Any]) -> tuple[object, ...]:
    counts = source["document_counts"]
    documents = f"{counts['completed']} of {counts['total']}"
    schedule = source["schedule"]["cron"] if source["schedule"] else None
    synced = source["last_synced_at"]
    moment = datetime.fromtimestamp(synced).astimezone().strftime("%Y-%m-%d %H:%M") if synced else None
    return source["id"], source["kind"], source["location"], documents, moment, schedule, source["last_error"]


def _absolute(kind: Kind, location: str) -> str:
    return str(Path(location).expanduser().resolve()) if kind in (Kind.folder, Kind.git) else location
