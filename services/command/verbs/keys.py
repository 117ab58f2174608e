"""`tandem keys`: who may use the platform."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.exc import SQLAlchemyError

from services.command.api import connect, escape
from services.command.errors import CommandError, NotRunning
from services.command.output import Output, table
from services.domain.bootstrap import UnsafeFolder
from services.domain.keys import ALL_SCOPES
from services.domain.recover import Recovered
from services.domain.recover import recover as recover_first_key
from services.kit.settings import Platform

app = typer.Typer(no_args_is_help=True, help="API keys: make, list, revoke, and replace a first key that was lost.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON value and nothing else.")]
Home = Annotated[Path | None, typer.Option("--home", help="The platform's folder (TANDEM_HOME).", show_default=False)]
Workspace = Annotated[
    str | None, typer.Option("--workspace", help="A workspace's id; by default the workspace of the key in use.")
]
Limit = Annotated[int | None, typer.Option(min=1, show_default=False)]
Scopes = Annotated[
    list[str] | None, typer.Option("--scope", help=f"Repeatable: {', '.join(ALL_SCOPES)}; by default ask.")
]
COLUMNS = ("key", "name", "begins with", "scopes", "requests/min", "tokens/min", "workspace", "made", "revoked")


@app.command()
def create(
    name: str,
    scopes: Scopes = None,
    requests_per_minute: Limit = None,
    tokens_per_minute: Limit = None,
    workspace: Workspace = None,
    home: Home = None,
    as_json: Json = False,
) -> None:
    """Make a key. It is printed only this once, alone on standard output."""
    body: dict[str, Any] = {"name": name}
    optional = {
        "scopes": scopes,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "workspace_id": workspace,
    }
    body |= {field: value for field, value in optional.items() if value is not None}
    output = Output(as_json)
    with connect(home) as api:
        made = api.post("/v1/keys", body)
    output.remark(in_words(made))
    output.result(made, made["secret"])


@app.command("list")
def show(workspace: Workspace = None, home: Home = None, as_json: Json = False) -> None:
    """List the keys of a workspace, the newest first, revoked ones included."""
    with connect(home) as api:
        found = list(api.every("/v1/keys", **({"workspace_id": workspace} if workspace else {})))
    Output(as_json).result(found, table(COLUMNS, [_row(key) for key in found]) if found else "No keys yet.")


@app.command()
def revoke(key_id: str, home: Home = None, as_json: Json = False) -> None:
    """End a key: at once on the gateway that is asked, within five seconds on others."""
    with connect(home) as api:
        gone = api.post(f"/v1/keys/{escape(key_id)}/revoke")
    Output(as_json).result(gone, f"{key_id} ('{gone['name']}') is revoked.")


@app.command()
def recover(home: Home = None, as_json: Json = False) -> None:
    """Put a new first key into the home's secrets, and revoke the former one. For anybody who may read the home's
    database, while the platform is running or stopped.
    """
    done = replace_first_key(Platform() if home is None else Platform(home=home))
    value = {"api_key_file": str(done.key_path), "key_id": done.key_id, "revoked": list(done.revoked)}
    words = (
        f"A new first key is in {done.key_path}. The former one is revoked; a running platform may take it for five "
    )
    Output(as_json).result(value, words + "seconds more.")


def replace_first_key(platform: Platform) -> Recovered:
    """Raises NotRunning for a home that was never started, CommandError if it or its database cannot be used."""
    if not platform.secrets_folder.is_dir():
        raise NotRunning(f"No platform was ever started in {platform.home}. Start it with `tandem up --detach`.")
    try:
        return recover_first_key(platform)
    except (UnsafeFolder, OSError) as error:
        raise CommandError(f"The home {platform.home} cannot be used: {error}") from error
    except SQLAlchemyError as error:
        message = f"The platform's database cannot be used ({type(error).__name__}); see the setting database_url."
        raise CommandError(message) from error


def in_words(made: dict[str, Any]) -> str:
    """What a person must know about a new key, beside its secret."""
    scopes = ", ".join(made["scopes"])
    limits = f"{made['requests_per_minute']} requests and {made['tokens_per_minute']} tokens a minute"
    return f"{made['id']} ('{made['name']}') in {made['workspace_id']}: {scopes}; {limits}. It is shown this once:"


def moment(seconds: int | None) -> str | None:
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M") if seconds else None


def _row(key: dict[str, Any]) -> tuple[object, ...]:
    limits = key["requests_per_minute"], key["tokens_per_minute"]
    scopes = ", ".join(key["scopes"])
    times = moment(key["created_at"]), moment(key["revoked_at"])
    return key["id"], key["name"], key["prefix"], scopes, *limits, key["workspace_id"], *times
