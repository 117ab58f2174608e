"""A worker's reindexing against the real retrieval service, its index embedded or on a Qdrant server (local mode)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from retrieval.errors import BuildFailed, InputError, RecallTooLow, UnreadableFile
from retrieval.index.port import CollectionRef
from services.contracts.retrieval import SearchRequest
from services.database.tables import Collection, StoreFile
from services.domain.store_files import want_again
from services.worker.heartbeat import JobCancelled, JobPaused, JobTaken
from services.worker.reindexing.builders import BUILDER_COMMAND
from services.worker.retrieval_client import RetrievalDown
from tests.integration.worker.reindexing.pages import REFUNDS, TYRES
from tests.worker_desk import BlindEmbedder, Desk, WideEmbedder, open_desk

SEARCHED = SearchRequest(workspace_id="w1", store_ids=["s1"], query="tyre pressure").model_dump_json()


class Killed(BaseException):
    """The worker's process ends here."""


def at_file(number: int, desk: Desk, happens: Callable[[], object]) -> None:
    """Let something happen once, when the reindexing embeds that file, counted from 0."""
    first = desk.embedder.files

    def meanwhile() -> None:
        if desk.embedder.files == first + number:
            desk.embedder.meanwhile = lambda: None
            happens()

    desk.embedder.meanwhile = meanwhile


def die() -> None:
    raise Killed


def test_other_chunk_sizes_make_other_chunks_of_the_same_files_and_the_old_collection_is_kept(filled: Desk) -> None:
    old, before = filled.collections(), filled.search("tyre pressure refunds")
    result = filled.reindex(chunk_size=32)
    new, after = filled.collections(), filled.search("tyre pressure refunds")
    assert (new.live_id, new.previous_id) == (result["collection_id"], old.live_id)
    assert filled.held() == {new.live_id, old.live_id}
    assert {one.chunk.source.file_id for one in after} == {one.chunk.source.file_id for one in before}
    assert {one.chunk.id for one in after} - {one.chunk.id for one in before}
    assert new.count == result["chunks"] > old.count
    assert max(len(text.split()) for _, text in filled.content()) <= 32
    assert "3.8 bar" in filled.search("tyre pressure of the Brindle City")[0].chunk.text


def test_a_collection_remembers_how_it_was_made_and_files_know_their_chunks(filled: Desk) -> None:
    filled.reindex(chunk_size=32, sparse_average_length=20.0)
    live = filled.collections()
    row = next(one for one in live.collections if one.id == live.live_id)
    assert row.settings == {
        "embedder": "hashing",
        "chunk_size": 32,
        "chunk_overlap": 0,
        "strategy": "structure",
        "sparse_language": "english",
        "sparse_average_length": 20.0,
        "sparse_tokenizer": "multilingual",
        "format": 1,
    }
    with filled.sessions() as session:
        assert sum(row.chunk_count for row in session.query(StoreFile)) == live.count


def test_an_unknown_language_fails_in_words_and_changes_nothing(filled: Desk) -> None:
    held = filled.held()
    with pytest.raises(InputError, match="klingon"):
        filled.reindex(sparse_language="klingon")
    assert filled.held() == held


def test_a_file_that_changes_meanwhile_answers_as_it_is_now_and_in_the_new_sizes(filled: Desk) -> None:
    at_file(1, filled, lambda: filled.index("refunds.md", REFUNDS.replace("five", "nine"), revision=2))
    result = filled.reindex(chunk_size=32)
    assert filled.collections().live_id == result["collection_id"]
    assert "within nine working days" in filled.search("refunds paid working days")[0].chunk.text
    assert {one.chunk.source.revision for one in filled.search("refunds") if "refund" in one.chunk.filename} == {2}
    assert max(len(text.split()) for _, text in filled.content()) <= 32


@pytest.mark.parametrize("size", [32, None])
def test_a_file_that_waits_to_be_indexed_anew_answers_as_before_from_the_new_collection(
    filled: Desk, size: int | None
) -> None:
    def want_it_again() -> None:
        with filled.sessions.begin() as session:
            row = session.get_one(StoreFile, ("s1", "refunds.md"))
            want_again(row)
            row.status = "in_progress"

    at_file(1, filled, want_it_again)
    result = filled.reindex(**({"chunk_size": size} if size else {}))
    assert filled.collections().live_id == result["collection_id"]
    assert {one.chunk.source.revision for one in filled.search("refunds") if "refund" in one.chunk.filename} == {1}
    assert filled.reconcile(store_id="s1")["stores"]["s1"]["removed_chunks"] == 0
    filled.run_indexing("refunds.md", revision=2)
    assert {one.chunk.source.revision for one in filled.search("refunds") if "refund" in one.chunk.filename} == {2}
    with filled.sessions() as session:
        assert session.get_one(StoreFile, ("s1", "refunds.md")).former_revision is None


