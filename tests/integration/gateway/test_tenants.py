"""Another workspace's things do not exist for a key: every route of the gateway, as its OpenAPI document lists them.

A route that is new needs a recipe here, which says how to ask it for somebody else's ids, or a place among those that
take none; without, a test fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import pytest

from services.database.tables import Canary, Job, Store, TunedEmbedder, Turn, Version
from services.domain.checkpoints import record_checkpoint
from services.domain.jobs import new_job
from tests.knowledge import Knowledge, knowledge

BUCKET = "s3://papers/2026"


def examples(word: str) -> bytes:
    rows = []
    for n in range(12):
        asked, answered = {"role": "user", "content": f"{word} {n}?"}, {"role": "assistant", "content": f"Answer {n}."}
        rows.append(json.dumps({"messages": [asked, answered]}).encode() + b"\n")
    return b"".join(rows)


EXAMPLES, OTHERS = examples("Question"), examples("Another")


@dataclass(frozen=True)
class Ids:
    """One thing of each kind, all of one workspace. The store holds the file; the batch brought it there."""

    store: str
    file: str
    training_file: str
    validation_file: str
    batch: str
    job: str
    paused_job: str
    tuning_job: str
    paused_tuning: str
    checkpoint: str
    version: str
    canary: str
    schedule: str
    answer: str
    source: str
    embedder: str
    feedback: str
    example: str
    data_set: str
    key: str
    workspace: str


NOTHING = Ids(
    "vs_nothing",
    "file-nothing",
    "file-none",
    "file-absent",
    "vsfb_nothing",
    "job-absent",
    "job-paused-nothing",
    "ftjob-nothing",
    "ftjob-paused-none",
    "ftckpt-nothing",
    "ft:base:none:1",
    "ft:base:none:2",
    "sched_nothing",
    "chat-none",
    "src_nothing",
    "emb-nothing",
    "fb-nothing",
    "ex-nothing",
    "ds-nothing",
    "key_nothing",
    "ws_nothing",
)
Call = tuple[str, dict[str, Any]]
"""A path and what goes with it. In a recipe, `{their.file}` stands for somebody's id, `{own.file}` for the caller's."""


def chat(**more: Any) -> dict[str, Any]:
    body = {"model": "tandem/rag", "messages": [{"role": "user", "content": "How many days?"}], **more}
    return {"json": body}


def response(**more: Any) -> dict[str, Any]:
    return {"json": {"model": "tandem/rag", "input": "How many days?", **more}}


def wrong_citation(answer: str, file: str) -> dict[str, str]:
    return {"answer_id": answer, "rating": "down", "reason": "wrong_citation", "correct_file_id": file}


RECIPES: dict[str, list[Call]] = {
    "POST /v1/chat/completions": [
        ("/v1/chat/completions", chat(vector_store_ids=["{their.store}"])),
        ("/v1/chat/completions", chat(vector_store_ids=["{own.store}", "{their.store}"])),
        ("/v1/chat/completions", chat(model="{their.version}")),
    ],
    "POST /v1/responses": [
        ("/v1/responses", response(tools=[{"type": "file_search", "vector_store_ids": ["{their.store}"]}])),
        ("/v1/responses", response(previous_response_id="{their.answer}")),
        ("/v1/responses", response(model="{their.version}")),
    ],
    "GET /v1/responses/{response_id}": [("/v1/responses/{their.answer}", {})],
    "DELETE /v1/responses/{response_id}": [("/v1/responses/{their.answer}", {})],
    "GET /v1/responses/{response_id}/input_items": [("/v1/responses/{their.answer}/input_items", {})],
    "GET /v1/models/{name}": [("/v1/models/{their.version}", {})],
    "POST /v1/feedback": [
        ("/v1/feedback", {"json": {"answer_id": "{their.answer}", "rating": "up"}}),
        ("/v1/feedback", {"json": wrong_citation("{own.answer}", "{their.file}")}),
    ],
    "GET /v1/feedback": [("/v1/feedback", {"params": {"after": "{their.feedback}"}})],
    "GET /v1/answers/{answer_id}": [("/v1/answers/{their.answer}", {})],
    "DELETE /v1/answers/{answer_id}": [("/v1/answers/{their.answer}", {})],
    "GET /v1/examples": [
        ("/v1/examples", {"params": {"after": "{their.example}"}}),
        ("/v1/examples", {"params": {"before": "{their.example}"}}),
    ],
    "GET /v1/examples/{example_id}": [("/v1/examples/{their.example}", {})],
    "POST /v1/examples/{example_id}": [("/v1/examples/{their.example}", {"json": {"answer": "Mine."}})],
    "DELETE /v1/examples/{example_id}": [("/v1/examples/{their.example}", {})],
    "POST /v1/examples/review": [
        ("/v1/examples/review", {"json": {"ids": ["{their.example}"], "status": "rejected"}}),
        ("/v1/examples/review", {"json": {"ids": ["{own.example}", "{their.example}"], "status": "rejected"}}),
    ],
    "POST /v1/examples/import": [("/v1/examples/import", {"json": {"file_id": "{their.training_file}"}})],
    "GET /v1/files": [("/v1/files", {"params": {"after": "{their.file}"}})],
    "GET /v1/files/{file_id}": [("/v1/files/{their.file}", {})],
    "GET /v1/files/{file_id}/content": [("/v1/files/{their.file}/content", {})],
    "GET /v1/files/{file_id}/lineage": [("/v1/files/{their.file}/lineage", {})],
    "GET /v1/answers/{answer_id}/lineage": [("/v1/answers/{their.answer}/lineage", {})],
    "POST /v1/data_sets": [("/v1/data_sets", {"json": {"file_id": "{their.training_file}"}})],
    "GET /v1/data_sets/{data_set_id}": [("/v1/data_sets/{their.data_set}", {})],
    "DELETE /v1/data_sets/{data_set_id}": [("/v1/data_sets/{their.data_set}", {})],
    "DELETE /v1/files/{file_id}": [("/v1/files/{their.file}", {})],
    "POST /v1/vector_stores": [("/v1/vector_stores", {"json": {"file_ids": ["{own.file}", "{their.file}"]}})],
    "GET /v1/vector_stores": [
        ("/v1/vector_stores", {"params": {"after": "{their.store}"}}),
        ("/v1/vector_stores", {"params": {"before": "{their.store}"}}),
    ],
    "GET /v1/vector_stores/{store_id}": [("/v1/vector_stores/{their.store}", {})],
    "POST /v1/vector_stores/{store_id}": [("/v1/vector_stores/{their.store}", {"json": {"name": "mine"}})],
    "DELETE /v1/vector_stores/{store_id}": [("/v1/vector_stores/{their.store}", {})],
    "POST /v1/vector_stores/{store_id}/search": [
        ("/v1/vector_stores/{their.store}/search", {"json": {"query": "days"}}),
    ],
    "POST /v1/vector_stores/{store_id}/reindex": [("/v1/vector_stores/{their.store}/reindex", {})],
    "POST /v1/vector_stores/{store_id}/rollback": [("/v1/vector_stores/{their.store}/rollback", {})],
    "POST /v1/vector_stores/{store_id}/reconcile": [("/v1/vector_stores/{their.store}/reconcile", {})],
    "GET /v1/vector_stores/{store_id}/index": [("/v1/vector_stores/{their.store}/index", {})],
    "POST /v1/vector_stores/{store_id}/files": [
        ("/v1/vector_stores/{their.store}/files", {"json": {"file_id": "{own.file}"}}),
        ("/v1/vector_stores/{own.store}/files", {"json": {"file_id": "{their.file}"}}),
    ],
    "GET /v1/vector_stores/{store_id}/files": [
        ("/v1/vector_stores/{their.store}/files", {}),
        ("/v1/vector_stores/{own.store}/files", {"params": {"after": "{their.file}"}}),
    ],
    "GET /v1/vector_stores/{store_id}/files/{file_id}": [
        ("/v1/vector_stores/{their.store}/files/{their.file}", {}),
        ("/v1/vector_stores/{own.store}/files/{their.file}", {}),
    ],
    "POST /v1/vector_stores/{store_id}/files/{file_id}": [
        ("/v1/vector_stores/{their.store}/files/{their.file}", {"json": {"attributes": {"mine": True}}}),
        ("/v1/vector_stores/{own.store}/files/{their.file}", {"json": {"attributes": {"mine": True}}}),
    ],
    "DELETE /v1/vector_stores/{store_id}/files/{file_id}": [
        ("/v1/vector_stores/{their.store}/files/{their.file}", {}),
        ("/v1/vector_stores/{own.store}/files/{their.file}", {}),
    ],
    "GET /v1/vector_stores/{store_id}/files/{file_id}/content": [
        ("/v1/vector_stores/{their.store}/files/{their.file}/content", {}),
        ("/v1/vector_stores/{own.store}/files/{their.file}/content", {}),
    ],
    "POST /v1/vector_stores/{store_id}/file_batches": [
        ("/v1/vector_stores/{their.store}/file_batches", {"json": {"file_ids": ["{own.file}"]}}),
        ("/v1/vector_stores/{own.store}/file_batches", {"json": {"file_ids": ["{own.training_file}", "{their.file}"]}}),
        ("/v1/vector_stores/{own.store}/file_batches", {"json": {"files": [{"file_id": "{their.file}"}]}}),
    ],
    "GET /v1/vector_stores/{store_id}/file_batches/{batch_id}": [
        ("/v1/vector_stores/{their.store}/file_batches/{their.batch}", {}),
        ("/v1/vector_stores/{own.store}/file_batches/{their.batch}", {}),
    ],
    "POST /v1/vector_stores/{store_id}/file_batches/{batch_id}/cancel": [
        ("/v1/vector_stores/{their.store}/file_batches/{their.batch}/cancel", {}),
        ("/v1/vector_stores/{own.store}/file_batches/{their.batch}/cancel", {}),
    ],
    "GET /v1/vector_stores/{store_id}/file_batches/{batch_id}/files": [
        ("/v1/vector_stores/{their.store}/file_batches/{their.batch}/files", {}),
        ("/v1/vector_stores/{own.store}/file_batches/{their.batch}/files", {}),
        ("/v1/vector_stores/{own.store}/file_batches/{own.batch}/files", {"params": {"after": "{their.file}"}}),
    ],
    "POST /v1/fine_tuning/jobs": [
        ("/v1/fine_tuning/jobs", {"json": {"model": "base", "training_file": "{their.training_file}"}}),
        (
            "/v1/fine_tuning/jobs",
            {
                "json": {
                    "model": "base",
                    "training_file": "{own.training_file}",
                    "validation_file": "{their.validation_file}",
                }
            },
        ),
    ],
    "GET /v1/fine_tuning/jobs": [("/v1/fine_tuning/jobs", {"params": {"after": "{their.tuning_job}"}})],
    "GET /v1/fine_tuning/jobs/{job_id}": [("/v1/fine_tuning/jobs/{their.tuning_job}", {})],
    "POST /v1/fine_tuning/jobs/{job_id}/cancel": [
        ("/v1/fine_tuning/jobs/{their.tuning_job}/cancel", {}),
    ],
    "POST /v1/fine_tuning/jobs/{job_id}/pause": [("/v1/fine_tuning/jobs/{their.paused_tuning}/pause", {})],
    "POST /v1/fine_tuning/jobs/{job_id}/resume": [("/v1/fine_tuning/jobs/{their.paused_tuning}/resume", {})],
    "GET /v1/fine_tuning/jobs/{job_id}/checkpoints": [
        ("/v1/fine_tuning/jobs/{their.tuning_job}/checkpoints", {}),
        ("/v1/fine_tuning/jobs/{own.tuning_job}/checkpoints", {"params": {"after": "{their.checkpoint}"}}),
    ],
    "GET /v1/fine_tuning/jobs/{job_id}/events": [
        ("/v1/fine_tuning/jobs/{their.tuning_job}/events", {}),
    ],
    "GET /v1/versions": [("/v1/versions", {"params": {"after": "{their.version}"}})],
    "GET /v1/versions/{name}": [("/v1/versions/{their.version}", {})],
    "DELETE /v1/versions/{name}": [("/v1/versions/{their.version}", {})],
    "POST /v1/versions/{name}/publish": [("/v1/versions/{their.version}/publish", {})],
    "POST /v1/versions/{name}/pin": [("/v1/versions/{their.version}/pin", {})],
    "POST /v1/versions/{name}/unpin": [("/v1/versions/{their.version}/unpin", {})],
    "POST /v1/versions/{name}/canary": [("/v1/versions/{their.version}/canary", {"json": {"share": 0.1}})],
    "DELETE /v1/versions/{name}/canary": [("/v1/versions/{their.canary}/canary", {})],
    "POST /v1/schedules": [
        (
            "/v1/schedules",
            {"json": {"name": "x", "schedule": {"cron": "0 3 * * *"}, "training_file": "{their.training_file}"}},
        ),
    ],
    "GET /v1/schedules/{schedule_id}": [("/v1/schedules/{their.schedule}", {})],
    "POST /v1/schedules/{schedule_id}": [
        ("/v1/schedules/{their.schedule}", {"json": {"name": "mine"}}),
        ("/v1/schedules/{own.schedule}", {"json": {"training_file": "{their.training_file}"}}),
    ],
    "POST /v1/schedules/{schedule_id}/run": [("/v1/schedules/{their.schedule}/run", {})],
    "DELETE /v1/schedules/{schedule_id}": [("/v1/schedules/{their.schedule}", {})],
    "POST /v1/sources": [
        ("/v1/sources", {"json": {"kind": "bucket", "location": BUCKET, "vector_store_id": "{their.store}"}}),
    ],
    "GET /v1/sources/{source_id}": [("/v1/sources/{their.source}", {})],
    "POST /v1/sources/{source_id}": [("/v1/sources/{their.source}", {"json": {"name": "mine"}})],
    "DELETE /v1/sources/{source_id}": [("/v1/sources/{their.source}", {})],
    "POST /v1/sources/{source_id}/sync": [("/v1/sources/{their.source}/sync", {})],
    "GET /v1/sources/{source_id}/documents": [("/v1/sources/{their.source}/documents", {})],
    "POST /v1/embedders": [("/v1/embedders", {"json": {"vector_store_id": "{their.store}"}})],
    "GET /v1/embedders/{embedder_id}": [("/v1/embedders/{their.embedder}", {})],
    "GET /v1/jobs/{job_id}": [("/v1/jobs/{their.job}", {})],
    "POST /v1/jobs/{job_id}/cancel": [("/v1/jobs/{their.job}/cancel", {})],
    "POST /v1/jobs/{job_id}/pause": [("/v1/jobs/{their.paused_job}/pause", {})],
    "POST /v1/jobs/{job_id}/resume": [("/v1/jobs/{their.paused_job}/resume", {})],
    "GET /v1/jobs/{job_id}/events": [("/v1/jobs/{their.job}/events", {})],
    "POST /v1/keys": [("/v1/keys", {"json": {"name": "mine", "workspace_id": "{their.workspace}"}})],
    "GET /v1/keys": [
        ("/v1/keys", {"params": {"after": "{their.key}"}}),
        ("/v1/keys", {"params": {"before": "{their.key}"}}),
        ("/v1/keys", {"params": {"workspace_id": "{their.workspace}"}}),
    ],
    "GET /v1/keys/{key_id}": [("/v1/keys/{their.key}", {})],
    "POST /v1/keys/{key_id}/revoke": [("/v1/keys/{their.key}/revoke", {})],
}
NO_IDS = {
    "GET /health",
    "GET /ready",
    "GET /metrics",
    "GET /v1/models",
    "POST /v1/embeddings",
    "POST /v1/files",
    "GET /v1/versions/history",
    "POST /v1/versions/rollback",
    "GET /v1/schedules",
    "GET /v1/jobs",
    "GET /v1/sources",
    "GET /v1/data_sets",
    "GET /v1/embedders",
    "POST /v1/examples",
    "POST /v1/examples/export",
    "GET /v1/processes",
    "GET /v1/workspaces",
    "POST /v1/workspaces",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knowledge]:
    with pytest.MonkeyPatch.context() as patch, knowledge(tmp_path_factory.mktemp("tenants"), patch) as running:
        yield running


@dataclass
class Tenant:
    desk: Knowledge
    workspace_id: str

    def __post_init__(self) -> None:
        self.key = self.desk.key(self.workspace_id)

    def ask(self, route: str, call: Call) -> Any:
        path, options = call
        return self.desk.http.request(
            route.split()[0], path, headers={"Authorization": f"Bearer {self.key}"}, **options
        )

    def made(self, name: str) -> Ids:
        """New things of this workspace; `name` tells them from those of others."""
        client = self.desk.client(self.workspace_id)
        text = f"# {name}\n\nHow many days a {name} takes.".encode()
        file = client.files.create(file=(f"{name}.md", text), purpose="assistants").id
        training = client.files.create(file=(f"{name}.jsonl", EXAMPLES), purpose="fine-tune").id
        store = client.vector_stores.create(name=name).id
        batch = client.vector_stores.file_batches.create_and_poll(store, file_ids=[file])
        assert batch.file_counts.completed == 1
        tuning = client.fine_tuning.jobs.create(model="base", training_file=training).id
        validation = client.files.create(file=(f"{name}-v.jsonl", OTHERS), purpose="fine-tune").id
        waiting = client.fine_tuning.jobs.create(model="base", training_file=training).id
        client.fine_tuning.jobs.pause(waiting)
        jobs = self.ask("GET", ("/v1/jobs", {})).json()["data"]
        job = next(one["id"] for one in jobs if one["request"].get("store_id") == store)
        paused = self._indexes(store, client.vector_stores.create(name="empty").id)
        data_set = self.ask("POST", ("/v1/data_sets", {"json": {"file_id": training}})).json()["id"]
        version, canary, answer, embedder = f"ft:base:{name}:1", f"ft:base:{name}:2", f"chatcmpl-{name}", f"emb-{name}"
        self._record(answer, embedder)
        self._versions(version, canary)
        times = {"name": name, "schedule": {"cron": "0 3 * * *"}, "training_file": training}
        schedule = self.ask("POST", ("/v1/schedules", {"json": times})).json()["id"]
        asked = {"json": {"kind": "bucket", "location": BUCKET, "vector_store_id": store}}
        source = self.ask("POST", ("/v1/sources", asked)).json()["id"]
        corrected = {"answer_id": answer, "rating": "down", "reason": "wrong_fact", "correction": "It takes ten."}
        feedback = self.ask("POST", ("/v1/feedback", {"json": corrected})).json()["id"]
        example = self.ask("GET", ("/v1/examples", {})).json()["data"][0]["id"]
        key = self.ask("POST", ("/v1/keys", {"json": {"name": name}})).json()["id"]
        return Ids(
            store=store,
            file=file,
            training_file=training,
            validation_file=validation,
            batch=batch.id,
            job=job,
            paused_job=paused,
            tuning_job=tuning,
            paused_tuning=waiting,
            checkpoint=self._checkpoint(tuning),
            version=version,
            canary=canary,
            schedule=schedule,
            answer=answer,
            source=source,
            embedder=embedder,
            feedback=feedback,
            example=example,
            data_set=data_set,
            key=key,
            workspace=self.workspace_id,
        )

    def _checkpoint(self, job_id: str) -> str:
        metrics = dict.fromkeys(("train_loss", "train_accuracy", "valid_loss", "valid_accuracy"), 0.5)
        with self.desk.sessions() as session:
            record_checkpoint(self.desk.sessions, session.get_one(Job, job_id), 25, metrics)
        listed = self.ask("GET", (f"/v1/fine_tuning/jobs/{job_id}/checkpoints", {})).json()
        return str(listed["data"][0]["id"])

    def _indexes(self, store: str, empty_store: str) -> str:
        """A build to go back to; and a paused re-indexing, of another store, since a store has one at a time."""
        job = new_job(self.workspace_id, "reindex", {"store_id": empty_store}, 60.0)
        job.status = "paused"
        with self.desk.sessions.begin() as session:
            session.add(job)
            session.get_one(Store, store).previous_collection_id = "col_before"
            return job.id

    def _versions(self, *names: str) -> None:
        """Versions, of which the last is tried as a canary."""
        columns = {"base_model": "base", "path": "", "dataset_hash": "", "template_fingerprint": "", "settings": {}}
        mine = {"workspace_id": self.workspace_id}
        with self.desk.sessions.begin() as session:
            for name in names:
                session.add(Version(id=f"id-of-{name}", name=name, status="published", **columns, **mine))
            canary = Canary(id=f"canary-{names[-1]}", version_id=f"id-of-{names[-1]}", **mine)
            canary.share, canary.margin, canary.min_requests = 0.1, 0.1, 10
            session.add(canary)

    def _record(self, answer: str, embedder: str) -> None:
        empty: dict[str, Any] = {"timings": {}, "versions": {}, "messages": [], "passages": [], "citations": []}
        with self.desk.sessions.begin() as session:
            session.add(
                TunedEmbedder(
                    id=embedder, workspace_id=self.workspace_id, base="base", path="", report={}, status="passed"
                )
            )
            session.add(
                Turn(
                    id=answer,
                    workspace_id=self.workspace_id,
                    model="tandem/rag",
                    mode="rag",
                    question="?",
                    answer="!",
                    response={"body": {"previous_response_id": None, "output": []}, "input": []},
                    **empty,
                )
            )


@pytest.fixture(scope="module")
def owner(desk: Knowledge) -> Tenant:
    return Tenant(desk, "owner")


@pytest.fixture(scope="module")
def stranger(desk: Knowledge) -> Tenant:
    return Tenant(desk, "stranger")


@pytest.fixture(scope="module")
def strangers_own(stranger: Tenant) -> Ids:
    return stranger.made("stranger")


def routes(desk: Knowledge) -> set[str]:
    paths = desk.gateway.openapi()["paths"]
    return {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}


def test_every_route_of_the_api_has_a_recipe_or_takes_no_ids(desk: Knowledge) -> None:
    known = set(RECIPES) | NO_IDS
    assert routes(desk) - known == set(), "give the new route a recipe above, or list it as one that takes no ids"
    assert known - routes(desk) == set(), "these routes are gone"
    assert not any("{" in route for route in NO_IDS)


@pytest.mark.parametrize("route", sorted(RECIPES))
def test_somebody_elses_ids_answer_as_ids_that_do_not_exist(
    owner: Tenant, stranger: Tenant, strangers_own: Ids, route: str
) -> None:
    name = "".join(letter for letter in route.lower() if letter.isalnum())
    theirs = owner.made(name)
    for recipe in RECIPES[route]:
        refused = stranger.ask(route, filled(recipe, theirs, strangers_own))
        missing = stranger.ask(route, filled(recipe, NOTHING, strangers_own))
        assert refused.status_code == missing.status_code == 404
        assert masked(refused.text, theirs) == masked(missing.text, NOTHING)
    for recipe in RECIPES[route]:  # each recipe does work for the one whose ids they are
        allowed = owner.ask(route, filled(recipe, theirs, theirs))
        assert allowed.status_code < 400 or allowed.status_code == 503, allowed.text
        if route.startswith("DELETE"):
            break


def filled(recipe: Any, their: Ids, own: Ids) -> Any:
    """The recipe with ids in place of their names."""
    if isinstance(recipe, str):
        return recipe.format(their=their, own=own)
    if isinstance(recipe, dict):
        return {key: filled(value, their, own) for key, value in recipe.items()}
    if isinstance(recipe, list | tuple):
        return type(recipe)(filled(one, their, own) for one in recipe)
    return recipe


def masked(text: str, ids: Ids) -> str:
    for field, value in asdict(ids).items():
        text = text.replace(value, f"<{field}>")
    return text


@pytest.mark.parametrize("route", sorted(route for route in [*RECIPES, *NO_IDS] if "GET" in route and "{" not in route))
def test_no_list_shows_what_is_somebody_elses(owner: Tenant, stranger: Tenant, route: str) -> None:
    name = "list" + "".join(letter for letter in route.lower() if letter.isalnum())
    theirs = owner.made(name)
    answer = stranger.ask(route, (route.split()[1], {}))
    assert [value for value in asdict(theirs).values() if value in answer.text] == []


def test_a_search_of_ones_own_store_never_shows_a_passage_of_somebody_elses(
    owner: Tenant, stranger: Tenant, strangers_own: Ids
) -> None:
    owner.made("secret")
    body = {"query": "secret days takes", "filters": {"type": "ne", "key": "team", "value": "x"}, "max_num_results": 50}
    found = stranger.ask("POST", (f"/v1/vector_stores/{strangers_own.store}/search", {"json": body})).json()["data"]
    assert {hit["filename"] for hit in found} == {"stranger.md"}
