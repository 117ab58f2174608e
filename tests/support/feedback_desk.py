"""A gateway with answers in its journal, for tests of feedback and of the examples that come of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from services.database.tables import ApiKey, Turn
from services.domain.keys import digest
from services.gateway.feedback.feedback import Verdicts
from services.gateway.feedback.proposals import Proposing
from tests.gateway_fakes import Gateway

SCOPES = ["ask", "knowledge", "voice"]
MESSAGES = [
    {"role": "system", "content": "Answer from the passages."},
    {"role": "user", "content": "Do you sell bikes?"},
    {"role": "assistant", "content": "Yes, we do [2]."},
    {"role": "user", "content": "Passages:\n\n[1] Refunds\n30 days.\n\nQuestion: How long may I return one?"},
]


class FeedbackDesk:
    """A gateway with one answer in each workspace's journal, and a second key in the first."""

    def __init__(self, folder: Path) -> None:
        self.gateway = Gateway(folder)
        self.sessions = self.gateway.sessions
        with self.sessions.begin() as session:
            for name in ("one", "two"):
                session.get_one(ApiKey, f"key-{name}").scopes = SCOPES
                self.answer(session, name, f"chat-{name}")
            second = ApiKey(id="key-second", workspace_id="one", name="s", digest=digest("second"), prefix="s")
            second.scopes, second.requests_per_minute, second.tokens_per_minute = SCOPES, 100, 100_000
            session.add(second)

    @staticmethod
    def answer(session: Any, workspace_id: str, turn_id: str) -> None:
        empty: dict[str, Any] = {"passages": [], "citations": [], "timings": {}, "versions": {}}
        session.add(
            Turn(id=turn_id, workspace_id=workspace_id, model="tandem/rag", mode="rag", messages=MESSAGES, **empty,
                 question="How long may I return one?", answer="You can do it in 30 days [1].")
        )  # fmt: skip

    @staticmethod
    def response(session: Any, turn_id: str) -> None:
        """Keep an answer in the Responses shape too."""
        session.get_one(Turn, turn_id).response = {"body": {"previous_response_id": None}, "input": []}

    def http(self, key: str = "one") -> TestClient:
        return self.gateway.http(key)

    def rate(self, rating: str = "down", key: str = "one", **more: Any) -> Any:
        body = {"answer_id": "chat-one", "rating": rating, **more}
        return self.http(key).post("/v1/feedback", json=body)

    def examples(self, **wanted: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.http().get("/v1/examples", params={"order": "asc", **wanted}).json()["data"]
        return found

    def proposing(self, proposing: Proposing) -> None:
        parts = self.gateway.parts
        self.gateway.replace(verdicts=Verdicts(self.sessions, parts.journal, parts.files, proposing))