def test_a_file_that_comes_meanwhile_is_copied_where_nothing_else_changed(filled: Desk) -> None:
    at_file(1, filled, lambda: filled.index("brakes.md", TYRES.replace("tyre", "brake")))
    assert filled.reindex()["replayed"] > 0
    assert filled.search("brake pressure")[0].chunk.filename == "brakes.md"


def test_a_file_deleted_meanwhile_stays_gone(filled: Desk) -> None:
    at_file(1, filled, lambda: filled.delete("refunds.md"))
    filled.reindex(chunk_size=32)
    assert {text for _, text in filled.content() if "Refunds" in text} == set()


def test_a_cancelled_job_leaves_the_live_collection_and_no_other(filled: Desk) -> None:
    held = filled.held()
    at_file(1, filled, filled.cancel)
    with pytest.raises(JobCancelled):
        filled.reindex(chunk_size=32)
    assert filled.held() == held == {row.id for row in filled.collections().collections}
    assert filled.search("tyre pressure")


def test_a_failed_job_leaves_the_live_collection_and_no_other(filled: Desk) -> None:
    held = filled.held()
    (filled.folder / "tyres.md.1").unlink()
    with pytest.raises(UnreadableFile, match=r"tyres\.md"):
        filled.reindex(chunk_size=32)
    assert filled.held() == held == {row.id for row in filled.collections().collections}
    assert filled.search("tyre pressure")


def test_a_killed_worker_goes_on_where_it_was(filled: Desk) -> None:
    job = filled.start("reindex", {"store_id": "s1", "chunk_size": 32})
    at_file(1, filled, die)
    with pytest.raises(Killed):
        filled.run(filled.reindexing().reindex, job)
    done_before = filled.embedder.files
    filled.lose_the_worker(job)
    result = filled.run(filled.reindexing().reindex, job)
    assert (done_before, filled.embedder.files) == (1, 2)  # the first file was not embedded again
    assert filled.held() == {result["collection_id"], result["previous_id"]}
    assert {text.split()[0] for _, text in filled.content()} >= {"Refunds", "The"}


def test_a_worker_killed_after_the_switch_finds_its_work_done(filled: Desk) -> None:
    job = filled.start("reindex", {"store_id": "s1", "chunk_size": 32})
    first = filled.run(filled.reindexing().reindex, job)
    filled.lose_the_worker(job)
    assert filled.run(filled.reindexing().reindex, job)["collection_id"] == first["collection_id"]
    assert filled.embedder.files == 2


def test_a_worker_that_was_silent_for_too_long_gives_its_job_up(filled: Desk) -> None:
    job = filled.start("reindex", {"store_id": "s1", "chunk_size": 32})

    def another_takes_it() -> None:
        filled.lose_the_worker(job)
        assert filled.jobs.claim(job) is not None

    at_file(0, filled, another_takes_it)
    with pytest.raises(JobTaken):
        filled.run(filled.reindexing().reindex, job)


def test_a_paused_job_keeps_what_it_has_done_and_goes_on(filled: Desk) -> None:
    job = filled.start("reindex", {"store_id": "s1", "chunk_size": 32})
    at_file(0, filled, lambda: filled.jobs.request_pause("w1", job))
    with pytest.raises(JobPaused):
        filled.run(filled.reindexing().reindex, job)
    filled.jobs.put_aside(job, "paused", "paused")
    assert filled.search("tyre pressure")
    filled.builds().sweep()
    resumed, waits = filled.jobs.resume("w1", job)
    assert (resumed.status, waits) == ("queued", True)
    result = filled.run(filled.reindexing().reindex, job)
    assert filled.collections().live_id == result["collection_id"]


def test_what_a_paused_job_left_goes_when_it_is_cancelled(filled: Desk) -> None:
    held = filled.held()
    job = filled.start("reindex", {"store_id": "s1", "chunk_size": 32})
    at_file(1, filled, lambda: filled.jobs.request_pause("w1", job))
    with pytest.raises(JobPaused):
        filled.run(filled.reindexing().reindex, job)
    filled.jobs.put_aside(job, "paused", "paused")
    assert filled.jobs.request_cancel("w1", job).status == "cancelled"
    filled.builds().sweep()
    assert filled.held() == held == {row.id for row in filled.collections().collections}


