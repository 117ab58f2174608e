"""`tandem workspaces`: tenants of one platform."""

from __future__ import annotations

import typer

from services.command.api import connect
from services.command.output import Output, table
from services.command.verbs.keys import Home, Json, in_words, moment

app = typer.Typer(no_args_is_help=True, help="Workspaces: each has stores, versions, answers and keys of its own.")


@app.command()
def create(name: str, home: Home = None, as_json: Json = False) -> None:
    """Make a workspace with its default store. Its first key is printed only this once, alone on standard output."""
    output = Output(as_json)
    with connect(home) as api:
        made = api.post("/v1/workspaces", {"name": name})
    output.remark(f"The workspace '{made['name']}' is {made['id']}. {in_words(made['first_key'])}")
    output.result(made, made["first_key"]["secret"])


@app.command("list")
def show(home: Home = None, as_json: Json = False) -> None:
    """List the workspaces, the newest first."""
    with connect(home) as api:
        found = list(api.every("/v1/workspaces"))
    rows = [(one["id"], one["name"], moment(one["created_at"])) for one in found]
    Output(as_json).result(found, table(("workspace", "name", "made"), rows))
