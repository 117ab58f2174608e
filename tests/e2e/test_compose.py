"""docker-compose.yml, run as processes: from an empty folder to a cited answer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from tests.e2e.compose_platform import ComposePlatform, wait_for
from tests.support.compose import OURS

DOCUMENT = b"""# Returns

A bicycle can be returned within 21 days after delivery. The refund is paid within five working days.

# Opening hours

The repair shop in Aldermoor is open from Tuesday to Saturday.
"""
QUESTION = "Within how many days after delivery can a bicycle be returned?"


@pytest.fixture
def platform(tmp_path: Path, base_weights: Path) -> Iterator[ComposePlatform]:
    made = ComposePlatform(tmp_path / "data", {"TANDEM_BASE_MODEL": str(base_weights)})
    try:
        yield made
    finally:
        made.stop()


def client_of(platform: ComposePlatform) -> openai.OpenAI:
    key = (platform.home / "secrets/api_key").read_text().strip()
    return openai.OpenAI(base_url=f"{platform.url('gateway')}/v1", api_key=key, timeout=120, max_retries=0)


def index(client: openai.OpenAI) -> tuple[str, str]:
    """Upload the document into a new store; store and file id, once it is searchable."""
    file = client.files.create(file=("returns.md", DOCUMENT), purpose="assistants")
    store = client.vector_stores.create(name="help")
    client.vector_stores.files.create(store.id, file_id=file.id)

    def status() -> str:
        return client.vector_stores.files.retrieve(file.id, vector_store_id=store.id).status

    wait_for(lambda: status() != "in_progress", 90, lambda: f"the file is {status()}")
    assert status() == "completed"
    return store.id, file.id


def serves_rag(client: openai.OpenAI) -> bool:
    return "tandem/rag" in {model.id for model in client.models.list().data}


def ask(client: openai.OpenAI, store_id: str) -> Any:
    answer = client.chat.completions.create(
        model="tandem/rag",
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=60,
        extra_body={"vector_store_ids": [store_id]},
    )
    return answer.choices[0].message


def left_over(home: Path) -> list[str]:
    """Processes of this platform that still run."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TANDEM_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


@pytest.mark.timeout(290)
def test_the_services_of_the_compose_file_answer_with_a_citation(platform: ComposePlatform) -> None:
    platform.start_all(seconds=90)
    client = client_of(platform)
    platform.wait_until_healthy("gateway", 30)
    platform.wait_until_healthy("worker-index", 60)
    store_id, file_id = index(client)
    wait_for(lambda: serves_rag(client), 150, lambda: f"no model: {platform.log('generation')}")

    message = ask(client, store_id)

    assert "21" in message.content
    assert [citation["file_id"] for citation in message.citations] == [file_id] * len(message.citations)
    assert message.citations
    assert message.annotations
    for name in set(OURS) - {"migrate"}:
        platform.wait_until_healthy(name, 30)
    assert httpx.get(f"{platform.url('dashboard')}/health").status_code == 200
    assert httpx.get(f"{platform.url('retrieval')}/collections/default/{store_id}").status_code == 401

    platform.stop()
    wait_for(lambda: not left_over(platform.home), 15, lambda: f"still running: {left_over(platform.home)}")
