"""Vector stores, their files, and searches in them, through the stock `openai` package."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from services.contracts.retrieval import TidyRequest
from services.database.tables import File, Job, Store, StoreFile, now
from services.worker.files.expiry import Expiry
from tests.knowledge import Knowledge, knowledge

POLICY = "# {year}\n\nCustomers may return a bike within {days} days, says the policy of {year}."


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knowledge]:
    with pytest.MonkeyPatch.context() as patch, knowledge(tmp_path_factory.mktemp("knowledge"), patch) as running:
        yield running


@pytest.fixture
def workspace() -> str:
    """Each test has a workspace of its own."""
    return f"w-{uuid.uuid4().hex}"


@pytest.fixture
def client(desk: Knowledge, workspace: str) -> OpenAI:
    return desk.client(workspace)


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


class TestFiles:
    def test_a_file_that_is_put_in_again_answers_as_before_until_it_is_indexed_anew(
        self, desk: Knowledge, client: OpenAI
    ) -> None:
        store = client.vector_stores.create()
        file_id = index(client, store.id, "a.md", "# A\n\nReturn a bike.")

        def found() -> list[dict[str, Any]]:
            return [one.attributes or {} for one in client.vector_stores.search(store.id, query="bike").data]

        def put_in(year: int) -> None:
            client.vector_stores.files.create(store.id, file_id=file_id, attributes={"year": year})

        assert found() == [{}]
        with desk.worker.hold():
            put_in(2025)
            put_in(2026)
            assert client.vector_stores.files.retrieve(file_id, vector_store_id=store.id).status == "in_progress"
            assert found() == [{}]
            content = client.vector_stores.files.content(file_id, vector_store_id=store.id)
            assert "Return a bike" in "".join(part.text or "" for part in content)
        desk.worker.settle()
        assert client.vector_stores.files.retrieve(file_id, vector_store_id=store.id).status == "completed"
        assert found() == [{"year": 2026.0}]
        with desk.worker.hold():
            put_in(2027)
            client.vector_stores.files.delete(file_id, vector_store_id=store.id)
            assert found() == []
            put_in(2028)
            assert found() == []  # what was taken out does not come back
        desk.worker.settle()
        assert found() == [{"year": 2028.0}]

    def test_a_file_that_cannot_be_indexed_anew_goes_on_answering_and_says_so(
        self, desk: Knowledge, client: OpenAI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = client.vector_stores.create()
        file_id = index(client, store.id, "a.md", "# A\n\nReturn a bike.")
        with desk.sessions.begin() as session:
            path = Path(session.get_one(File, file_id).path)
        content = path.read_bytes()
        path.write_bytes(b"\x00\x01")
        client.vector_stores.files.create(store.id, file_id=file_id, attributes={"year": 2026})
        desk.worker.settle()
        failed = client.vector_stores.files.retrieve(file_id, vector_store_id=store.id)
        assert failed.status == "failed"
        assert failed.last_error is not None
        assert failed.last_error.message.endswith("; what was indexed of it before goes on answering")
        assert names(client, store.id) == ["a.md"]
        job = desk.writer.tidy(TidyRequest(workspace_id=self.workspace_of(desk, store.id), store_id=store.id))
        assert job.removed_chunks == 0
        path.write_bytes(content)
        client.vector_stores.files.create(store.id, file_id=file_id, attributes={"year": 2026})
        desk.worker.settle()
        assert client.vector_stores.files.retrieve(file_id, vector_store_id=store.id).status == "completed"
        assert [one.attributes for one in client.vector_stores.search(store.id, query="bike").data] == [
            {"year": 2026.0}
        ]

    @staticmethod
    def workspace_of(desk: Knowledge, store_id: str) -> str:
        with desk.sessions() as session:
            return session.get_one(Store, store_id).workspace_id

    def test_the_sdks_helpers_poll_until_a_file_is_indexed(self, desk: Knowledge, client: OpenAI) -> None:
        store = client.vector_stores.create()
        with desk.worker.hold():
            waiting = client.vector_stores.files.create(
                store.id, file_id=upload(client, "a.md", "# A\n\nReturn a bike.")
            )
            assert (waiting.status, waiting.usage_bytes, waiting.last_error) == ("in_progress", 0, None)
            raw = client.vector_stores.files.with_raw_response.retrieve(waiting.id, vector_store_id=store.id)
            assert int(raw.headers["openai-poll-after-ms"]) <= 200
            assert client.vector_stores.retrieve(store.id).status == "in_progress"
        polled = client.vector_stores.files.poll(waiting.id, vector_store_id=store.id, max_wait_seconds=30)
        assert polled.status == "completed"
        more = client.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("b.md", b"# B\n\nSell a bike."), attributes={"draft": True}
        )
        assert (more.status, more.attributes) == ("completed", {"draft": True})
        assert names(client, store.id) == ["a.md", "b.md"]

    def test_a_list_is_filtered_by_status_and_paged(self, desk: Knowledge, client: OpenAI) -> None:
        store = client.vector_stores.create()
        good = [index(client, store.id, f"{n}.md", f"# {n}\n\nReturn bike {n}.") for n in range(3)]
        bad = client.vector_stores.files.create_and_poll(
            upload(client, "bad.pdf", "%PDF- and nothing more"), vector_store_id=store.id
        )
        listed = client.vector_stores.files.list(store.id, filter="completed", order="asc", limit=2)
        assert [file.id for file in listed] == good
        assert [file.id for file in client.vector_stores.files.list(store.id, filter="failed")] == [bad.id]
        assert [file.id for file in client.vector_stores.files.list(store.id, after=good[1])] == [good[0]]
        assert client.vector_stores.files.list(store.id, filter="cancelled").data == []
        with pytest.raises(openai.BadRequestError, match="filter"):
            client.vector_stores.files.list(store.id, filter="done")  # type: ignore[arg-type]

    def test_a_files_own_chunk_sizes_outlive_a_reindex_with_others(self, desk: Knowledge, client: OpenAI) -> None:
        store = client.vector_stores.create()
        text = "# Long\n\n" + "A sentence of seven words stands here. " * 100
        static: Any = {"type": "static", "static": {"max_chunk_size_tokens": 300, "chunk_overlap_tokens": 20}}
        own = index(client, store.id, "own.md", text, chunking_strategy=static)
        shared = index(client, store.id, "shared.md", text, chunking_strategy={"type": "auto"})

        def longest(file_id: str) -> int:
            chunks = client.vector_stores.files.content(file_id, vector_store_id=store.id).data
            return max(len((chunk.text or "").split()) for chunk in chunks)

        def sizes(file_id: str) -> int:
            file: Any = client.vector_stores.files.retrieve(file_id, vector_store_id=store.id)
            return int(file.chunking_strategy.static.max_chunk_size_tokens)

        assert (sizes(own), sizes(shared)) == (300, 160)
        assert longest(shared) <= 160 < longest(own) <= 300
        desk.http.post(
            f"/v1/vector_stores/{store.id}/reindex",
            json={"chunk_size": 64},
            headers={"Authorization": f"Bearer {client.api_key}"},
        ).raise_for_status()
        desk.worker.settle()
        assert (sizes(own), sizes(shared)) == (300, 64)
        assert longest(shared) <= 64 < 160 < longest(own) <= 300

    @pytest.mark.parametrize(
        ("sizes", "problem"),
        [
            ({"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}, "100"),
            ({"max_chunk_size_tokens": 4097, "chunk_overlap_tokens": 0}, "4096"),
            ({"max_chunk_size_tokens": 200, "chunk_overlap_tokens": 101}, "half"),
            ({"max_chunk_size_tokens": 200}, "chunk_overlap_tokens"),
        ],
    )
    def test_sizes_beyond_openais_limits_are_refused(self, client: OpenAI, sizes: dict[str, int], problem: str) -> None:
        store = client.vector_stores.create()
        static: Any = {"type": "static", "static": sizes}
        with pytest.raises(openai.BadRequestError, match=problem):
            client.vector_stores.files.create(store.id, file_id="file-x", chunking_strategy=static)

    @pytest.mark.parametrize(
        "attributes",
        [{f"k{n}": n for n in range(17)}, {"k" * 65: 1}, {"k": "v" * 513}, {"k": None}, {"k": [1]}, {"": 1}],
    )
    def test_attributes_beyond_openais_limits_are_refused(self, client: OpenAI, attributes: Any) -> None:
        store = client.vector_stores.create()
        file_id = index(client, store.id, "a.md", "# A\n\nReturn a bike.", attributes={"year": 2026})
        with pytest.raises(openai.BadRequestError) as caught:
            client.vector_stores.files.update(file_id, vector_store_id=store.id, attributes=attributes)
        assert "attributes" in str(caught.value.param)
        with pytest.raises(openai.BadRequestError):
            client.vector_stores.files.create(store.id, file_id=file_id, attributes=attributes)
        kept = client.vector_stores.files.retrieve(file_id, vector_store_id=store.id)
        assert kept.attributes == {"year": 2026}

    def test_new_attributes_count_in_searches_at_once_and_nothing_is_embedded_anew(
        self, desk: Knowledge, client: OpenAI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = client.vector_stores.create()
        file_id = index(client, store.id, "a.md", "# A\n\nReturn a bike.", attributes={"year": 2025})
        chunks = client.vector_stores.files.content(file_id, vector_store_id=store.id).data

        def never(_texts: Any) -> Any:
            raise AssertionError("embedded anew")

        monkeypatch.setattr(desk.embedder, "embed", never)
        updated = client.vector_stores.files.update(
            file_id, vector_store_id=store.id, attributes={"year": 2026, "draft": False}
        )
        assert (updated.status, updated.attributes) == ("completed", {"year": 2026, "draft": False})
        for wanted, expected in (({"type": "eq", "key": "year", "value": 2026}, ["a.md"]),
                                 ({"type": "eq", "key": "year", "value": 2025}, [])):  # fmt: skip
            assert names(client, store.id, filters=wanted) == expected
        hit = client.vector_stores.search(store.id, query="bike").data[0]
        assert hit.attributes == {"year": 2026, "draft": False}
        assert client.vector_stores.files.content(file_id, vector_store_id=store.id).data == chunks
        cleared = client.vector_stores.files.update(file_id, vector_store_id=store.id, attributes=None)
        assert cleared.attributes == {}
        assert names(client, store.id, filters={"type": "eq", "key": "year", "value": 2026}) == []

    def test_attributes_that_change_while_a_file_is_indexed_are_not_lost(
        self, desk: Knowledge, client: OpenAI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = client.vector_stores.create()
        file_id = upload(client, "a.md", "# A\n\nReturn a bike.")
        embed = desk.embedder.embed

        def change_meanwhile(texts: Any) -> Any:
            monkeypatch.setattr(desk.embedder, "embed", embed)
            client.vector_stores.files.update(file_id, vector_store_id=store.id, attributes={"year": 2026})
            return embed(texts)

        monkeypatch.setattr(desk.embedder, "embed", change_meanwhile)
        client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id, attributes={"year": 2025})
        assert names(client, store.id, filters={"type": "eq", "key": "year", "value": 2026}) == ["a.md"]
        assert names(client, store.id, filters={"type": "eq", "key": "year", "value": 2025}) == []

    def test_attributes_that_change_during_a_reindex_hold_in_the_new_collection(
        self, desk: Knowledge, client: OpenAI, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = client.vector_stores.create()
        file_id = index(client, store.id, "a.md", "# A\n\nReturn a bike.", attributes={"year": 2025})
        embed = desk.embedder.embed

        def change_meanwhile(texts: Any) -> Any:
            monkeypatch.setattr(desk.embedder, "embed", embed)
            client.vector_stores.files.update(file_id, vector_store_id=store.id, attributes={"year": 2026})
            return embed(texts)

        monkeypatch.setattr(desk.embedder, "embed", change_meanwhile)
        headers = {"Authorization": f"Bearer {client.api_key}"}
        job = desk.http.post(f"/v1/vector_stores/{store.id}/reindex", headers=headers).json()
        desk.worker.settle()
        assert desk.http.get(f"/v1/jobs/{job['id']}", headers=headers).json()["status"] == "succeeded"
        assert names(client, store.id, filters={"type": "eq", "key": "year", "value": 2026}) == ["a.md"]

    def test_a_cancelled_job_leaves_its_file_cancelled(self, desk: Knowledge, client: OpenAI) -> None:
        store = client.vector_stores.create()
        headers = {"Authorization": f"Bearer {client.api_key}"}
        with desk.worker.hold():
            file = client.vector_stores.files.create(store.id, file_id=upload(client, "a.md", "# A\n\nBike."))
            job = desk.http.get("/v1/jobs", headers=headers).json()["data"][0]
            desk.http.post(f"/v1/jobs/{job['id']}/cancel", headers=headers).raise_for_status()
        assert client.vector_stores.files.poll(file.id, vector_store_id=store.id).status == "cancelled"
        again = client.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id)
        assert again.status == "completed"

    def test_a_file_taken_from_a_store_is_gone_there_and_stays_elsewhere(self, client: OpenAI) -> None:
        first, second = client.vector_stores.create(), client.vector_stores.create()
        file_id = index(client, first.id, "a.md", "# A\n\nReturn a bike.")
        client.vector_stores.files.create_and_poll(file_id, vector_store_id=second.id)
        assert client.vector_stores.files.delete(file_id, vector_store_id=first.id).deleted
        assert (names(client, first.id), names(client, second.id)) == ([], ["a.md"])
        with pytest.raises(openai.NotFoundError):
            client.vector_stores.files.retrieve(file_id, vector_store_id=first.id)
        assert client.files.retrieve(file_id).id == file_id


class TestSearch:
    @pytest.fixture
    def store(self, client: OpenAI) -> str:
        made = client.vector_stores.create()
        index_policies(client, made.id)
        return made.id

    @pytest.mark.parametrize(
        ("wanted", "years"),
        [
            ({"type": "eq", "key": "year", "value": 2025}, [2025]),
            ({"type": "ne", "key": "in_force", "value": True}, [2024, 2025]),
            ({"type": "gt", "key": "year", "value": 2024}, [2025, 2026]),
            ({"type": "gte", "key": "year", "value": 2025}, [2025, 2026]),
            ({"type": "lt", "key": "year", "value": 2025}, [2024]),
            ({"type": "lte", "key": "year", "value": 2025}, [2024, 2025]),
            ({"type": "in", "key": "region", "value": ["all", "south"]}, [2026]),
            ({"type": "nin", "key": "region", "value": ["all", "south"]}, [2024, 2025]),
            ({"type": "eq", "key": "nobody has this", "value": "x"}, []),
            (
                {
                    "type": "and",
                    "filters": [
                        {"type": "or", "filters": [{"type": "eq", "key": "year", "value": y} for y in (2024, 2026)]},
                        {"type": "eq", "key": "in_force", "value": True},
                    ],
                },
                [2026],
            ),
        ],
    )
    def test_every_operator_holds_a_search_and_an_answer_to_the_files_meant(
        self, client: OpenAI, store: str, wanted: Any, years: list[int]
    ) -> None:
        expected = [f"policy-{year}.md" for year in years]
        assert names(client, store, filters=wanted) == expected
        answer: Any = client.chat.completions.create(
            model="tandem/rag",
            messages=[{"role": "user", "content": "Within how many days may customers return a bike?"}],
            extra_body={"vector_store_ids": [store], "filters": wanted},
        )
        assert sorted(passage["filename"] for passage in answer.passages) == expected

    @pytest.mark.parametrize(
        ("wanted", "place"),
        [
            ({"type": "like", "key": "a", "value": "b"}, r"filters\.type"),
            ({"type": "gt", "key": "year", "value": "2025"}, r"filters\.value"),
            ({"type": "and", "filters": [{"type": "eq", "value": 1}]}, r"filters\.filters\[0\]\.key"),
            ("year > 2025", "filters must be an object"),
        ],
    )
    def test_a_malformed_filter_is_a_400_that_names_the_place(
        self, client: OpenAI, store: str, wanted: Any, place: str
    ) -> None:
        with pytest.raises(openai.BadRequestError, match=place) as caught:
            client.vector_stores.search(store, query="bike", filters=wanted)
        assert caught.value.param == "filters"
        with pytest.raises(openai.BadRequestError, match=place):
            client.chat.completions.create(
                model="tandem/rag", messages=[{"role": "user", "content": "?"}], extra_body={"filters": wanted}
            )

    def test_scores_lie_in_0_to_1_and_the_threshold_cuts_them(self, client: OpenAI, store: str) -> None:
        every = client.vector_stores.search(store, query="return policy of 2026").data
        scores = [hit.score for hit in every]
        assert scores == sorted(scores, reverse=True)
        assert all(0.0 <= score <= 1.0 for score in scores)
        assert every[0].filename == "policy-2026.md"
        limit = (scores[0] + scores[1]) / 2
        above = client.vector_stores.search(
            store, query="return policy of 2026", ranking_options={"ranker": "auto", "score_threshold": limit}
        )
        assert [hit.filename for hit in above] == ["policy-2026.md"]
        answer: Any = client.chat.completions.create(
            model="tandem/rag",
            messages=[{"role": "user", "content": "return policy of 2026"}],
            extra_body={"vector_store_ids": [store], "ranking_options": {"score_threshold": limit}},
        )
        assert [passage["filename"] for passage in answer.passages] == ["policy-2026.md"]

    @pytest.mark.parametrize("ranker", ["none", "auto", "default-2024-11-15"])
    def test_openais_rankers_are_known(self, client: OpenAI, store: str, ranker: Any) -> None:
        assert names(client, store, ranking_options={"ranker": ranker})

    def test_several_queries_are_searched_each_and_put_together(self, client: OpenAI, store: str) -> None:
        page: Any = client.vector_stores.search(store, query=["policy of 2024", "policy of 2026"], max_num_results=2)
        assert {hit.filename for hit in page.data} == {"policy-2024.md", "policy-2026.md"}
        assert page.search_query == ["policy of 2024", "policy of 2026"]
        assert (page.object, page.has_more, page.next_page) == ("vector_store.search_results.page", False, None)

    def test_a_query_is_rewritten_where_that_is_asked_for(self, client: OpenAI, store: str) -> None:
        asked = "Hello, could you please tell me about the policy of 2026? Thanks!"
        as_is: Any = client.vector_stores.search(store, query=asked)
        rewritten: Any = client.vector_stores.search(store, query=asked, rewrite_query=True)
        assert as_is.search_query == [asked]
        assert rewritten.search_query == ["the policy of 2026?"]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"query": ""}, "query"),
            ({"query": []}, "query"),
            ({"query": "x", "max_num_results": 51}, "max_num_results"),
            ({"query": "x", "ranking_options": {"score_threshold": 1.5}}, "ranking_options.score_threshold"),
            ({"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
            ({"query": "x", "ranking_options": {"hybrid_search": {}}}, "ranking_options.hybrid_search"),
            ({"query": "x", "top_k": 3}, "top_k"),
        ],
    )
    def test_what_a_search_cannot_honour_is_refused(
        self, desk: Knowledge, client: OpenAI, store: str, body: dict[str, Any], param: str
    ) -> None:
        answer = desk.http.post(
            f"/v1/vector_stores/{store}/search", json=body, headers={"Authorization": f"Bearer {client.api_key}"}
        )
        assert answer.status_code == 400
        assert param in answer.json()["error"]["param"]


class TestUploads:
    def test_a_file_has_every_field_of_openais(self, client: OpenAI) -> None:
        made = client.files.create(
            file=("a.md", b"# A\n\nText."), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        found = client.files.retrieve(made.id)
        assert (found.object, found.bytes, found.filename) == ("file", 10, "a.md")
        assert (found.purpose, found.status, found.status_details) == ("user_data", "processed", None)
        assert (found.expires_at or 0) - found.created_at == pytest.approx(3600, abs=1)
        assert client.files.wait_for_processing(made.id).status == "processed"
        assert client.files.content(made.id).read() == b"# A\n\nText."
        assert client.files.create(file=("b.md", b"B"), purpose="assistants").expires_at is None

    def test_a_list_is_paged_in_both_orders_and_by_purpose(self, client: OpenAI) -> None:
        ids = [upload(client, f"{n}.md", "text") for n in range(3)]
        other = client.files.create(file=("u.md", b"text"), purpose="user_data").id
        assert [file.id for file in client.files.list(limit=2)] == [other, *ids[::-1]]
        assert [file.id for file in client.files.list(limit=2, order="asc", purpose="assistants")] == ids
        assert [file.id for file in client.files.list(after=ids[1])] == [ids[0]]

    @pytest.mark.parametrize(
        ("purpose", "expires_after", "problem"),
        [
            ("batch", None, "purpose must be one of"),
            ("vision", None, "purpose must be one of"),
            ("assistants", {"anchor": "created_at", "seconds": 60}, "3600"),
            ("assistants", {"anchor": "last_active_at", "seconds": 3600}, "created_at"),
            ("assistants", {"seconds": 3600}, "anchor"),
        ],
    )
    def test_what_an_upload_cannot_have_is_refused(
        self, client: OpenAI, purpose: Any, expires_after: Any, problem: str
    ) -> None:
        more = {"expires_after": expires_after} if expires_after else {}
        with pytest.raises(openai.BadRequestError, match=problem):
            client.files.create(file=("a.md", b"text"), purpose=purpose, **more)
        assert client.files.list().data == []

    def test_an_expired_file_is_gone_everywhere_at_once_and_from_disk_at_the_next_tick(
        self, desk: Knowledge, client: OpenAI, workspace: str
    ) -> None:
        store = client.vector_stores.create()
        file_id = upload(
            client, "a.md", "# A\n\nReturn a bike.", expires_after={"anchor": "created_at", "seconds": 3600}
        )
        client.vector_stores.files.create_and_poll(file_id, vector_store_id=store.id)
        assert names(client, store.id) == ["a.md"]
        with desk.sessions.begin() as session:
            row = session.get_one(File, file_id)
            row.expires_at = now() - timedelta(seconds=1)
            path = Path(row.path)
        assert names(client, store.id) == []
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file_id)
        assert client.files.list().data == []
        assert path.exists()
        Expiry(desk.sessions, desk.writer).remove_expired()
        assert not path.exists()
        assert client.vector_stores.retrieve(store.id).file_counts.total == 0
        assert desk.retrieval.get(f"/collections/{workspace}/{store.id}").json()["count"] == 0
