"""The screen for keys and workspaces: list, make, revoke. Names are shown as text, never as HTML."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

from nicegui import ui

from services.dashboard.dialogs import Act, AskDialog, SecretDialog
from services.dashboard.gateway import Gateway, GatewayError
from services.kit.texts import mended

COLUMNS = ("Name", "Begins with", "Scopes", "Requests a minute", "Tokens a minute", "Made", "State", "Action")
SCOPES = {
    "ask": "questions and answers",
    "knowledge": "files, stores, jobs",
    "voice": "training, examples",
    "operate": "versions, sources, keys",
    "workspaces": "all workspaces, their keys",
}


class KeysPage:
    """A key that may make workspaces sees them all; any other sees its own alone, and no choice of them."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def build(self) -> None:
        with ui.column().classes("w-full max-w-6xl mx-auto p-4 gap-4"):
            with ui.row().classes("w-full items-center justify-between"):
                ui.label("Keys").classes("text-2xl").props("role=heading aria-level=1")
                ui.link("Ask", "/")
            with ui.row().classes("w-full items-end gap-4"):
                self._workspace = ui.select({}, label="Workspace", on_change=self._show).classes("w-64")
                ui.button("New key", on_click=self._ask_for_key)
                self._more = ui.button("New workspace", on_click=self._ask_for_workspace)
                self._workspace.visible = self._more.visible = False
            self._said = ui.label().props("role=status aria-live=polite").mark("said")
            self._table = ui.element("div").classes("w-full overflow-x-auto")
            self._dialogs = ui.element("div")
        await self._offer_workspaces()
        await self._show()

    async def _offer_workspaces(self, chosen: str | None = None) -> None:
        try:
            own = await self._gateway.keys(None)
            names = {one["id"]: one["name"] for one in await self._gateway.workspaces()}
        except GatewayError:
            return  # not for this key; what is wrong otherwise is told by the list of keys
        self._workspace.set_options(names, value=chosen or own[0]["workspace_id"])
        self._workspace.visible = self._more.visible = True

    async def _show(self) -> None:
        try:
            keys = await self._gateway.keys(self._workspace.value)
        except GatewayError as error:
            self._said.text = str(error)
            return
        self._table.clear()
        with self._table, ui.element("table").classes("w-full text-left"):
            with ui.element("thead"), ui.element("tr"):
                for column in COLUMNS:
                    with ui.element("th").props("scope=col").classes("px-2 py-1"):
                        ui.label(column)
            with ui.element("tbody"):
                for key in keys:
                    self._row(key)

    def _row(self, key: dict[str, Any]) -> None:
        with ui.element("tr").classes("border-t"):
            for text in _cells(key):
                with ui.element("td").classes("px-2 py-1 break-words max-w-xs"):
                    ui.label(text)
            with ui.element("td").classes("px-2 py-1"):
                if key["revoked_at"] is None:
                    button = ui.button("Revoke", on_click=partial(self._ask_to_revoke, key)).props("flat dense")
                    button.props["aria-label"] = f"Revoke {key['name']}"

    def _ask_for_key(self) -> None:
        with self._dialogs:
            KeyDialog(self._make).open()

    def _ask_for_workspace(self) -> None:
        with self._dialogs:
            WorkspaceDialog(self._add).open()

    def _ask_to_revoke(self, key: dict[str, Any]) -> None:
        with self._dialogs:
            RevokeDialog(key, partial(self._revoke, key)).open()

    async def _make(self, body: dict[str, Any]) -> None:
        made = await self._gateway.make_key({**body, "workspace_id": self._workspace.value})
        with self._dialogs:
            SecretDialog(f"The key '{made['name']}'", made["secret"]).open()
        await self._show()

    async def _add(self, name: str) -> None:
        made = await self._gateway.make_workspace(name)
        with self._dialogs:
            SecretDialog(f"The first key of '{made['name']}'", made["first_key"]["secret"]).open()
        await self._offer_workspaces(made["id"])

    async def _revoke(self, key: dict[str, Any]) -> None:
        await self._gateway.revoke_key(key["id"])
        self._said.text = f"The key '{key['name']}' is revoked."
        await self._show()


class KeyDialog(AskDialog):
    def __init__(self, make: Act) -> None:
        super().__init__("New key", "Make", make)

    def _fields(self) -> None:
        self._name = ui.input("Name")
        with ui.column().classes("gap-0").props('role=group aria-label="Scopes"'):
            self._scopes = {
                scope: ui.checkbox(f"{scope}: {what}", value=scope == "ask") for scope, what in SCOPES.items()
            }
        self._requests = ui.number("Requests a minute", min=1, precision=0)
        self._tokens = ui.number("Tokens a minute", min=1, precision=0)
        ui.label("A limit that is left empty is the usual one.").classes("text-grey")

    def _arguments(self) -> tuple[Any, ...]:
        body = {"name": _name(self._name.value), "scopes": [one for one, box in self._scopes.items() if box.value]}
        if not body["scopes"]:
            raise ValueError("Choose at least one scope.")
        limits = {"requests_per_minute": self._requests.value, "tokens_per_minute": self._tokens.value}
        return ({**body, **{name: int(limit) for name, limit in limits.items() if limit is not None}},)


class WorkspaceDialog(AskDialog):
    def __init__(self, make: Act) -> None:
        super().__init__("New workspace", "Make", make)

    def _fields(self) -> None:
        self._name = ui.input("Name")

    def _arguments(self) -> tuple[Any, ...]:
        return (_name(self._name.value),)


class RevokeDialog(AskDialog):
    color = "negative"

    def __init__(self, key: dict[str, Any], revoke: Act) -> None:
        super().__init__(f"Revoke the key '{key['name']}'?", "Revoke it", revoke)
        self._prefix = key["prefix"]

    def _fields(self) -> None:
        ui.label(f"Whoever uses {self._prefix}… is refused from then on. This cannot be undone.")


def _name(given: str) -> str:
    name = mended(given.strip())
    if not name:
        raise ValueError("Give it a name.")
    return str(name)


def _cells(key: dict[str, Any]) -> Sequence[str]:
    limits = f"{key['requests_per_minute']:,}", f"{key['tokens_per_minute']:,}"
    state = f"revoked {_moment(key['revoked_at'])}" if key["revoked_at"] else "works"
    return key["name"], f"{key['prefix']}…", ", ".join(key["scopes"]), *limits, _moment(key["created_at"]), state


def _moment(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
