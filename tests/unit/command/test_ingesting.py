"""Folders ingested by the command: what is new, what changed, and what cannot be read."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from services.command.errors import Misuse
from services.command.verbs import ingesting
from tests.unit.command.fake_platform import STORE, FakePlatform, Screen, api


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


def test_the_outcome_of_an_ingestion_is_one_json_object() -> None:
    results = [ingesting.Result("a.md", "added", "file-1"), ingesting.Result("b.md", "failed", reason="empty")]
    value = ingesting.as_json("vs_1", results)
    assert (value["added"], value["failed"], value["unchanged"]) == (1, 1, 0)
    assert value["files"][1] == {"name": "b.md", "outcome": "failed", "file_id": None, "reason": "empty"}


def test_a_path_that_does_not_exist_is_a_wrong_call(tmp_path: Path) -> None:
    with pytest.raises(Misuse, match="does not exist"):
        ingesting.find_sources([tmp_path / "nothing"])
