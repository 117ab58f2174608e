"""The files of vector stores, through the stock `openai` package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from services.contracts.retrieval import TidyRequest
from services.database.tables import File, Store
from tests.integration.gateway.stores.filling import index, names, upload
from tests.knowledge import Knowledge


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
