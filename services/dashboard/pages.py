"""The pages: sign in, ask with citations, re-index with live progress; the screen for keys has its own module.

Text of documents and answers is only ever shown as text, never as HTML.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import httpx
from fastapi.responses import RedirectResponse
from nicegui import app, ui

from services.contracts.jobs import ACTIVE
from services.dashboard.gateway import Gateway, GatewayError, KeyRefused
from services.dashboard.keys import KeysPage
from services.dashboard.sessions import SignedIn
from services.kit.remarks import remarks
from services.kit.texts import mended

POLL_SECONDS = 0.5
MOST_TURNS = 20


def register(http: httpx.AsyncClient, signed_in: SignedIn) -> None:
    """Register the pages on NiceGUI's app."""

    @ui.page("/login", title="Tandem: sign in")
    def login() -> None:
        SignInPage(http, signed_in).build()

    @ui.page("/", title="Tandem")
    async def ask() -> RedirectResponse | None:
        key = await working_key(http, signed_in, app.storage.browser["id"])
        if key is None:
            return RedirectResponse("/login")
        await AskPage(Gateway(http, key)).build()
        return None

    @ui.page("/keys", title="Tandem: keys")
    async def keys() -> RedirectResponse | None:
        key = await working_key(http, signed_in, app.storage.browser["id"])
        if key is None:
            return RedirectResponse("/login")
        await KeysPage(Gateway(http, key)).build()
        return None


async def working_key(http: httpx.AsyncClient, signed_in: SignedIn, browser: str) -> str | None:
    """The key of a signed-in browser. One that was revoked meanwhile is forgotten, and the person asked for another."""
    key = signed_in.key(browser)
    if key is None:
        return None
    try:
        await Gateway(http, key).models()
    except KeyRefused:
        signed_in.forget(browser)
        return None
    except GatewayError:
        return key  # the page tells what is wrong
    return key


class SignInPage:
    def __init__(self, http: httpx.AsyncClient, signed_in: SignedIn) -> None:
        self._http, self._signed_in = http, signed_in

    def build(self) -> None:
        with ui.column().classes("absolute-center items-stretch w-96"):
            ui.label("Tandem").classes("text-2xl")
            self._key = ui.input("API key", password=True).mark("key").on("keydown.enter", self._sign_in)
            self._problem = ui.label().classes("text-negative")
            ui.button("Sign in", on_click=self._sign_in)
            ui.label("The first key lies in the platform's home, in secrets/api_key.").classes("text-grey")

    async def _sign_in(self) -> None:
        key = self._key.value.strip()
        try:
            await Gateway(self._http, key).models()
        except GatewayError as error:
            self._problem.text = str(error)
            return
        self._signed_in.remember(app.storage.browser["id"], key)
        ui.navigate.to("/")


class AskPage:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._messages: list[dict[str, str]] = []

    async def build(self) -> None:
        with ui.column().classes("w-full max-w-4xl mx-auto p-4 gap-4"):
            with ui.row().classes("w-full items-center justify-between"):
                ui.label("Tandem").classes("text-2xl")
                ui.link("Keys", "/keys")
                self._mode = ui.select([], label="Model").classes("w-64")
                ReindexButton(self._gateway).build()
            self._turns = ui.column().classes("w-full gap-4")
            with ui.row().classes("w-full items-center no-wrap"):
                self._question = ui.input("Ask a question").classes("grow").on("keydown.enter", self._ask)
                self._send = ui.button("Ask", on_click=self._ask)
        await self._offer_models()

    async def _offer_models(self) -> None:
        try:
            models = await self._gateway.models()
        except GatewayError as error:
            ui.notify(str(error), type="negative")
            return
        best = [name for name in ("tandem/hybrid", "tandem/rag") if name in models] or models
        self._mode.set_options(models, value=best[0] if best else None)

    async def _ask(self) -> None:
        question = mended(self._question.value.strip())
        if not question or not self._mode.value:
            return
        self._question.value = ""
        self._send.disable()
        self._messages = [*self._messages, {"role": "user", "content": question}][-MOST_TURNS:]
        with self._turns:
            ui.label(question).classes("self-end rounded bg-primary text-white px-3 py-2")
            turn = AnswerCard(self._gateway)
        try:
            answer = await turn.fill(self._mode.value, self._messages)
            self._messages.append({"role": "assistant", "content": answer})
        except GatewayError as error:
            turn.fail(str(error))
            self._messages.pop()
        finally:
            self._send.enable()


