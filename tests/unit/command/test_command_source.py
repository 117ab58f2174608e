"""`tandem source` against an API that is a small class in this file."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from rich.console import Console

from services.cli import main
from services.command.api import Api
from services.command.errors import CommandError
from services.command.output import Output
from services.command.verbs import source

REPORT = {"new": 2, "changed": 1, "removed": 0, "unchanged": 5, "failed": [], "failed_count": 0, "seconds": 1.25,
          "revision": "0123456789abcdef"}  # fmt: skip


@dataclass
class FakeSources:
    """One source with three documents; a sync ends with `report`, as a job of `status`."""

    report: dict[str, Any] = field(default_factory=lambda: dict(REPORT))
    status: str = "succeeded"
    asked: dict[str, Any] = field(default_factory=dict)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path.endswith("/sync"):
            self.asked = json.loads(request.content)
        if path.endswith("/events"):
            return httpx.Response(200, json={"data": []})
        if path.endswith("/documents"):
            names = [name for name in ("a.md", "b.md", "c.md") if name > request.url.params.get("after", "")]
            return httpx.Response(200, json={"data": [{"id": name} for name in names[:2]], "has_more": len(names) > 2})
        job = {"id": "job-1", "status": self.status, "stage": self.status, "progress": 1.0, "reason": "disk is gone"}
        return httpx.Response(200, json={**job, "result": self.report})


def synchronise(platform: FakeSources, **options: bool) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    output = Output(False, Console(file=out, width=200), Console(file=err, width=200))
    api = Api("http://tandem.invalid", "key", httpx.MockTransport(platform))
    try:
        source.synchronise(api, "src_1", options, output, wait=True)
    except CommandError as error:
        return out.getvalue(), f"{err.getvalue()}{error}"
    return out.getvalue(), err.getvalue()


def test_a_sync_tells_what_it_did_and_at_which_commit() -> None:
    platform = FakeSources()
    out, _ = synchronise(platform, full=True)
    assert out == "2 new, 1 changed, 5 unchanged at 0123456789ab, 1.2 s\n"
    assert platform.asked == {"full": True}


def test_a_document_that_could_not_be_taken_in_is_named_and_an_error() -> None:
    failed = {**REPORT, "failed": [{"key": "bad.md", "reason": "bad.md is empty."}], "failed_count": 1}
    out, err = synchronise(FakeSources(failed))
    assert "2 new" in out
    assert "bad.md is empty." in err
    assert "1 documents could not be taken in" in err


def test_a_sync_that_failed_is_an_error_with_its_reason() -> None:
    _, err = synchronise(FakeSources({}, "failed"))
    assert "disk is gone" in err


def test_every_page_of_documents_is_asked_for() -> None:
    api = Api("http://tandem.invalid", "key", httpx.MockTransport(FakeSources()))
    assert [one["id"] for one in source.documents_of(api, "src_1")] == ["a.md", "b.md", "c.md"]


@pytest.mark.parametrize("arguments", [["add", "attic", "/srv"], ["add", "folder"], ["sync"], ["remove"]])
def test_a_wrong_call_ends_with_two(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["source", *arguments])
    assert caught.value.code == 2
