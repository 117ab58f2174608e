"""Uploaded files, through the stock `openai` package."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI

from services.database.tables import File, now
from services.worker.files.expiry import Expiry
from tests.integration.gateway.stores.filling import names, upload
from tests.knowledge import Knowledge


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
