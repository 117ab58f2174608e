"""The platform's services and database in the form that a fine-tuning run needs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from retrieval.model import Message, Passage
from services.contracts.generation import LoadRequest, PublishRequest, Route, RoutingTable, SlotBody, UnloadRequest
from services.contracts.retrieval import LONGEST_QUERY, SearchRequest
from services.database.engine import Sessions
from services.database.patience import outlast, patience
from services.database.tables import File, Job, Store, StoreFile, Version
from services.domain.lineage import add_version_origins, forget_origins
from services.domain.versions import hold
from services.kit.http import client
from services.worker.fine_tuning.code_version import code_version
from services.worker.retrieval_client import RetrievalWriter
from training.errors import Cancelled, EngineUnavailable
from training.judging.questions import Completion
from training.judging.verdict import GateReport
from training.progress import MustStop
from training.publishing import report
from training.weights.candidate import Candidate
from training.weights.registry import read_manifest, weights_fingerprint

POLL_SECONDS = 1.0
ANSWER_SECONDS = 300.0
LEARNED = ("sides", "general")
"""What a run says of what it trained on, example by example: for later runs, so it stands in the lineage."""


class LiveRetriever:
    """The retrieval service, asked of the workspace's default store as the gateway asks it."""

    def __init__(self, sessions: Sessions, http: RetrievalWriter, workspace_id: str) -> None:
        self._sessions, self._http, self._workspace_id = sessions, http, workspace_id
        with sessions() as session:
            default = Store.workspace_id == workspace_id, Store.is_default.is_(True), Store.deleted_at.is_(None)
            self._store_ids = list(session.scalars(select(Store.id).where(*default)))

    def passages(
        self, question: str, top_k: int, document: str | None = None, history: Sequence[str] = ()
    ) -> list[Passage]:
        file_ids = self._file_ids(document) if document else None
        if not self._store_ids or file_ids == []:
            return []
        request = SearchRequest(
            workspace_id=self._workspace_id,
            store_ids=self._store_ids,
            query=question[:LONGEST_QUERY],
            history=list(history),
            top_k=top_k,
            file_ids=file_ids,
        )
        return self._http.search(request)

    def _file_ids(self, filename: str) -> list[str]:
        query = select(File.id).join(StoreFile, StoreFile.file_id == File.id)
        query = query.where(File.filename == filename, File.deleted_at.is_(None), StoreFile.deleted.is_(False))
        with self._sessions() as session:
            return list(session.scalars(query.where(StoreFile.store_id.in_(self._store_ids))))


class VersionList:
    """The versions table, for the candidate of one job."""

    def __init__(self, sessions: Sessions, job: Job) -> None:
        self._sessions, self._job = sessions, job

    def candidate(self, candidate: Candidate) -> None:
        lineage = self._lineage(candidate)
        run = {name: value for name, value in candidate.run.items() if name not in LEARNED}
        with self._sessions.begin() as session:
            hold(session, self._job.workspace_id)
            name = f"ft:{candidate.base_model}:{self._job.request['suffix']}:{self._next_number(session)}"
            session.add(
                Version(
                    id=candidate.version_id,
                    workspace_id=self._job.workspace_id,
                    name=name,
                    base_model=candidate.base_model,
                    job_id=self._job.id,
                    path=str(candidate.path),
                    dataset_hash=candidate.dataset_hash,
                    template_fingerprint=candidate.template_fingerprint,
                    settings=run,
                    lineage=lineage,
                    status="candidate",
                )
            )
            begun_with = self._job.request.get("from_version")
            add_version_origins(session, self._job.workspace_id, candidate.version_id, run, begun_with)

    def _lineage(self, candidate: Candidate) -> dict[str, Any]:
        manifest, data_set = read_manifest(candidate.path), candidate.run.get("dataset", {})
        weights = {"sha256": weights_fingerprint(manifest), "tensors": len(manifest.tensors), "files": manifest.files}
        asked = self._job.request
        made_by = {"code_version": code_version(), "seed": asked["seed"], "from_version": asked.get("from_version")}
        learned = {name: candidate.run.get(name) for name in LEARNED}
        return {**made_by, "data_set_id": data_set.get("data_set_id"), **learned, "weights": weights}

    def _next_number(self, session: Session) -> int:
        """One more than the highest number, not the count: rows of cancelled runs' candidates are deleted."""
        names = session.scalars(select(Version.name).where(Version.workspace_id == self._job.workspace_id))
        return max((int(name.rpartition(":")[2]) for name in names), default=0) + 1

    def name(self, version_id: str) -> str | None:
        with self._sessions() as session:
            version = session.get(Version, version_id)
        return version.name if version else None

    def judged(self, version_id: str, metrics: Mapping[str, Any], gate: GateReport) -> None:
        values: dict[str, Any] = {"metrics": dict(metrics), "gate": report(gate)}
        self._change(version_id, **values, **({} if gate.passed else {"status": "refused"}))

    def published(self, version_id: str) -> None:
        self._change(version_id, status="published")

    def discard(self, version_id: str) -> None:
        with self._sessions.begin() as session:
            gone = delete(Version).where(Version.id == version_id, Version.status == "candidate")
            if session.execute(gone).rowcount:  # type: ignore[attr-defined]
                forget_origins(session, version_id)

    def _change(self, version_id: str, **values: Any) -> None:
        def change() -> None:
            with self._sessions.begin() as session:
                session.execute(update(Version).where(Version.id == version_id).values(**values))

        outlast(change, patience(self._sessions))


