"""The command against an API that is a small class in this file: no socket is opened."""

from __future__ import annotations

import hashlib
import io
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from services.cli import main
from services.command.api import Api, Refused
from services.command.errors import CommandError, Misuse, NotRunning
from services.command.output import Output, seconds
from services.command.supervisor.readiness import ask_broker
from services.command.verbs import asking, ingesting, work

STORE = "/v1/vector_stores/vs_1"
CITATION = {"index": 1, "filename": "refunds.md", "page": 2, "quote": "Within 14 days.", "supported": True}


@dataclass
class FakePlatform:
    """A store whose files are indexed at the second look, and fail where their text says so."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    versions: list[dict[str, Any]] = field(default_factory=list)
    busy: int = 0
    calls: list[str] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        self.calls.append(f"{request.method} {path}")
        if self.busy:
            self.busy -= 1
            return httpx.Response(429, headers={"Retry-After": "3"}, json={"error": {"message": "full", "code": "f"}})
        if request.headers["Authorization"] != "Bearer key":
            return httpx.Response(401, json={"error": {"message": "Wrong key.", "code": "invalid_api_key"}})
        if path == "/v1/vector_stores":
            return self._list([{"id": "vs_0", "metadata": {}}, {"id": "vs_1", "metadata": {"default": "true"}}])
        if path == f"{STORE}/files":
            return self._attach(json.loads(request.content)) if request.method == "POST" else self._look()
        if path.startswith("/v1/files"):
            return self._delete(path) if request.method == "DELETE" else self._upload(request)
        if path.startswith("/v1/jobs"):
            return self._job(path)
        if path == "/v1/embedders":
            return httpx.Response(200, json={"id": "job-1", "asked": json.loads(request.content)})
        if path.startswith("/v1/versions"):
            return self._version(path)
        if path in (f"{STORE}/reindex", f"{STORE}/rollback"):
            return httpx.Response(200, json=job("queued", 0.0, request=json.loads(request.content)))
        return httpx.Response(404, json={"error": {"message": f"no {path}", "code": "not_found"}})

    def _list(self, data: list[dict[str, Any]]) -> httpx.Response:
        return httpx.Response(200, json={"object": "list", "data": data})

    def _upload(self, request: httpx.Request) -> httpx.Response:
        head, _, rest = request.content.partition(b'filename="')
        name = rest.partition(b'"')[0].decode()
        content = rest.partition(b"\r\n\r\n")[2].rpartition(b"\r\n--")[0]
        if not content:
            return httpx.Response(400, json={"error": {"message": f"'{name}' is empty.", "code": "empty_file"}})
        file_id = f"file-{len(self.files)}"
        self.files[file_id] = (name, content)
        assert b"assistants" in head + rest
        return httpx.Response(200, json={"id": file_id})

    def _attach(self, body: dict[str, Any]) -> httpx.Response:
        name, content = self.files[body["file_id"]]
        row = {"id": body["file_id"], "filename": name, "sha256": hashlib.sha256(content).hexdigest()}
        self.rows.append({**row, "status": "in_progress", "last_error": None})
        return httpx.Response(200, json=self.rows[-1])

    def _look(self) -> httpx.Response:
        shown = [dict(row) for row in self.rows]
        for row in self.rows:
            bad = row["id"] in self.files and b"broken" in self.files[row["id"]][1]
            row["status"] = "failed" if bad else "completed"
            row["last_error"] = {"code": "invalid_file", "message": "cannot be read"} if bad else None
        return self._list(shown)

    def _delete(self, path: str) -> httpx.Response:
        self.rows = [row for row in self.rows if row["id"] != path.rpartition("/")[2]]
        return httpx.Response(200, json={"deleted": True})

    def _job(self, path: str) -> httpx.Response:
        if path.endswith("/events"):
            return self._list([{"id": "ftevent-2", "message": "loss 0.4"}, {"id": "ftevent-1", "message": "started"}])
        return httpx.Response(200, json=self.jobs.pop(0) if len(self.jobs) > 1 else self.jobs[0])

    def _version(self, path: str) -> httpx.Response:
        if path.endswith("/publish"):
            ready = self.calls.count(f"POST {path}") >= 3
            return httpx.Response(200, json={"moved_ms": 1.0}) if ready else httpx.Response(202, json=LOADING)
        if path.endswith("/rollback"):
            if not any(row["live"] for row in self.versions):
                refused = {"message": "There is nothing before it.", "code": "nothing_to_roll_back_to"}
                return httpx.Response(409, json={"error": refused})
            self.versions = [{**row, "live": row["previous"], "previous": row["live"]} for row in self.versions]
            return httpx.Response(202, content=b"null")
        if path == "/v1/versions":
            return self._list(self.versions)
        return httpx.Response(200, json=next(row for row in self.versions if path.endswith(row["name"])))


LOADING = {"status": "loading", "version": "ft:a:b:1"}


def job(status: str, progress: float, **more: Any) -> dict[str, Any]:
    base = {"id": "job-1", "kind": "reindex", "status": status, "stage": "embed", "eta_seconds": 75.0, "reason": None}
    return {**base, "progress": progress, "result": {}, **more}


@dataclass
class Screen:
    """An output whose two streams can be read."""

    as_json: bool = False

    def __post_init__(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.output = Output(self.as_json, Console(file=self.out, width=200), Console(file=self.err, width=200))


class Pauses(list[float]):
    """Remembers the seconds that were to be waited."""

    def __call__(self, seconds: float) -> None:
        self.append(seconds)


def api(platform: FakePlatform, pauses: Pauses | None = None, key: str = "key") -> Api:
    pauses = pauses if pauses is not None else Pauses()
    return Api("http://tandem.invalid", key, httpx.MockTransport(platform), pauses)


def ingest(platform: FakePlatform, folder: Path) -> dict[str, str]:
    screen = Screen()
    with screen.output.bar("Ingesting") as bar:
        results = ingesting.ingest(api(platform), "vs_1", ingesting.find_sources([folder]), bar)
    return {result.name: result.outcome for result in results}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "documents"
    (made / "policies").mkdir(parents=True)
    (made / "price.md").write_text("Nine euros.")
    (made / "policies" / "refunds.md").write_text("Within 14 days.")
    (made / ".hidden").write_text("not a document")
    return made


def test_a_folder_is_ingested_with_its_files_named_from_inside_it(folder: Path) -> None:
    platform = FakePlatform()
    assert ingest(platform, folder) == {"policies/refunds.md": "added", "price.md": "added"}
    assert sorted(row["filename"] for row in platform.rows) == ["policies/refunds.md", "price.md"]


def test_the_same_files_again_change_nothing(folder: Path) -> None:
    platform = FakePlatform()
    ingest(platform, folder)
    before = list(platform.rows)
    platform.calls.clear()
    assert set(ingest(platform, folder).values()) == {"unchanged"}
    assert platform.rows == before
    assert all(call.startswith("GET") for call in platform.calls)


def test_a_changed_file_replaces_the_former_after_the_new_one_is_indexed(folder: Path) -> None:
    platform = FakePlatform()
    ingest(platform, folder)
    (folder / "price.md").write_text("Eleven euros.")
    platform.calls.clear()
    assert ingest(platform, folder)["price.md"] == "replaced"
    assert sorted(row["filename"] for row in platform.rows) == ["policies/refunds.md", "price.md"]
    deletion = next(number for number, call in enumerate(platform.calls) if call.startswith("DELETE"))
    assert platform.calls.index(f"POST {STORE}/files") < deletion


def test_a_bad_file_is_reported_and_the_others_go_on(folder: Path) -> None:
    (folder / "broken.pdf").write_text("broken")
    (folder / "empty.txt").write_text("")
    outcomes = ingest(FakePlatform(), folder)
    assert outcomes == {
        "broken.pdf": "failed", "empty.txt": "failed", "policies/refunds.md": "added", "price.md": "added",
    }  # fmt: skip


def test_a_change_that_cannot_be_read_leaves_the_former_file_in_place(folder: Path) -> None:
    platform = FakePlatform()
    ingest(platform, folder)
    former = [row["id"] for row in platform.rows if row["filename"] == "price.md"]
    (folder / "price.md").write_text("broken")
    assert ingest(platform, folder)["price.md"] == "failed"
    assert [row["id"] for row in platform.rows if row["filename"] == "price.md"] == former


def test_two_files_of_one_name_do_not_replace_each_other(folder: Path) -> None:
    other = folder.parent / "price.md"
    other.write_text("Ninety euros.")
    sources = ingesting.find_sources([folder, folder / "price.md", other])
    platform = FakePlatform()
    with Screen().output.bar("Ingesting") as bar:
        results = ingesting.ingest(api(platform), "vs_1", sources, bar)
    assert sorted(result.outcome for result in results if result.name == "price.md") == ["added", "failed"]
    assert b"Nine euros." in [content for _, content in platform.files.values()]


def test_a_file_whose_name_is_no_utf8_is_ingested_under_a_name_that_can_be_written(folder: Path) -> None:
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9.md")).write_text("Open until six.")
    outcomes = ingest(FakePlatform(), folder)
    assert outcomes["caf\ufffd.md"] == "added"
    json.dumps(list(outcomes), ensure_ascii=False).encode()


def test_a_question_that_is_no_utf8_is_refused_in_words() -> None:
    question = os.fsdecode(b"Is the caf\xe9 open?")
    with pytest.raises(Refused, match="UTF-8"):
        asking.ask(api(FakePlatform()), question, None)
    with pytest.raises(Refused, match="UTF-8"):
        asking.ask_streamed(api(FakePlatform()), question, None, lambda _text: None)


def test_the_outcome_of_an_ingestion_is_one_json_object() -> None:
    results = [ingesting.Result("a.md", "added", "file-1"), ingesting.Result("b.md", "failed", reason="empty")]
    value = ingesting.as_json("vs_1", results)
    assert (value["added"], value["failed"], value["unchanged"]) == (1, 1, 0)
    assert value["files"][1] == {"name": "b.md", "outcome": "failed", "file_id": None, "reason": "empty"}


def test_a_path_that_does_not_exist_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="does not exist"):
        ingesting.find_sources([tmp_path / "nothing"])


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