def test_what_a_killed_worker_left_goes_with_the_next_reindexing(filled: Desk) -> None:
    left = CollectionRef("w1", "s1", "col_left")
    filled.engine.create(left, filled.embedder.dimension).close()
    row = Collection(id="col_left", workspace_id="w1", store_id="s1", state="building", settings={},
                     embedder=filled.embedder.name, dimension=filled.embedder.dimension)  # fmt: skip
    with filled.sessions.begin() as session:
        session.add(row)
    filled.reindex()
    assert "col_left" not in filled.held() | {row.id for row in filled.collections().collections}


def test_a_store_without_files_is_reindexed_to_an_empty_collection(desk: Desk) -> None:
    result = desk.reindex()
    assert desk.collections().live_id == result["collection_id"]
    assert desk.search("anything") == []
    desk.index("refunds.md", REFUNDS)
    assert desk.search("refunds")


def test_a_collection_whose_row_tells_less_than_a_recipe_takes_files(filled: Desk) -> None:
    with filled.sessions.begin() as session:
        session.query(Collection).update({"settings": {"chunk_size": 32, "chunk_overlap": 0}})
    filled.index("brakes.md", TYRES.replace("tyre", "brake"))
    assert max(len(text.split()) for _, text in filled.content() if "brake" in text) <= 32


def test_a_files_own_chunk_sizes_go_before_those_of_a_recipe(filled: Desk) -> None:
    own = {"max_chunk_size_tokens": 32, "chunk_overlap_tokens": 0}
    with filled.sessions.begin() as session:
        session.get_one(StoreFile, ("s1", "tyres.md")).chunking = own
    filled.reindex(chunk_size=100)
    longest = {name: max(len(text.split()) for _, text in filled.content() if name in text) for name in ("air", "bike")}
    assert longest["air"] <= 32 < longest["bike"]
    with filled.sessions() as session:
        cut = {row.file_id: row.chunked for row in session.query(StoreFile)}
    assert cut["refunds.md"] == {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}


def test_the_way_back_loses_no_write_made_since(filled: Desk) -> None:
    old = filled.collections().live_id
    filled.reindex(chunk_size=32)
    filled.index("refunds.md", REFUNDS.replace("five", "nine"), revision=2)
    filled.index("brakes.md", TYRES.replace("tyre", "brake"))
    filled.delete("tyres.md")
    result = filled.roll_back()
    assert result["collection_id"] == filled.collections().live_id == old
    texts = {text for _, text in filled.content()}
    assert any("nine working days" in text for text in texts)
    assert any("brake pressure" in text for text in texts)
    assert not any("five working days" in text or "tyre pressure" in text for text in texts)
    assert max(len(text.split()) for text in texts) > 32  # cut as the old collection was


def test_a_collection_that_finds_too_little_is_refused_unless_forced(tmp_path: Path) -> None:
    with open_desk(tmp_path, embedded=True, dense_weight=1.0) as desk:
        for number in range(30):
            desk.index(f"note-{number}.md", f"# Note {number}\n\nThe word of note {number} is w{number * 7919}.")
        desk.ask(*(f"What is w{number * 7919}?" for number in range(30)))
        live, blind = desk.collections().live_id, desk.reindexing(BlindEmbedder(), min_recall=0.8)
        with pytest.raises(RecallTooLow, match=r"0\.\d\d of the documents .* force"):
            desk.run(blind.reindex, desk.start("reindex", {"store_id": "s1"}))
        assert desk.held() == {live}
        result = desk.run(blind.reindex, desk.start("reindex", {"store_id": "s1", "force": True}))
        assert result["questions"] == 30
        assert "by force" in result["reason"]
        assert desk.collections().live_id == result["collection_id"]


def test_a_collection_that_finds_the_same_is_switched_to(filled: Desk) -> None:
    filled.ask("When are refunds paid?", "What is the tyre pressure?")
    careful = filled.reindexing(min_recall=0.9)
    result = filled.run(careful.reindex, filled.start("reindex", {"store_id": "s1", "chunk_size": 32}))
    assert (result["recall"], result["questions"]) == (1.0, 2)


