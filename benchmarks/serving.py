"""The gateway in each mode against the vLLM slot alone: answers a second and time to the first token.

    python -m benchmarks.serving      (a platform with the sample's documents is up: TANDEM_HOME)

The slot gets, word for word, the prompts that the gateway made; both give answers of the same length. The two sides
take turns, so that a machine that drifts drifts for both.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import Any

import httpx

from harness.figures import percentile, report
from harness.jsonl import read_jsonl
from harness.machine import describe_machine
from harness.places import BRINDLE
from harness.platform import api_key
from services.contracts.generation import Route, RoutingTable
from services.kit.events import read_events_async
from services.kit.http import async_client
from services.kit.settings import Platform

MODES = ("base", "rag", "tuned", "hybrid")
TOKENS = 48
QUESTIONS = 12
ROUNDS = 2
CLIENTS = (1, 8)


@dataclass(frozen=True)
class Side:
    """One of the two: whom to ask, and the body of each question."""

    http: httpx.AsyncClient
    bodies: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Figures:
    """Answers a second; seconds to the first token."""

    rate: float
    first: tuple[float, ...]


async def main() -> None:
    platform = Platform()
    gateway = async_client(platform.gateway_url, api_key(platform.home), timeout=300.0)
    generation = async_client(platform.generation_url, platform.service_token)
    table = RoutingTable.model_validate_json((await generation.get("/routing")).content)
    live = table.live.get("default")
    routes = {"base": table.base, "rag": table.base, "tuned": live, "hybrid": live}
    asked = [row["question"] for row in read_jsonl(BRINDLE / "questions.jsonl")[: 2 * QUESTIONS]]
    print(f"{describe_machine()}\nanswers of {TOKENS} tokens, {QUESTIONS} questions, gateway and slot in turn\n")
    print(
        f"{'mode':8}{'clients':>8}{'gateway/s':>11}{'slot/s':>9}{'ratio':>7}{'first p50/p95 gateway':>30}{'slot':>18}"
    )
    rows = []
    for mode, route in routes.items():
        if route is None:
            print(f"{mode:8} not served")
            continue
        through, alone = await sides(gateway, mode, route, asked)
        for clients in CLIENTS:
            rows.append(row(mode, clients, *await compare(through, alone, clients)))
    report("serving", {"rows": rows})
    for http in (gateway, generation):
        await http.aclose()


async def sides(gateway: httpx.AsyncClient, mode: str, route: Route, asked: Sequence[str]) -> tuple[Side, Side]:
    """Both sides of a mode; the slot's prompts are read from the journal.

    Questions whose answer the gateway's guard ends are left out: it would be credited with answers that it cut short.
    """
    common = {"max_tokens": TOKENS, "min_tokens": TOKENS, "temperature": 0.0}
    bodies, made = list[dict[str, Any]](), list[dict[str, Any]]()
    for question in asked:
        body = {"model": f"tandem/{mode}", "messages": [{"role": "user", "content": question}], **common}
        answer = (await gateway.post("/v1/chat/completions", json=body)).raise_for_status().json()
        if answer.get("ended_by") or len(bodies) == QUESTIONS:
            continue
        bodies.append(body)
        turn = (await gateway.get(f"/v1/answers/{answer['id']}")).raise_for_status().json()
        made.append({"model": route.model, "messages": turn["messages"], **common})
    return Side(gateway, bodies), Side(async_client(route.address, "", timeout=300.0), made)


async def compare(through: Side, alone: Side, clients: int) -> tuple[Figures, Figures]:
    measured: list[list[Figures]] = [[], []]
    for _ in range(ROUNDS):
        for place, side in enumerate((through, alone)):
            measured[place].append(await drive(side, clients))
    return merged(measured[0]), merged(measured[1])


def merged(parts: Sequence[Figures]) -> Figures:
    rate = len(parts) / sum(1 / part.rate for part in parts)
    return Figures(rate, tuple(value for part in parts for value in part.first))


async def drive(side: Side, clients: int) -> Figures:
    """Ask every question, `clients` at a time."""
    waiting = list(islice(cycle(side.bodies), max(len(side.bodies), 2 * clients)))
    count, first, started = len(waiting), [], time.perf_counter()

    async def client() -> None:
        while waiting:
            first.append(await stream(side.http, waiting.pop()))

    await asyncio.gather(*(client() for _ in range(clients)))
    return Figures(count / (time.perf_counter() - started), tuple(first))


async def stream(http: httpx.AsyncClient, body: dict[str, Any]) -> float:
    """Seconds to the first token of a streamed answer, read to its end."""
    started, first = time.perf_counter(), 0.0
    async with http.stream("POST", "/v1/chat/completions", json={**body, "stream": True}) as response:
        response.raise_for_status()
        async for data in read_events_async(response):
            if not first and data != "[DONE]" and has_text(data):
                first = time.perf_counter() - started
    return first


def has_text(data: str) -> bool:
    choices = json.loads(data).get("choices") or [{}]
    return bool(choices[0].get("delta", {}).get("content"))


def row(mode: str, clients: int, gateway: Figures, slot: Figures) -> dict[str, Any]:
    first, alone = quantiles(gateway), quantiles(slot)
    ratio = gateway.rate / slot.rate
    print(
        f"{mode:8}{clients:>8}{gateway.rate:>11.2f}{slot.rate:>9.2f}{ratio:>7.2f}"
        f"{f'{first[0]:.0f} / {first[1]:.0f} ms':>30}{f'{alone[0]:.0f} / {alone[1]:.0f} ms':>18}",
        flush=True,
    )
    rates = {"gateway_per_s": round(gateway.rate, 3), "slot_per_s": round(slot.rate, 3), "ratio": round(ratio, 3)}
    return {"mode": mode, "clients": clients, **rates, "gateway_first_ms": first, "slot_first_ms": alone}


def quantiles(side: Figures) -> tuple[float, float]:
    """Median and 95th percentile of the time to the first token, in ms."""
    return round(percentile(side.first, 0.5) * 1000, 1), round(percentile(side.first, 0.95) * 1000, 1)


if __name__ == "__main__":
    asyncio.run(main())
