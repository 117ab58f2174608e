"""Fine-tuning jobs through the stock `openai` package, up to the point where a worker would take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from services.database.tables import Version, now
from services.domain.checkpoints import record_checkpoint
from services.domain.jobs import Jobs
from services.domain.versions import protected, remove_version
from tests.knowledge import Knowledge, knowledge
from tests.support.training.fakes import example, jsonl, preferences

EXAMPLES = jsonl([example(f"What is {number}?", f"It is {number}.") for number in range(12)])
OTHERS = jsonl([example(f"Where is {number}?", f"Over there, {number}.") for number in range(10)])
MODEL = "gpt-4o-mini-2024-07-18"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knowledge]:
    with pytest.MonkeyPatch.context() as patch, knowledge(tmp_path_factory.mktemp("tuning"), patch) as running:
        yield running


@pytest.fixture
def client(desk: Knowledge, request: pytest.FixtureRequest) -> OpenAI:
    """A workspace of its own for each test."""
    return desk.client(request.node.name[:80])


def upload(client: OpenAI, content: bytes = EXAMPLES, name: str = "examples.jsonl") -> str:
    return client.files.create(file=(name, content), purpose="fine-tune").id


def create(client: OpenAI, **asked: Any) -> Any:
    return client.fine_tuning.jobs.create(**{"model": MODEL, "training_file": upload(client), **asked})


def refusal(client: OpenAI, **asked: Any) -> tuple[str, str | None]:
    """What a job is refused with, and for which parameter."""
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, **asked)
    assert client.fine_tuning.jobs.list().data == []
    error: Any = refused.value
    return error.message, error.param


def test_a_job_comes_back_as_it_was_asked_for(client: OpenAI) -> None:
    validation = upload(client, OTHERS)
    tuning = {"n_epochs": 3, "batch_size": "auto", "learning_rate_multiplier": 0.5}
    method: Any = {"type": "supervised", "supervised": {"hyperparameters": tuning}}
    job = create(
        client, validation_file=validation, suffix="house", seed=7, metadata={"team": "support"}, method=method
    )
    assert client.fine_tuning.jobs.retrieve(job.id) == job
    assert (job.status, job.model, job.seed, job.metadata) == ("queued", "base", 7, {"team": "support"})
    assert job.validation_file == validation
    assert job.method.to_dict() == method
    assert job.hyperparameters.to_dict() == tuning
    assert (job.fine_tuned_model, job.result_files, job.error, job.finished_at) == (None, [], None, None)


def test_hyperparameters_at_their_former_place_are_taken_and_the_rest_is_auto(client: OpenAI) -> None:
    job = create(client, hyperparameters={"n_epochs": 2})
    assert job.hyperparameters.to_dict() == {"n_epochs": 2, "batch_size": "auto", "learning_rate_multiplier": "auto"}


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("n_epochs", 0, "must be 'auto' or a whole number from 1 to 50; it is 0"),
        ("n_epochs", 1.5, "a whole number from 1 to 50; it is 1.5"),
        ("batch_size", 1000, "a whole number from 1 to 256; it is 1000"),
        ("batch_size", True, "it is True"),
        ("learning_rate_multiplier", 0, "a number from 0.01 to 20; it is 0"),
        ("learning_rate_multiplier", "fast", "it is 'fast'"),
        ("momentum", 0.9, "Extra inputs are not permitted"),
    ],
)
def test_hyperparameters_out_of_range_are_refused_by_name(client: OpenAI, place: str, value: Any, words: str) -> None:
    message, param = refusal(client, method={"type": "supervised", "supervised": {"hyperparameters": {place: value}}})
    assert words in message
    assert param == f"method.supervised.hyperparameters.{place}"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"method": {"type": "reinforcement"}}, "'reinforcement' is not served here"),
        ({"method": {"type": "supervised", "dpo": {}}}, "'dpo' must be absent"),
        ({"method": {"type": "dpo"}}, "'dpo' needs preference pairs"),
        ({"method": {"type": "dpo", "dpo": {"hyperparameters": {"beta": 9}}}}, "a number from 0.01 to 2; it is 9"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "x"}}]}, "integrations are not served here"),
        ({"hyperparameters": {"n_epochs": 1}, "method": {"type": "supervised"}}, "give them once"),
        ({"suffix": "two words"}, "suffix"),
        ({"metadata": {'a "b"': "v"}}, "quotation mark or a backslash"),
        ({"metadata": {"k": "v" * 513}}, "the value of 'k' has 513 characters"),
        ({"extra_body": {"colour": "blue"}}, "colour"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client: OpenAI, asked: dict[str, Any], words: str) -> None:
    assert words in refusal(client, **asked)[0]


def test_files_have_to_be_there_of_the_right_purpose_and_kind(client: OpenAI) -> None:
    for place in ("training_file", "validation_file"):
        with pytest.raises(openai.NotFoundError) as missing:
            create(client, **{place: "file-nothing"})
        assert missing.value.param == place
        document = client.files.create(file=("a.md", b"# A"), purpose="assistants").id
        message, param = refusal(client, **{place: document})
        assert f"'{document}' was uploaded for 'assistants'" in message
        assert param == place
        pairs = upload(client, preferences(10))
        reason = {"training_file": "holds preference pairs", "validation_file": "has to hold what the training file"}
        assert reason[place] in refusal(client, **{place: pairs})[0]


def test_a_validation_file_that_overlaps_the_training_file_is_refused(client: OpenAI) -> None:
    overlapping = upload(client, b"\n".join([*OTHERS.splitlines()[:3], *EXAMPLES.splitlines()[:7]]))
    message, param = refusal(client, validation_file=overlapping)
    assert "7 of the 10 questions of the validation file" in message
    assert param == "validation_file"


def test_a_bad_line_of_either_format_is_named_at_upload(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="line 13: not JSON"):
        upload(client, EXAMPLES + b"\n{")
    broken = preferences(10) + preferences(1).replace(b'"preferred_output": [', b'"preferred_output": [0, ')
    with pytest.raises(openai.BadRequestError, match=r"line 10: "):
        upload(client, broken)


def test_a_model_that_is_no_alias_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="the base model is 'base'"):
        create(client, model="gpt-nothing")


def test_preferences_go_on_from_a_version_which_stays_until_the_job_ends(client: OpenAI, desk: Knowledge) -> None:
    first = create(client)
    row = Jobs(desk.sessions).current(first.id)
    assert row is not None
    about = {"base_model": "base", "path": "p", "dataset_hash": "", "template_fingerprint": "", "settings": {}}
    version = Version(
        id="v-one", workspace_id=row.workspace_id, name="ft:base:x:1", job_id=None, status="refused", **about
    )
    with desk.sessions.begin() as session:
        session.add(version)
    method: Any = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.2}}}
    job = create(client, model="ft:base:x:1", training_file=upload(client, preferences(10)), method=method)
    assert (job.model, job.method.type) == ("ft:base:x:1", "dpo")
    assert job.method.dpo.to_dict()["hyperparameters"]["beta"] == 0.2
    with desk.sessions() as session:
        assert "begins with it" in protected(session, row.workspace_id)["v-one"]
    client.fine_tuning.jobs.cancel(job.id)
    with desk.sessions.begin() as session:
        assert remove_version(session, session.get_one(Version, "v-one")) is None
    with pytest.raises(openai.NotFoundError, match="still have weights"):
        create(client, model="ft:base:x:1")
    with pytest.raises(openai.NotFoundError, match="still have weights"):
        create(desk.client("somebody else"), model="ft:base:x:1")


def test_jobs_are_listed_by_cursor_and_by_metadata(client: OpenAI) -> None:
    file = upload(client)
    made = [
        create(client, training_file=file, metadata={"round": str(number % 2), "an odd key": "x"}).id
        for number in range(5)
    ]
    newest = made[::-1]
    first = client.fine_tuning.jobs.list(limit=2)
    assert ([job.id for job in first.data], first.has_more) == (newest[:2], True)
    assert [job.id for job in client.fine_tuning.jobs.list(limit=2)] == newest  # the SDK follows the cursor
    assert [job.id for job in client.fine_tuning.jobs.list(after=newest[3])] == newest[4:]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"round": "1"}, limit=1)] == newest[1::2]
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"round": "7"})] == []
    assert [job.id for job in client.fine_tuning.jobs.list(metadata={"an odd key": "x"})] == newest
    with pytest.raises(openai.NotFoundError):
        client.fine_tuning.jobs.list(after="ftjob-nothing")


def test_a_job_waits_goes_on_and_is_cancelled(client: OpenAI) -> None:
    job = create(client)
    paused: Any = client.fine_tuning.jobs.pause(job.id)
    assert paused.status == "paused"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    with pytest.raises(openai.ConflictError, match="queued, not paused"):
        client.fine_tuning.jobs.resume(job.id)
    assert client.fine_tuning.jobs.cancel(job.id).status == "cancelled"
    assert client.fine_tuning.jobs.pause(job.id).status == "cancelled"


def test_events_are_paged_newest_first(client: OpenAI, desk: Knowledge) -> None:
    job = create(client)
    jobs = Jobs(desk.sessions)
    row = jobs.current(job.id)
    assert row is not None
    for number in range(5):
        jobs.add_event(row, f"event {number}", data={"step": number} if number else None)
    first = client.fine_tuning.jobs.list_events(job.id, limit=2)
    assert ([event.message for event in first.data], first.has_more) == (["event 4", "event 3"], True)
    assert [event.message for event in first] == [f"event {number}" for number in reversed(range(5))]
    assert [event.type for event in first][-2:] == ["metrics", "message"]
    last = client.fine_tuning.jobs.list_events(job.id, limit=5)
    assert (len(last.data), last.has_more) == (5, False)


def test_checkpoints_have_openais_shape_and_are_listed_once(client: OpenAI, desk: Knowledge) -> None:
    job = create(client, suffix="house")
    row = Jobs(desk.sessions).current(job.id)
    assert row is not None
    for step in (25, 50, 75, 50):
        metrics = {"train_loss": 1 / step, "train_accuracy": 0.5, "valid_loss": None, "valid_accuracy": None}
        record_checkpoint(desk.sessions, row, step, metrics)
    listed = client.fine_tuning.jobs.checkpoints.list(job.id, limit=2)
    assert listed.has_more
    assert [checkpoint.step_number for checkpoint in listed] == [75, 50, 25]
    newest = listed.data[0]
    assert newest.fine_tuning_job_id == job.id
    assert newest.fine_tuned_model_checkpoint == f"ft:base:house:{job.id}:ckpt-step-75"
    assert newest.metrics.to_dict() == {
        "step": 75, "train_loss": 1 / 75, "train_mean_token_accuracy": 0.5,
        "valid_loss": None, "valid_mean_token_accuracy": None,
    }  # fmt: skip
    with pytest.raises(openai.NotFoundError, match="no checkpoint 'ftckpt-none'"):
        client.fine_tuning.jobs.checkpoints.list(job.id, after="ftckpt-none")


def test_a_failed_job_says_why_in_openais_error(client: OpenAI, desk: Knowledge) -> None:
    job = create(client)
    Jobs(desk.sessions).finish(job.id, "failed", "The disk is full.")
    failed = client.fine_tuning.jobs.retrieve(job.id)
    assert failed.error is not None
    assert (failed.status, failed.error.code, failed.error.message) == ("failed", "job_failed", "The disk is full.")
    assert failed.finished_at is not None
    assert failed.finished_at <= now().timestamp()