class SlotAnswerer:
    """A served model, asked without the gateway: the evaluation is of the weights alone."""

    def __init__(self, route: Route) -> None:
        self.route, self._http = route, client(route.address, "", ANSWER_SECONDS)

    def answer(self, messages: list[Message], max_tokens: int) -> Completion:
        asked = {"model": self.route.model, "messages": [asdict(message) for message in messages]}
        response = self._http.post("/v1/chat/completions", json={**asked, "max_tokens": max_tokens, "temperature": 0.0})
        response.raise_for_status()
        body = response.json()
        choice = body["choices"][0]
        tokens = int(body["usage"]["completion_tokens"])
        return Completion(choice["message"]["content"] or "", choice["finish_reason"], tokens)


class GenerationSlots:
    """The generation service's slots, for one workspace."""

    def __init__(self, http: httpx.Client, workspace_id: str, load_timeout: float) -> None:
        self._http, self._workspace_id, self._load_timeout = http, workspace_id, load_timeout

    def load(self, version_id: str, must_stop: MustStop) -> None:
        """Raises EngineUnavailable if the slot fails or does not answer in time, Cancelled."""
        deadline = time.monotonic() + self._load_timeout
        asked = LoadRequest(workspace_id=self._workspace_id, version_id=version_id, replace=True)
        while self._order("/load", asked, refused=409) == 409:
            self._pause(deadline, must_stop, "another version is being loaded")
        while version_id not in self._table().versions:
            self._raise_on_failure(version_id)
            self._pause(deadline, must_stop, "the candidate did not answer")

    def answerer(self, version_id: str) -> SlotAnswerer:
        route = self._table().versions.get(version_id)
        if route is None:
            raise EngineUnavailable(f"No slot serves the version {version_id} any more.")
        return SlotAnswerer(route)

    def baseline(self) -> tuple[SlotAnswerer, bool]:
        table = self._table()
        live = table.live.get(self._workspace_id)
        if live is None and table.base is None:
            raise EngineUnavailable("Neither tuned nor base weights are served, so there is nothing to compare with.")
        return SlotAnswerer(live or table.base), live is not None  # type: ignore[arg-type]

    def publish(self, version_id: str) -> None:
        reason = "It passed the gate."
        asked = PublishRequest(workspace_id=self._workspace_id, version_id=version_id, why="gate", reason=reason)
        self._order("/publish", asked)

    def unload(self, version_id: str) -> None:
        self._order("/unload", UnloadRequest(workspace_id=self._workspace_id, version_id=version_id))

    def _pause(self, deadline: float, must_stop: MustStop, why: str) -> None:
        if must_stop():
            raise Cancelled("The run was cancelled while its candidate was being loaded.")
        if time.monotonic() > deadline:
            raise EngineUnavailable(f"No slot took the candidate within {self._load_timeout:.0f} s: {why}.")
        time.sleep(POLL_SECONDS)

    def _raise_on_failure(self, version_id: str) -> None:
        response = self._http.get("/slots")
        response.raise_for_status()
        content = response.json()
        for row in content if isinstance(content, list) else content["slots"]:
            slot = SlotBody.model_validate(row)
            if slot.version_id == version_id and slot.state == "failed":
                raise EngineUnavailable(f"The slot {slot.name} could not serve the candidate: {slot.error}")

    def _table(self) -> RoutingTable:
        try:
            response = self._http.get("/routing")
            response.raise_for_status()
        except httpx.HTTPError as error:
            raise EngineUnavailable(f"The generation service does not answer: {error}") from error
        return RoutingTable.model_validate_json(response.content)

    def _order(self, path: str, body: LoadRequest | PublishRequest | UnloadRequest, refused: int = 0) -> int:
        try:
            response = self._http.post(path, json=body.model_dump())
        except httpx.HTTPError as error:
            raise EngineUnavailable(f"The generation service does not answer: {error}") from error
        if response.status_code >= 400 and response.status_code != refused:
            raise EngineUnavailable(f"The generation service refused {path}: {response.text[:500]}")
        return response.status_code


def version_folder(versions: Path, workspace_id: str) -> Path:
    """The folder of a workspace's versions."""
    return versions / workspace_id
