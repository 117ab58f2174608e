"""What fills a store for a test: files with their text, and the policies of three years."""

from __future__ import annotations

from typing import Any

from openai import OpenAI

POLICY = "# {year}\n\nCustomers may return a bike within {days} days, says the policy of {year}."


def upload(client: OpenAI, name: str, text: str, **more: Any) -> str:
    return client.files.create(file=(name, text.encode()), purpose="assistants", **more).id


def index(client: OpenAI, store_id: str, name: str, text: str, **more: Any) -> str:
    """A file of the store, indexed."""
    file = client.vector_stores.files.create_and_poll(upload(client, name, text), vector_store_id=store_id, **more)
    assert file.status == "completed", file.last_error
    return file.id


def index_policies(client: OpenAI, store_id: str) -> dict[int, str]:
    days = {2024: 14, 2025: 21, 2026: 30}
    return {
        year: index(
            client,
            store_id,
            f"policy-{year}.md",
            POLICY.format(year=year, days=days[year]),
            attributes={"year": year, "in_force": year == 2026, "region": "north" if year < 2026 else "all"},
        )
        for year in days
    }


def names(client: OpenAI, store_id: str, query: str = "return a bike", **more: Any) -> list[str]:
    return sorted({hit.filename for hit in client.vector_stores.search(store_id, query=query, **more)})
