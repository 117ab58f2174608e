from __future__ import annotations

from dataclasses import replace

from retrieval.documents.chunking import ChunkingSettings, chunk
from retrieval.documents.loading import load
from retrieval.model import Chunk, Document, FileRef, Passage
from retrieval.search.neighbours import join, neighbour_ids, widen

SOURCE = FileRef("w1", "s1", "f1", 1)
PROSE = " ".join(f"Sentence {number} says that part {number} weighs {number} grams." for number in range(12))


def chunks_of(markdown: str, overlap: int = 0) -> tuple[Document, list[Chunk]]:
    document = load(markdown.encode(), "a.md")
    return document, chunk(document, SOURCE, ChunkingSettings(20, overlap))


def passages(chunks: list[Chunk], *positions: int) -> list[Passage]:
    return [Passage(chunks[position], 1.0 - rank / 10, rank) for rank, position in enumerate(positions)]


def test_adjacent_chunks_become_one_passage_with_the_span_of_both() -> None:
    document, chunks = chunks_of(f"# T\n\n{PROSE}")
    (joined,) = join(passages(chunks, 2, 1))
    assert joined.chunk.text == document.text[chunks[1].start : chunks[2].end]
    assert (joined.chunk.start, joined.chunk.end) == (chunks[1].start, chunks[2].end)
    assert joined.chunk.id == chunks[2].id
    assert (joined.score, joined.dense_rank) == (1.0, 0)


def test_paragraphs_are_joined_with_their_distance() -> None:
    document, chunks = chunks_of(f"# T\n\n{PROSE}\n\n{PROSE}")
    (joined,) = join(passages(chunks, *range(len(chunks))))
    assert joined.chunk.text == document.text[joined.chunk.start : joined.chunk.end]


def test_a_shared_overlap_is_shown_once() -> None:
    document, chunks = chunks_of(f"# T\n\n{PROSE}", overlap=10)
    assert chunks[1].start < chunks[0].end
    (joined,) = join(passages(chunks, 0, 1))
    assert joined.chunk.text == document.text[chunks[0].start : chunks[1].end]


def test_the_joined_passage_stands_where_its_best_part_stood() -> None:
    _, chunks = chunks_of(f"# T\n\n{PROSE}")
    assert [one.chunk.start for one in join(passages(chunks, 5, 0, 3, 1))] == [
        chunks[5].start, chunks[0].start, chunks[3].start,
    ]  # fmt: skip


def test_sections_pages_files_and_revisions_are_not_joined() -> None:
    _, chunks = chunks_of("# T\n\n## A\n\nOne.\n\n## B\n\nTwo.")
    assert len(join(passages(chunks, 0, 1))) == 2
    one = replace(chunks[0], page=1, start=0, end=4)
    for other in (
        replace(one, page=2, start=5, end=9),
        replace(one, source=replace(SOURCE, file_id="f2"), start=5, end=9),
        replace(one, source=replace(SOURCE, revision=2), start=5, end=9),
    ):
        assert len(join([Passage(one, 1.0), Passage(other, 0.9)])) == 2


def test_a_widened_passage_takes_in_what_adjoins_it_and_nothing_else() -> None:
    document, chunks = chunks_of(f"# T\n\n{PROSE}\n\n## Other\n\nFar away.")
    last = chunks[-2]
    found = widen(Passage(last, 1.0), [chunks[-3], chunks[-1]])
    assert found.chunk.text == document.text[chunks[-3].start : last.end]
    assert found.score == 1.0


def test_neighbours_are_named_on_both_sides_but_not_before_the_first() -> None:
    _, chunks = chunks_of(f"# T\n\n{PROSE}")
    assert neighbour_ids(chunks[2], 1) == [chunks[1].id, chunks[3].id]
    assert neighbour_ids(chunks[0], 2) == [chunks[1].id, chunks[2].id]
