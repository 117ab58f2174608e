"""Dialogs that ask before something is done, and the one that shows a secret once."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui

from services.dashboard.gateway import GatewayError

Act = Callable[..., Awaitable[None]]


class AskDialog:
    """A title, what a subclass puts below it, and the button that does it. What is refused is told in the dialog, which
    stays open."""

    color = "primary"

    def __init__(self, title: str, action: str, act: Act) -> None:
        self._title, self._action, self._act = title, action, act

    def open(self) -> None:
        with ui.dialog() as self._dialog, ui.card().classes("w-96 items-stretch"):
            ui.label(self._title).classes("text-lg break-words").props("role=heading aria-level=2")
            self._fields()
            self._problem = ui.label().classes("text-negative break-words").props("role=alert")
            with ui.row().classes("justify-end"):
                ui.button("Cancel", on_click=self._dialog.close).props("flat")
                self._button = ui.button(self._action, on_click=self._do, color=self.color)
        self._dialog.on("hide", self._dialog.delete)
        self._dialog.open()

    def _fields(self) -> None: ...

    def _arguments(self) -> tuple[Any, ...]:
        """What to do it with. Raises ValueError with words for a person."""
        return ()

    async def _do(self) -> None:
        self._button.disable()
        try:
            await self._act(*self._arguments())
        except (GatewayError, ValueError) as error:
            self._problem.text = str(error)
            self._button.enable()
        else:
            self._dialog.close()


class SecretDialog:
    """A key, shown this once: it is gone from the page and from here when the dialog is closed."""

    def __init__(self, title: str, secret: str) -> None:
        self._title, self._secret = title, secret

    def open(self) -> None:
        with (
            ui.dialog().props("persistent") as dialog,
            ui.card().classes("w-full items-stretch").style("max-width: 40rem"),
        ):
            ui.label(self._title).classes("text-lg break-words").props("role=heading aria-level=2")
            ui.label("It is shown this once, and kept nowhere. Copy it now.")
            with ui.row().classes("w-full items-center no-wrap"):
                ui.input("Secret", value=self._secret).classes("grow font-mono").props("readonly").mark("secret")
                ui.button("Copy", on_click=self._copy)
            self._copied = ui.label().classes("text-grey").props("role=status aria-live=polite")
            ui.button("Done", on_click=dialog.close)
        dialog.on("hide", dialog.delete)
        dialog.open()

    async def _copy(self) -> None:
        """A browser lets a page copy on this machine and over TLS alone; where it does not, the page says so."""
        write = f"navigator.clipboard.writeText({json.dumps(self._secret)}).then(() => true, () => false)"
        copied = await ui.run_javascript(f"return navigator.clipboard ? {write} : false")
        self._copied.text = "Copied." if copied else "The browser does not let this page copy; select the text instead."
