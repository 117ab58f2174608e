"""Differences between database, files and index, made by hand and mended by a reconcile job."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from retrieval.errors import RepairStopped
from retrieval.index.port import CollectionRef
from services.database.tables import File, Job, Store, StoreFile, now
from services.worker.performing import perform
from services.worker.tasks import PASSING
from tests.integration.worker.reindexing.pages import REFUNDS, TYRES
from tests.worker_desk import Desk, open_desk


@pytest.fixture(params=["embedded", "server"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, request.param == "embedded") as opened:
        opened.index("refunds.md", REFUNDS)
        opened.index("tyres.md", TYRES)
        yield opened


def row(desk: Desk, name: str) -> StoreFile:
    with desk.sessions() as session:
        return session.get_one(StoreFile, ("s1", name))


def change(desk: Desk, name: str, **values: object) -> None:
    with desk.sessions.begin() as session:
        found = session.get_one(StoreFile, ("s1", name))
        for key, value in values.items():
            setattr(found, key, value)


def lose_chunks(desk: Desk, name: str) -> None:
    with desk.parts().collections.use(CollectionRef("w1", "s1", str(desk.collections().live_id))) as index:
        index.delete_file(name)


def test_where_nothing_differs_nothing_is_changed(desk: Desk) -> None:
    before = desk.content()
    report = desk.reconcile(store_id="s1")["stores"]["s1"]
    assert (report["removed_chunks"], report["requeued"]["count"], report["missing_bytes"]["count"]) == (0, 0, 0)
    assert report["dropped_collections"] == []
    assert desk.content() == before


def test_chunks_that_the_database_does_not_want_are_removed(desk: Desk) -> None:
    change(desk, "refunds.md", deleted=True, revision=2)  # and the purge never came
    report = desk.reconcile(store_id="s1")["stores"]["s1"]
    assert report["removed_chunks"] > 0
    assert not any("Refunds" in text for _, text in desk.content())


def test_files_that_the_index_lost_are_indexed_again(desk: Desk) -> None:
    before = desk.content()
    lose_chunks(desk, "refunds.md")
    report = desk.reconcile(store_id="s1")["stores"]["s1"]
    assert report["requeued"] == {"count": 1, "first": ["refunds.md"]}
    assert row(desk, "refunds.md").status == "in_progress"
    job = desk.jobs.list("w1", "index_file")[0]
    desk.run(desk.indexing(desk.embedder).index_file, job.id)
    assert desk.content() == before
    assert row(desk, "refunds.md").status == "completed"


def test_a_wrong_number_of_chunks_is_mended(desk: Desk) -> None:
    before = desk.content()
    change(desk, "refunds.md", chunk_count=99)
    assert desk.reconcile(store_id="s1")["stores"]["s1"]["requeued"]["first"] == ["refunds.md"]
    desk.run(desk.indexing(desk.embedder).index_file, desk.jobs.list("w1", "index_file")[0].id)
    assert desk.content() == before
    assert row(desk, "refunds.md").chunk_count < 99


def test_a_file_that_waits_without_a_job_gets_one_and_only_one(desk: Desk) -> None:
    change(desk, "refunds.md", status="in_progress", revision=2)
    assert desk.reconcile(store_id="s1")["stores"]["s1"]["requeued"]["count"] == 1
    assert desk.reconcile(store_id="s1")["stores"]["s1"]["requeued"]["count"] == 0


def test_a_file_whose_bytes_are_gone_is_marked_with_the_reason(desk: Desk) -> None:
    (desk.folder / "refunds.md.1").unlink()
    assert desk.reconcile(store_id="s1")["stores"]["s1"]["missing_bytes"]["first"] == ["refunds.md"]
    assert row(desk, "refunds.md").status == "failed"
    assert "upload it again" in str(row(desk, "refunds.md").error)


def mount(desk: Desk) -> Path:
    """Give the files a folder that has nothing else."""
    volume = desk.folder / "volume"
    volume.mkdir()
    with desk.sessions.begin() as session:
        for file in session.query(File):
            file.path = str(Path(file.path).rename(volume / Path(file.path).name))
    desk.folder = volume
    return volume


def fill(desk: Desk, count: int) -> list[Path]:
    """So many files more, known to the database and never indexed; returns where their bytes lie."""
    paths = [desk.folder / f"note-{number}.md" for number in range(count)]
    with desk.sessions.begin() as session:
        for path in paths:
            path.write_text("Tyres are checked on Monday.")
            session.add(File(id=path.name, workspace_id="w1", filename=path.name, purpose="assistants", bytes=1,
                             sha256="", path=str(path)))  # fmt: skip
            session.flush()
            session.add(StoreFile(store_id="s1", file_id=path.name, workspace_id="w1", revision=1, status="completed"))
    return paths


def states(desk: Desk) -> set[str]:
    with desk.sessions() as session:
        return {one.status for one in session.query(StoreFile)}


def test_a_folder_of_files_that_is_not_there_fails_no_file_and_the_repair_says_so(desk: Desk) -> None:
    moved = mount(desk).rename(desk.folder.with_name("not-mounted"))
    with pytest.raises(RepairStopped, match="The bytes of 2 of 2 files of the store s1 are missing at once"):
        desk.reconcile(store_id="s1")
    desk.folder.mkdir()  # an empty mount point
    with pytest.raises(RepairStopped, match="None was marked as failed"):
        desk.reconcile(store_id="s1")
    assert states(desk) == {"completed"}
    assert desk.search("tyre pressure")
    desk.folder.rmdir()
    moved.rename(desk.folder)
    assert desk.reconcile(store_id="s1")["stores"]["s1"]["missing_bytes"]["count"] == 0


def test_many_files_that_are_missing_at_once_are_left_and_some_among_many_are_marked(desk: Desk) -> None:
    paths = fill(desk, 108)
    for path in paths[:12]:
        path.unlink()
    with pytest.raises(RepairStopped, match="12 of 110"):
        desk.reconcile(store_id="s1")
    assert "failed" not in states(desk)
    for path in paths[8:12]:
        path.write_text("Back.")
    report = desk.reconcile(store_id="s1")["stores"]["s1"]
    assert (report["missing_bytes"]["count"], report["left"]) == (8, None)
    assert "failed" in states(desk)


def test_half_of_a_few_files_is_no_single_loss_either(desk: Desk) -> None:
    paths = fill(desk, 8)
    for path in paths[:5]:
        path.unlink()
    with pytest.raises(RepairStopped, match="5 of 10 files of the store s1"):
        desk.reconcile(store_id="s1")
    assert states(desk) == {"completed"}


def test_one_file_of_each_of_many_stores_is_no_single_loss_either(desk: Desk) -> None:
    for number, path in enumerate(fill(desk, 15)):
        with desk.sessions.begin() as session:
            session.add(Store(id=f"s1-{number}", workspace_id="w1", name="Docs"))
            session.flush()
            session.get_one(StoreFile, ("s1", path.name)).store_id = f"s1-{number}"
        path.unlink()
    with pytest.raises(RepairStopped, match="15 of 17 files of all stores") as stopped:
        desk.reconcile()
    assert str(stopped.value).count("missing at once") == 1
    assert states(desk) == {"completed"}


class Refusing(MemoryFileSystem):  # type: ignore[misc]
    """A bucket whose rights were taken away."""

    protocol = "refusing"

    def info(self, path: str, **_kwargs: object) -> dict[str, object]:
        raise PermissionError(f"Access Denied: {path}")

    def _open(self, path: str, *_args: object, **_kwargs: object) -> object:
        raise PermissionError(f"Access Denied: {path}")


def test_files_that_may_not_be_read_are_not_gone_and_wait(desk: Desk) -> None:
    fsspec.register_implementation("refusing", Refusing, clobber=True)
    fill(desk, 1)
    change(desk, "note-0.md", status="in_progress")
    with desk.sessions.begin() as session:
        for file in session.query(File):
            file.path = f"refusing://bucket/{file.id}"
    report = desk.reconcile(store_id="s1")["stores"]["s1"]
    assert (report["missing_bytes"]["count"], report["requeued"]["first"]) == (0, ["note-0.md"])
    job, indexing = desk.jobs.list("w1", "index_file")[0].id, desk.indexing(desk.embedder)
    perform(desk.jobs, job, indexing.index_file, indexing.failed, PASSING)
    waits = desk.jobs.find("w1", job)
    assert (waits.status, waits.tries, "may not be read" in str(waits.reason)) == ("queued", 0, True)
    assert row(desk, "note-0.md").status == "in_progress"


def test_a_repair_that_stopped_ends_its_job_in_words_with_what_it_did(desk: Desk) -> None:
    mount(desk).rename(desk.folder.with_name("not-mounted"))
    job = desk.start("reconcile", {"store_id": "s1"})
    perform(desk.jobs, job, desk.reconciling().reconcile)
    ended = desk.jobs.find("w1", job)
    assert (ended.status, "folder or bucket is there and whole" in str(ended.reason)) == ("failed", True)
    assert ended.result["stores"]["s1"]["missing_bytes"]["count"] == 2


def test_a_file_waits_to_be_indexed_while_the_folder_of_the_files_is_not_there(desk: Desk) -> None:
    volume = mount(desk)
    fill(desk, 1)
    change(desk, "note-0.md", status="in_progress")
    moved = volume.rename(desk.folder.with_name("not-mounted"))
    job = desk.start("index_file", {"store_id": "s1", "file_id": "note-0.md", "revision": 1})
    indexing = desk.indexing(desk.embedder)
    for _ in range(2):
        perform(desk.jobs, job, indexing.index_file, indexing.failed, PASSING)
        waits = desk.jobs.find("w1", job)
        assert (waits.status, waits.tries, "is it mounted?" in str(waits.reason)) == ("queued", 0, True)
    assert row(desk, "note-0.md").status == "in_progress"
    moved.rename(desk.folder)
    perform(desk.jobs, job, indexing.index_file, indexing.failed, PASSING)
    assert row(desk, "note-0.md").status == "completed"


def test_bytes_that_an_older_copy_of_the_database_does_not_know_are_all_kept(desk: Desk) -> None:
    folder = desk.platform.home / "files" / "w1"
    folder.mkdir(parents=True)
    for number in range(12):
        (folder / f"file-{number}").write_bytes(b"x")
        os.utime(folder / f"file-{number}", (time.time() - 2 * 24 * 3600,) * 2)
    with pytest.raises(RepairStopped, match="names 12 of 12 files"):
        desk.reconcile()
    assert len(list(folder.iterdir())) == 12


def test_collections_that_no_row_names_are_dropped_and_the_live_one_stays(desk: Desk) -> None:
    desk.engine.create(CollectionRef("w1", "s1", "col_orphan"), 64).close()
    assert desk.reconcile(store_id="s1")["stores"]["s1"]["dropped_collections"] == ["col_orphan"]
    assert desk.held() == {desk.collections().live_id}


def test_what_a_builder_left_is_removed(tmp_path: Path) -> None:
    with open_desk(tmp_path, embedded=True) as desk:
        desk.index("tyres.md", TYRES)
        store = desk.platform.index_folder / "w1" / "s1"
        for name in (".col_gone.points", ".col_gone.building"):
            (store / name).mkdir()
        desk.reconcile(store_id="s1")
        assert desk.held() == {desk.collections().live_id}


def test_bytes_without_a_file_are_named_at_once_and_removed_after_a_day(desk: Desk) -> None:
    folder = desk.platform.home / "files" / "w1"
    folder.mkdir(parents=True)
    for name, age in (("file-new", 60), ("file-old", 2 * 24 * 3600)):
        (folder / name).write_bytes(b"x")
        os.utime(folder / name, (time.time() - age,) * 2)
    report = desk.reconcile()
    assert report["bytes_without_a_file"]["count"] == 2
    assert report["removed_bytes_of"]["first"] == ["file-old"]
    assert [path.name for path in folder.iterdir()] == ["file-new"]


def test_a_store_that_was_deleted_while_the_service_was_away_leaves_nothing(desk: Desk) -> None:
    with desk.sessions.begin() as session:
        session.query(StoreFile).update({"deleted": True})
        session.get_one(Store, "s1").deleted_at = now()
    desk.reconcile()
    assert desk.held() == set()


def test_every_workspace_is_looked_through_once_in_so_many_hours(desk: Desk) -> None:
    desk.reconcile(store_id="s1")  # one store is not the whole workspace
    for _ in range(2):
        desk.reconciling().start_due()
    queued = [job for job in desk.jobs.list("w1", "reconcile") if job.status == "queued"]
    assert [job.request for job in queued] == [{}]
    with desk.sessions.begin() as session:
        session.get_one(Job, queued[0].id).created_at = now() - timedelta(hours=25)
    desk.reconciling().start_due()
    assert len(desk.jobs.list("w1", "reconcile")) == 3
    desk.reconciling(hours=0).start_due()
    assert len(desk.jobs.list("w1", "reconcile")) == 3