class AnswerCard:
    """An answer as it streams in, then its citations and the two thumbs."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        with ui.card().classes("w-full") as self._card:
            self._text = ui.label().classes("whitespace-pre-wrap").mark("answer")
            self._below = ui.column().classes("w-full gap-1")

    async def fill(self, model: str, messages: list[dict[str, str]]) -> str:
        text, last = "", dict[str, Any]()
        async for chunk in self._gateway.ask(model, messages):
            text += chunk["choices"][0]["delta"].get("content") or ""
            self._text.text = text
            last = chunk
        with self._below:
            self._show(last)
        return text

    def fail(self, reason: str) -> None:
        self._text.text = reason
        self._text.classes("text-negative")

    def _show(self, last: dict[str, Any]) -> None:
        citations = last["choices"][0]["delta"].get("citations", [])
        for citation in citations:
            self._citation(citation)
        if not citations:
            ui.label("No citations.").classes("text-grey")
        for remark in remarks(last):
            ui.label(remark).classes("text-warning").mark("remark")
        timings = last["timings"]
        with ui.row().classes("w-full items-center"):
            ui.label(f"{last['model']}, {timings['total_ms'] / 1000:.1f} s").classes("text-grey grow")
            for icon, rating, name in (("thumb_up", "up", "Good answer"), ("thumb_down", "down", "Bad answer")):
                button = ui.button(icon=icon, on_click=partial(self._rate, last["id"], rating))
                button.props(f'flat dense aria-label="{name}"')

    def _citation(self, citation: dict[str, Any]) -> None:
        page = f", page {citation['page']}" if citation["page"] else ""
        verdict = "supported" if citation["supported"] else "not supported"
        title = f"[{citation['index']}] {citation['filename']}{page}: {verdict}"
        with ui.expansion(title).classes("w-full").mark("citation"):
            ui.label(citation["quote"]).classes("whitespace-pre-wrap")
            ui.label(f"Marked by the {citation['origin']}; support {citation['support']:.2f}.").classes("text-grey")

    async def _rate(self, answer_id: str, rating: str) -> None:
        try:
            await self._gateway.feedback(answer_id, rating)
            ui.notify("Thank you, it is in the journal.")
        except GatewayError as error:
            ui.notify(str(error), type="negative")


class ReindexButton:
    """Starts a re-index of the default store and shows where it stands."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def build(self) -> None:
        with ui.column().classes("items-stretch w-64 gap-1"):
            self._button = ui.button("Re-index", on_click=self._start)
            self._bar = ui.linear_progress(0.0, show_value=False).props("instant-feedback")
            self._bar.visible = False
            self._stage = ui.label().classes("text-grey text-xs").mark("reindex-stage")

    async def _start(self) -> None:
        self._button.disable()
        try:
            store = await self._gateway.default_store()
            await self._follow(await self._gateway.reindex(store["id"]))
        except GatewayError as error:
            self._stage.text = str(error)
        finally:
            self._button.enable()
            self._bar.visible = False

    async def _follow(self, job: dict[str, Any]) -> None:
        self._bar.visible = True
        while job["status"] in ACTIVE:
            self._bar.value = job["progress"]
            self._stage.text = job["stage"]
            await asyncio.sleep(POLL_SECONDS)
            job = await self._gateway.job(job["id"])
        chunks = job["result"].get("chunks")
        done = f"done: {chunks} chunks" if job["status"] == "succeeded" else f"{job['status']}: {job['reason']}"
        self._stage.text = done
