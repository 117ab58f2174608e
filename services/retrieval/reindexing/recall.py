"""Whether a new collection finds what the live one finds, tested with questions that users asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retrieval.errors import EmbedderMismatch, IndexUnavailable
from retrieval.index.port import CollectionRef, Scope, VectorIndex
from retrieval.search.searcher import Wanted
from services.database.engine import Sessions
from services.retrieval.index.catalog import Catalog
from services.retrieval.index.collections import OpenCollections
from services.retrieval.reindexing.questions import stored_questions
from services.retrieval.search.answers import wanted_chunks
from services.retrieval.search.searchers import Searchers

QUESTIONS = 50
LIVE_BEST = 3  # documents of the live collection that count
NEW_FIRST = 10  # documents of the new one among which they are looked for
CHUNKS = 50  # enough for ten documents, unless one document has nearly all of them


@dataclass(frozen=True)
class Recall:
    """`share` of the live collection's best documents that the new one finds too, in 0..1; None if not compared."""

    share: float | None
    questions: int


class RecallCheck:
    def __init__(
        self, sessions: Sessions, catalog: Catalog, collections: OpenCollections, searchers: Searchers
    ) -> None:
        self._sessions, self._catalog = sessions, catalog
        self._collections, self._searchers = collections, searchers

    def compare(self, live: CollectionRef | None, new: CollectionRef) -> Recall:
        """Ask both collections the latest questions of the workspace's journal, each with its own embedder.

        If feedback names a question's document and the live collection finds it, only that document counts. Nothing is
        compared if there are no questions, or if the live collection cannot answer.
        """
        questions = stored_questions(self._sessions, new.workspace_id, new.store_id, QUESTIONS)
        if live is None or not questions:
            return Recall(None, 0)
        try:
            before = [expected(self._documents(live, one.text), one.document) for one in questions]
        except (EmbedderMismatch, IndexUnavailable):
            return Recall(None, 0)
        after = [self._documents(new, one.text)[:NEW_FIRST] for one in questions]
        shares = [share(best, first) for best, first in zip(before, after, strict=True) if best]
        return Recall(sum(shares) / len(shares) if shares else None, len(shares))

    def _documents(self, ref: CollectionRef, question: str) -> list[str]:
        """The files whose chunks are found, best first."""
        searcher, wanted = self._searchers.of(self._catalog.made_with(ref)), self._wanted(ref)
        with self._collections.use(ref) as index:
            indexes: list[VectorIndex] = [index]
            found = searcher.search(indexes, question, Scope(ref.workspace_id), CHUNKS, wanted=wanted)
        return list(dict.fromkeys(passage.chunk.source.file_id for passage in found.passages))

    def _wanted(self, ref: CollectionRef) -> Wanted:
        return wanted_chunks(self._catalog, ref.workspace_id)


def expected(found: Sequence[str], document: str | None) -> Sequence[str]:
    """What a new collection must find: the live one's best documents, or the document that is known to answer."""
    if document is None:
        return found[:LIVE_BEST]
    return [document] if document in found[:NEW_FIRST] else []


def share(best: Sequence[str], found: Sequence[str]) -> float:
    """The share of `best`, which is not empty, that is in `found`."""
    return len(set(best) & set(found)) / len(set(best))
