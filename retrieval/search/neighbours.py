"""Joins chunks that are next to each other in a document."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from retrieval.documents.chunking import chunk_id
from retrieval.model import Chunk, Passage

WIDEST_GAP = 2  # characters between two chunks of a section; a heading line between them takes more


def join(passages: Sequence[Passage]) -> list[Passage]:
    """Passages of adjacent chunks as one passage each, with the rank, scores and id of the best.

    The joined chunk has position, headings and page of its first part, and the text from the first part's start to the
    last one's end. Only the length of the text between two parts is known: one character is taken for a space, and two
    for a paragraph's end. Chunks with a heading or a page border between them stay separate.
    """
    by_place = sorted(range(len(passages)), key=lambda number: _place(passages[number].chunk))
    runs: list[list[int]] = []
    for number in by_place:
        if runs and _adjoins(passages[runs[-1][-1]].chunk, passages[number].chunk):
            runs[-1].append(number)
        else:
            runs.append([number])
    return [_one([passages[number] for number in run], passages[min(run)]) for run in sorted(runs, key=min)]


def widen(passage: Passage, around: Sequence[Chunk]) -> Passage:
    """The passage joined with those of the chunks around it that adjoin it, directly or through one another."""
    return join([passage, *(Passage(chunk, 0.0) for chunk in around)])[0]


def neighbour_ids(chunk: Chunk, reach: int) -> list[str]:
    """The ids of up to `reach` chunks on either side. After a file's last chunk the ids belong to no chunk."""
    positions = range(max(0, chunk.position - reach), chunk.position + reach + 1)
    return [chunk_id(chunk.source, position) for position in positions if position != chunk.position]


def _place(chunk: Chunk) -> tuple[str, str, int, int]:
    return chunk.source.store_id, chunk.source.file_id, chunk.source.revision, chunk.start


def _adjoins(chunk: Chunk, following: Chunk) -> bool:
    same = _place(chunk)[:3] == _place(following)[:3] and chunk.page == following.page
    return same and following.start - chunk.end <= WIDEST_GAP


def _one(run: Sequence[Passage], best: Passage) -> Passage:
    if len(run) == 1:
        return best
    first = run[0].chunk
    text, end = first.text, first.end
    for passage in run[1:]:
        chunk = passage.chunk
        gap = chunk.start - end
        text += ("" if gap < 1 else " " if gap == 1 else "\n\n") + chunk.text[max(0, -gap) :]
        end = max(end, chunk.end)
    return replace(best, chunk=replace(first, id=best.chunk.id, text=text, end=end))
