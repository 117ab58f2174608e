"""The training data of an embedder, read from the platform: a store's chunks, and feedback on answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import closing

from sqlalchemy import select

from retrieval.documents.chunking import chunk
from retrieval.documents.parser import Parser
from retrieval.errors import RetrievalError
from retrieval.model import Chunk, FileRef
from retrieval.text.words import share_of_words
from services.database.engine import Sessions
from services.database.tables import Feedback, File, StoreFile, Turn
from services.domain.files import read_bytes
from services.domain.journal import passage_chunk
from services.worker.settings import WorkerSettings
from training.embedders.pairs import PraisedAnswer

log = logging.getLogger(__name__)


def store_chunks(
    sessions: Sessions, store_id: str, settings: WorkerSettings, count_tokens: Callable[[str], int]
) -> list[Chunk]:
    """The chunks of a store's indexed files, made again from the files. A file that cannot be read is left out."""
    query = select(StoreFile, File).join(File, File.id == StoreFile.file_id).where(StoreFile.store_id == store_id)
    indexed = StoreFile.status == "completed", StoreFile.deleted.is_(False)
    with sessions() as session:
        files = [(row, file) for row, file in session.execute(query.where(*indexed).order_by(File.id))]
    found: list[Chunk] = []
    with closing(Parser(settings.parsing_limits())) as parser:
        for row, file in files:
            source = FileRef(row.workspace_id, row.store_id, row.file_id, row.revision, row.attributes)
            try:
                document = parser.load(read_bytes(file.path), file.filename, file.url)
            except (RetrievalError, OSError) as error:
                log.warning("'%s' teaches nothing: %s", file.filename, error)
                continue
            found += chunk(document, source, settings.chunking(), count_tokens)
    return found


def praised_answers(sessions: Sessions, workspace_id: str) -> list[PraisedAnswer]:
    """Questions whose answer was rated up, with the passages of their supported citations as they were in the prompt.

    A passage of a file that was deleted since is left out.
    """
    query = select(Turn).join(Feedback, Feedback.turn_id == Turn.id)
    up = Turn.workspace_id == workspace_id, Feedback.workspace_id == workspace_id, Feedback.rating == "up"
    there = select(File.id).where(File.workspace_id == workspace_id, File.deleted_at.is_(None))
    with sessions() as session:
        turns = session.scalars(query.where(*up).order_by(Turn.created_at)).unique().all()
        files = set(session.scalars(there))
    return [PraisedAnswer(turn.question, _cited(turn, files)) for turn in turns]


def corrected_citations(sessions: Sessions, workspace_id: str, chunks: Sequence[Chunk]) -> list[PraisedAnswer]:
    """Questions whose answer cited the wrong passage, with the passage that the feedback names instead.

    It is the chunk of the named file that has the most words of the quote; without a quote, of the corrected answer;
    without that, of the question. A file that has no chunks here is left out.
    """
    query = select(Turn.question, Feedback).join(Feedback, Feedback.turn_id == Turn.id)
    named = (
        Turn.workspace_id == workspace_id,
        Feedback.workspace_id == workspace_id,
        Feedback.reason == "wrong_citation",
    )
    with sessions() as session:
        rows = session.execute(
            query.where(*named, Feedback.correct_file_id.is_not(None)).order_by(Turn.created_at)
        ).all()
    of_file: dict[str, list[Chunk]] = {}
    for one in chunks:
        of_file.setdefault(one.source.file_id, []).append(one)
    found: list[PraisedAnswer] = []
    for question, feedback in rows:
        told = feedback.correct_quote or feedback.correction or question
        held = of_file.get(feedback.correct_file_id or "", [])
        best = max(held, key=lambda one: share_of_words(told, one.text), default=None)
        found += [PraisedAnswer(question, (best,))] if best else []
    return found


def _cited(turn: Turn, files: set[str]) -> tuple[Chunk, ...]:
    numbers = {citation["index"] for citation in turn.citations if citation["supported"]}
    passages = [one for one in turn.passages if one["index"] in numbers and one["file_id"] in files]
    return tuple(passage_chunk(turn.workspace_id, passage) for passage in passages)