def test_a_new_embedder_changes_nothing_until_the_store_is_reindexed(tmp_path: Path) -> None:
    with open_desk(tmp_path, embedded=True) as desk:
        desk.index("tyres.md", TYRES)
    wide = WideEmbedder()
    with open_desk(tmp_path, embedded=True, service_embedder=wide, worker_embedder=wide) as desk:
        stands = desk.collections()
        assert (stands.status, stands.embedder) == ("embedder_mismatch", "wide")
        assert "reindex" in str(stands.detail)
        assert "1 made with another embedder" in desk.client.get("/ready").json()["detail"]
        desk.index("refunds.md", REFUNDS)  # goes in as the live collection was made
        assert {one.chunk.filename for one in desk.search("tyre pressure refunds")} == {"tyres.md", "refunds.md"}
        desk.run(desk.reindexing(wide).reindex, desk.start("reindex", {"store_id": "s1"}))
        assert desk.collections().status == "ready"
        assert "detail" not in desk.client.get("/ready").json()
        assert {one.chunk.filename for one in desk.search("tyre pressure refunds")} == {"tyres.md", "refunds.md"}
        desk.index("tyres.md", TYRES.replace("3.8", "4.1"), revision=2)
        assert "4.1 bar" in desk.search("tyre pressure of the Brindle City")[0].chunk.text


def test_where_former_embedders_are_not_kept_a_search_says_what_to_do(tmp_path: Path) -> None:
    with open_desk(tmp_path, embedded=True) as desk:
        desk.index("tyres.md", TYRES)
    with open_desk(tmp_path, embedded=True, service_embedder=WideEmbedder(), former_embedders=0) as desk:
        answer = desk.client.post("/search", content=SEARCHED)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "embedder_mismatch")
        assert "reindex the store" in answer.json()["error"]["message"]
        wide = desk.reindexing(WideEmbedder())
        desk.run(wide.reindex, desk.start("reindex", {"store_id": "s1"}))
        assert desk.client.post("/search", content=SEARCHED).status_code == 200


def test_a_damaged_index_says_so_and_is_rebuilt_from_the_files(tmp_path: Path) -> None:
    with open_desk(tmp_path, embedded=True) as desk:
        desk.index("tyres.md", TYRES)
        desk.index("refunds.md", REFUNDS)
        damaged = str(desk.collections().live_id)
    folder = desk.platform.index_folder / "w1" / "s1" / damaged
    vectors = next(folder.rglob("vector_storage-dense/vectors/chunk_0.mmap"))
    vectors.write_bytes(bytes(vectors.stat().st_size))
    with open_desk(tmp_path, embedded=True) as desk:
        desk.parts().soundness.check_all()
        answer = desk.client.post("/search", content=SEARCHED)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "index_damaged")
        assert "tandem reindex --store s1" in answer.json()["error"]["message"]
        assert desk.collections().status == "damaged"
        assert "1 damaged" in desk.client.get("/ready").json()["detail"]
        desk.reindex()
        assert desk.collections().status == "ready"
        assert desk.collections().previous_id is None
        assert damaged not in desk.held()
        assert "3.8 bar" in desk.search("tyre pressure of the Brindle City")[0].chunk.text


def test_a_sound_index_is_found_sound(filled: Desk) -> None:
    filled.parts().soundness.check_all()
    assert filled.collections().status == "ready"


def test_a_full_disk_fails_the_job_in_words_and_the_live_index_answers(tmp_path: Path) -> None:
    with open_desk(tmp_path, embedded=True) as desk:
        desk.index("tyres.md", TYRES)
        live, full = desk.collections().live_id, desk.reindexing(command=("prlimit", "--fsize=20000", *BUILDER_COMMAND))
        with pytest.raises(BuildFailed, match="room on the disk"):
            desk.run(full.reindex, desk.start("reindex", {"store_id": "s1"}))
        assert desk.held() == {live}
        assert desk.search("tyre pressure")


def test_a_service_that_is_away_leaves_the_build_for_the_next_try(filled: Desk) -> None:
    job = filled.start("reindex", {"store_id": "s1", "chunk_size": 32})
    reindexing, switch = filled.reindexing(), filled.writer.switch

    def away(_request: object) -> None:
        raise RetrievalDown("the retrieval service does not answer")

    filled.writer.switch = away  # type: ignore[method-assign, assignment]
    with pytest.raises(RetrievalDown):
        filled.run(reindexing.reindex, job)
    filled.writer.switch = switch  # type: ignore[method-assign]
    embedded = filled.embedder.files
    filled.lose_the_worker(job)
    result = filled.run(reindexing.reindex, job)
    assert filled.embedder.files == embedded
    assert filled.held() == {result["collection_id"], result["previous_id"]}
