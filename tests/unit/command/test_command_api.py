"""The command against an API that is a small class: no socket is opened."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.cli import main
from services.command.api import Api, Refused
from services.command.errors import CommandError, NotRunning
from services.command.output import seconds
from services.command.supervisor.readiness import ask_broker
from services.command.verbs import asking, work
from tests.unit.command.fake_platform import CITATION, STORE, FakePlatform, Pauses, Screen, api, job


def test_a_question_that_is_no_utf8_is_refused_in_words() -> None:
    question = os.fsdecode(b"Is the caf\xe9 open?")
    with pytest.raises(Refused, match="UTF-8"):
        asking.ask(api(FakePlatform()), question, None)
    with pytest.raises(Refused, match="UTF-8"):
        asking.ask_streamed(api(FakePlatform()), question, None, lambda _text: None)


def test_the_default_store_is_the_one_marked_so() -> None:
    assert api(FakePlatform()).default_store() == "vs_1"


def test_a_full_queue_is_waited_for_as_long_as_it_says() -> None:
    pauses = Pauses()
    assert api(FakePlatform(busy=2), pauses).default_store() == "vs_1"
    assert pauses == [3.0, 3.0]


def test_a_queue_that_stays_full_is_an_error() -> None:
    with pytest.raises(Refused, match="full"):
        api(FakePlatform(busy=99)).default_store()


def test_a_wrong_key_says_where_the_key_is_taken_from() -> None:
    with pytest.raises(Refused, match="TANDEM_API_KEY"):
        api(FakePlatform(), key="other").default_store()


def test_nobody_at_the_address_and_a_part_that_is_down_are_not_running() -> None:
    def nobody(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    def down(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(503, json={"error": {"message": "Retrieval is down.", "code": "retrieval_unavailable"}})

    for handler, words in ((nobody, "tandem up"), (down, "Retrieval is down.")):
        with pytest.raises(NotRunning, match=words) as caught:
            Api("http://x", "key", httpx.MockTransport(handler)).get("/v1/jobs")
        assert caught.value.exit_code == 3


def test_a_paused_job_is_no_failure_and_ends_the_waiting() -> None:
    platform = FakePlatform(jobs=[job("running", 0.2), job("paused", 0.4)])
    ended = work.follow(api(platform), "job-1", Screen().output, "Re-indexing")
    work.check(ended)
    assert ended["status"] == "paused"


@pytest.mark.parametrize("what", ["cancel", "pause", "resume"])
def test_an_order_goes_to_its_job(what: str) -> None:
    platform = FakePlatform(jobs=[job("running", 0.2)])
    work.order(api(platform), "job-1", what)
    assert platform.calls == [f"POST /v1/jobs/job-1/{what}"]


def test_a_reindexing_is_asked_for_with_its_sizes_and_the_way_back_without() -> None:
    platform = FakePlatform()
    assert work.reindex(api(platform), "vs_1", {"chunk_size": 64})["request"] == {"chunk_size": 64}
    assert work.reindex_back(api(platform), "vs_1")["request"] == {}
    assert platform.calls == [f"POST {STORE}/reindex", f"POST {STORE}/rollback"]


def test_a_followed_job_tells_each_event_once_and_its_end() -> None:
    screen = Screen()
    platform = FakePlatform(jobs=[job("running", 0.2), job("running", 0.6), job("succeeded", 1.0)])
    ended = work.follow(api(platform), "job-1", screen.output, "Re-indexing")
    assert ended["status"] == "succeeded"
    assert screen.err.getvalue().count("loss 0.4") == 1
    assert "1 min 15 s left" in screen.err.getvalue()
    assert screen.out.getvalue() == ""


def test_a_job_that_failed_is_an_error_with_its_reason() -> None:
    with pytest.raises(CommandError, match="disk is full"):
        work.check(job("failed", 0.4, reason="the disk is full"))
    work.check(job("succeeded", 1.0))
    with pytest.raises(CommandError, match="was cancelled"):
        work.check(job("cancelled", 0.4))
    work.check(job("cancelled", 0.4), wanted="cancelled")


def test_the_embedder_is_trained_on_the_named_store_or_the_default_one() -> None:
    assert work.train_embedder(api(FakePlatform()), "vs_1", 50)["asked"] == {"vector_store_id": "vs_1", "max_steps": 50}
    assert work.train_embedder(api(FakePlatform()), None, None)["asked"] == {}


def test_publishing_waits_until_the_weights_are_loaded() -> None:
    published = work.publish(api(FakePlatform()), "ft:a:b:1", Screen().output)
    assert published == {"version": "ft:a:b:1", "moved_ms": 1.0}


def test_rolling_back_ends_when_the_former_version_is_live() -> None:
    new = {"id": "v2", "name": "ft:a:b:2", "live": True, "previous": False}
    old = {"id": "v1", "name": "ft:a:b:1", "live": False, "previous": True}
    platform = FakePlatform(versions=[new, old])
    assert work.roll_back(api(platform), Screen().output)["version"] == "ft:a:b:1"


def test_rolling_back_from_the_first_version_ends_at_the_base_weights() -> None:
    platform = FakePlatform(versions=[{"id": "v1", "name": "ft:a:b:1", "live": True, "previous": False}])
    assert work.roll_back(api(platform), Screen().output) == {"version": "tandem/base", "version_id": None}


def test_rolling_back_with_nothing_live_is_refused() -> None:
    with pytest.raises(Refused, match="nothing before"):
        work.roll_back(api(FakePlatform()), Screen().output)


def test_a_streamed_answer_is_written_as_it_comes_and_ends_with_its_sources() -> None:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        {"choices": [{"delta": {"content": "Within 14 days [1]."}, "finish_reason": None}]},
        {
            "choices": [{"delta": {"citations": [CITATION]}, "finish_reason": "stop"}],
            "model": "tandem/rag",
            "timings": {"total_ms": 2100.0},
        },
    ]
    text = "".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks) + "data: [DONE]\n\n"
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text=text))
    written: list[str] = []
    sources = asking.ask_streamed(Api("http://x", "key", transport), "How long?", "rag", written.append)
    assert "".join(written) == "Within 14 days [1].\n"
    assert '[1] refunds.md, page 2: "Within 14 days."' in sources


def test_a_stream_that_breaks_off_is_an_error() -> None:
    text = 'data: {"error": {"message": "the slot is gone", "code": "model_failed"}}\n\n'
    transport = httpx.MockTransport(lambda _request: httpx.Response(200, text=text))
    with pytest.raises(Refused, match="the slot is gone"):
        asking.ask_streamed(Api("http://x", "key", transport), "?", None, lambda _text: None)


def test_the_mode_is_the_model_and_without_one_the_platform_chooses() -> None:
    assert asking.request("?", "hybrid")["model"] == "tandem/hybrid"
    assert asking.request("?", None)["model"] == "default"


def test_json_is_one_value_on_standard_output_and_nothing_else() -> None:
    screen = Screen(as_json=True)
    with screen.output.bar("Work") as bar:
        bar.show(0.5, "half")
    screen.output.remark("a remark")
    screen.output.result({"ü": [1]}, "words")
    assert json.loads(screen.out.getvalue()) == {"ü": [1]}
    assert screen.err.getvalue() == ""


def test_text_from_documents_is_never_markup() -> None:
    screen = Screen()
    screen.output.result({}, "[bold]not bold[/bold] [1]")
    assert screen.out.getvalue() == "[bold]not bold[/bold] [1]\n"


def test_durations_are_read_by_people() -> None:
    assert [seconds(value) for value in (None, 8.9, 185, 7800)] == ["-", "8 s", "3 min 05 s", "2 h 10 min"]


def test_a_broker_that_is_not_there_is_not_ready(tmp_path: Path) -> None:
    assert not ask_broker(tmp_path / "broker.sock").ready


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status"], 3),
        (["ask", "How long?"], 3),
        (["jobs"], 3),
        (["ask"], 2),
        (["ask", "How long?", "--mode", "loud"], 2),
        (["train", "no-such-file.jsonl"], 2),
        (["ingest", "no-such-folder"], 2),
        (["jobs", "--follow"], 2),
        (["jobs", "--pause"], 2),
        (["jobs", "job-1", "--pause", "--cancel"], 2),
        (["reindex", "--back", "--force"], 2),
        (["repair"], 3),
        (["down"], 0),
    ],
)
def test_exit_codes_tell_a_script_what_happened(
    arguments: list[str], code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TANDEM_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delenv("TANDEM_API_KEY", raising=False)
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == code


def test_status_of_a_home_where_nothing_runs_is_json_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TANDEM_CONFIG", str(tmp_path / "none.toml"))
    with pytest.raises(SystemExit):
        main(["status", "--json", "--home", str(tmp_path / "home")])
    value = json.loads(capsys.readouterr().out)
    assert (value["running"], value["ready"], value["home"]) == (False, False, str(tmp_path / "home"))
