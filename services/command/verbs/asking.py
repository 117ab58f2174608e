"""`tandem search` and `tandem ask`."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from services.command.api import ANSWER_TIMEOUT_S, Api, Refused
from services.command.output import seconds
from services.kit.remarks import remarks

QUOTE_LENGTH = 160


def search(api: Api, store_id: str, query: str, limit: int) -> dict[str, Any]:
    return api.post(f"/v1/vector_stores/{store_id}/search", {"query": query, "max_num_results": limit})


def found_in_words(found: dict[str, Any]) -> str:
    if not found["data"]:
        return "Nothing found."
    return "\n".join(_passage(number, row) for number, row in enumerate(found["data"], start=1))


def _passage(number: int, row: dict[str, Any]) -> str:
    page = f", page {row['page']}" if row.get("page") else ""
    text = " ".join(part["text"] for part in row["content"])
    return f"{number}. {row['filename']}{page} ({row['score']:.3f})\n   {shorten(text)}"


def request(question: str, mode: str | None) -> dict[str, Any]:
    return {
        "model": f"tandem/{mode}" if mode else "default",
        "messages": [{"role": "user", "content": question}],
    }


def ask(api: Api, question: str, mode: str | None) -> dict[str, Any]:
    """The whole completion, as the API returns it."""
    return api.post("/v1/chat/completions", request(question, mode), timeout=ANSWER_TIMEOUT_S)


def ask_streamed(api: Api, question: str, mode: str | None, write: Callable[[str], None]) -> str:
    """Write the answer as it arrives; returns its sources in words.

    Raises Refused if the answer breaks off.
    """
    last: dict[str, Any] = {}
    with api.stream("/v1/chat/completions", {**request(question, mode), "stream": True}) as events:
        for data in events:
            if data == "[DONE]":
                break
            chunk = json.loads(data)
            if "error" in chunk:
                error = chunk["error"]
                raise Refused(502, str(error.get("code")), f"The answer broke off: {error.get('message')}")
            choice = chunk["choices"][0]
            write(choice["delta"].get("content") or "")
            if choice["finish_reason"]:
                last = {**chunk, "message": choice["delta"]}
    write("\n")
    return sources_in_words(last.get("message", {}), last)


def answer_in_words(completion: dict[str, Any]) -> str:
    message = completion["choices"][0]["message"]
    return f"{message['content']}\n{sources_in_words(message, completion)}"


def sources_in_words(message: dict[str, Any], completion: dict[str, Any]) -> str:
    """The citations that the check supports, each once, what a reader should know, and how the answer was made."""
    lines = [_citation(entry) for entry in message.get("citations") or [] if entry["supported"]]
    total = (completion.get("timings") or {}).get("total_ms")
    took = f", {seconds(total / 1000)}" if total is not None else ""
    return "\n".join(["", *dict.fromkeys(lines), *remarks(completion), f"({completion.get('model', '')}{took})"])


def _citation(entry: dict[str, Any]) -> str:
    page = f", page {entry['page']}" if entry.get("page") else ""
    return f'[{entry["index"]}] {entry["filename"]}{page}: "{shorten(entry["quote"])}"'


def shorten(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= QUOTE_LENGTH else flat[: QUOTE_LENGTH - 1].rstrip() + "…"
