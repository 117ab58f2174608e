"""Vector stores, and what remains of deleted ones, through the stock `openai` package."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import openai
import pytest
from openai import OpenAI

from services.database.tables import Job, Store, StoreFile, now
from tests.integration.gateway.stores.filling import index, names, upload
from tests.knowledge import Knowledge


class TestStores:
    def test_a_store_has_every_field_of_openais(self, client: OpenAI) -> None:
        made = client.vector_stores.create(
            name="policies",
            description="What is in force",
            metadata={"team": "legal"},
            expires_after={"anchor": "last_active_at", "days": 7},
        )
        found: Any = client.vector_stores.retrieve(made.id)
        assert found.name == "policies"
        assert found.description == "What is in force"
        assert found.metadata["team"] == "legal"
        assert (found.expires_after.anchor, found.expires_after.days) == ("last_active_at", 7)
        assert found.expires_at == pytest.approx(found.last_active_at + 7 * 24 * 3600, abs=1)
        assert (found.object, found.status, found.usage_bytes) == ("vector_store", "completed", 0)
        assert found.file_counts.total == 0

    def test_an_update_changes_what_it_names_and_null_takes_away(self, client: OpenAI) -> None:
        made = client.vector_stores.create(
            name="a", metadata={"team": "legal"}, expires_after={"anchor": "last_active_at", "days": 7}
        )
        client.vector_stores.create(name="b")
        renamed: Any = client.vector_stores.update(made.id, name="c")
        assert (renamed.name, renamed.metadata["team"], renamed.expires_after.days) == ("c", "legal", 7)
        cleared: Any = client.vector_stores.update(made.id, metadata={}, expires_after=None)
        assert "team" not in cleared.metadata
        assert (cleared.expires_after, cleared.expires_at) == (None, None)

    def test_files_given_at_creation_are_indexed_with_the_strategy_given(self, desk: Knowledge, client: OpenAI) -> None:
        file_id = upload(client, "a.md", "# Long\n\n" + "A sentence of seven words stands here. " * 60)
        static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}}
        store = client.vector_stores.create(file_ids=[file_id], chunking_strategy=static)
        assert store.file_counts.total == 1
        desk.worker.settle()
        found: Any = client.vector_stores.retrieve(store.id)
        assert (found.status, found.file_counts.completed) == ("completed", 1)
        assert found.usage_bytes == client.files.retrieve(file_id).bytes
        chunks = client.vector_stores.files.content(file_id, vector_store_id=store.id).data
        assert len(chunks) >= 4
        assert all(len((chunk.text or "").split()) <= 100 for chunk in chunks)

    def test_a_list_is_paged_in_both_orders_and_directions(self, client: OpenAI) -> None:
        ids = [client.vector_stores.create(name=f"store {number}").id for number in range(5)]
        assert [store.id for store in client.vector_stores.list()] == ids[::-1]
        assert [store.id for store in client.vector_stores.list(limit=2)] == ids[::-1]
        assert [store.id for store in client.vector_stores.list(limit=2, order="asc")] == ids
        first = client.vector_stores.list(limit=2)
        assert ([store.id for store in first.data], first.has_more) == ([ids[4], ids[3]], True)
        before = client.vector_stores.list(limit=2, before=ids[1])
        assert ([store.id for store in before.data], before.has_more) == ([ids[3], ids[2]], True)
        last = client.vector_stores.list(limit=2, after=ids[1])
        assert ([store.id for store in last.data], last.has_more) == ([ids[0]], False)
        with pytest.raises(openai.NotFoundError, match="vs_none"):
            client.vector_stores.list(after="vs_none")

    def test_an_expired_store_says_so_is_not_searched_and_can_be_had_back(
        self, desk: Knowledge, client: OpenAI
    ) -> None:
        store = client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 1})
        index(client, store.id, "a.md", "# A\n\nReturn a bike.")
        with desk.sessions.begin() as session:
            session.get_one(Store, store.id).last_active_at = now() - timedelta(days=2)
        assert client.vector_stores.retrieve(store.id).status == "expired"
        file_id = upload(client, "b.md", "# B\n\nText.")
        ask: Any = {"model": "tandem/rag", "messages": [{"role": "user", "content": "Return a bike?"}]}
        for attempt in (
            lambda: client.vector_stores.search(store.id, query="bike"),
            lambda: client.vector_stores.files.create(store.id, file_id=file_id),
            lambda: client.vector_stores.file_batches.create(store.id, file_ids=[file_id]),
            lambda: client.chat.completions.create(**ask, extra_body={"vector_store_ids": [store.id]}),
        ):
            with pytest.raises(openai.BadRequestError, match="expired") as caught:
                attempt()
            assert caught.value.code == "vector_store_expired"
        assert client.vector_stores.update(store.id, expires_after=None).status == "completed"
        assert names(client, store.id) == ["a.md"]

    def test_a_search_counts_as_activity(self, desk: Knowledge, client: OpenAI) -> None:
        store = client.vector_stores.create(expires_after={"anchor": "last_active_at", "days": 2})
        with desk.sessions.begin() as session:
            session.get_one(Store, store.id).last_active_at = now() - timedelta(days=1)
        before = client.vector_stores.retrieve(store.id)
        client.vector_stores.search(store.id, query="anything")
        after = client.vector_stores.retrieve(store.id)
        assert (after.last_active_at or 0) - (before.last_active_at or 0) > 23 * 3600

    @pytest.mark.parametrize(
        ("body", "problem"),
        [
            ({"metadata": {f"k{n}": "v" for n in range(17)}}, "17 keys"),
            ({"metadata": {"k" * 65: "v"}}, "65 characters"),
            ({"metadata": {"k": "v" * 513}}, "513 characters"),
            ({"expires_after": {"anchor": "created_at", "days": 1}}, "last_active_at"),
            ({"expires_after": {"anchor": "last_active_at", "days": 0}}, "days"),
            ({"chunking_strategy": {"type": "auto"}}, "file_ids"),
            ({"file_ids": ["file-none"]}, "file-none"),
            ({"nmae": "typo"}, "nmae"),
        ],
    )
    def test_a_malformed_store_is_refused_and_none_is_made(
        self, client: OpenAI, body: dict[str, Any], problem: str
    ) -> None:
        with pytest.raises(openai.APIStatusError, match=problem):
            client.vector_stores.create(extra_body=body)
        assert client.vector_stores.list().data == []


class TestDeletedStores:
    def test_every_call_on_a_deleted_store_is_404_and_late_writes_are_refused(
        self, desk: Knowledge, client: OpenAI, workspace: str
    ) -> None:
        store = client.vector_stores.create()
        file_id = index(client, store.id, "a.md", "# A\n\nReturn a bike.")
        late = upload(client, "late.md", "# Late\n\nReturn a bike late.")
        with desk.worker.hold():
            batch = client.vector_stores.file_batches.create(store.id, file_ids=[late])
            assert client.vector_stores.delete(store.id).deleted
        desk.worker.settle()
        for attempt in (
            lambda: client.vector_stores.retrieve(store.id),
            lambda: client.vector_stores.update(store.id, name="x"),
            lambda: client.vector_stores.search(store.id, query="bike"),
            lambda: client.vector_stores.delete(store.id),
            lambda: client.vector_stores.files.list(store.id),
            lambda: client.vector_stores.files.create(store.id, file_id=file_id),
            lambda: client.vector_stores.files.retrieve(file_id, vector_store_id=store.id),
            lambda: client.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id),
            lambda: client.vector_stores.file_batches.create(store.id, file_ids=[file_id]),
        ):
            with pytest.raises(openai.NotFoundError):
                attempt()
        assert store.id not in [one.id for one in client.vector_stores.list()]
        with desk.sessions() as session:
            jobs = session.query(Job).filter(Job.workspace_id == workspace).all()
            assert {job.status for job in jobs} == {"succeeded", "cancelled"}
            assert session.get_one(StoreFile, (store.id, late)).deleted

    def test_a_job_that_is_running_ends_quietly_and_leaves_no_folder(
        self, desk: Knowledge, client: OpenAI, workspace: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = client.vector_stores.create()
        embed = desk.embedder.embed

        def delete_meanwhile(texts: Any) -> Any:
            monkeypatch.setattr(desk.embedder, "embed", embed)
            client.vector_stores.delete(store.id)
            return embed(texts)

        monkeypatch.setattr(desk.embedder, "embed", delete_meanwhile)
        client.vector_stores.files.create(store.id, file_id=upload(client, "a.md", "# A\n\nReturn a bike."))
        desk.worker.settle()
        with desk.sessions() as session:
            job = session.query(Job).filter(Job.workspace_id == workspace).one()
            assert (job.status, job.request["store_id"]) == ("cancelled", store.id)
            assert session.get_one(Store, store.id).collection_id is None
