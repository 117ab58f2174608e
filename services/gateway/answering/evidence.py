"""The evidence of an answer, as the journal and both shapes of the API show it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from retrieval.answers.grounding import REFUSAL
from retrieval.model import Citation, Passage
from services.gateway.answering.turn import Answer, Question


def citation_bodies(answer: Answer) -> list[dict[str, Any]]:
    """`citations`: each cited span of the answer and its passage, supported or not."""
    return [_citation_body(citation, answer.text) for citation in answer.citations]


def passage_bodies(passages: Sequence[Passage]) -> list[dict[str, Any]]:
    """`passages`: those in the prompt, by number."""
    return [_passage_body(passage, number) for number, passage in enumerate(passages, start=1)]


def is_server_refusal(question: Question, text: str) -> bool:
    """Whether the server refused by itself where a client expects JSON. The refusal is not JSON, so it goes into
    `refusal`, as in OpenAI's structured outputs.
    """
    return question.schema is not None and text == REFUSAL


def token_bodies(answer: Answer) -> list[dict[str, Any]]:
    """The log probabilities of the answer's tokens. Tokens after the end of the answer (a stop word) are left out."""
    kept, length, most = list[dict[str, Any]](), 0, len(answer.text.encode())
    for token in answer.logprobs:
        if length >= most:
            break
        kept.append(token)
        length += len(token["bytes"] or token["token"].encode())
    return kept


def explained(answer: Answer) -> dict[str, Any]:
    """Timings, versions, passages and warnings of an answer."""
    explained: dict[str, Any] = {"timings": answer.timings, "versions": answer.versions}
    explained["passages"] = passage_bodies(answer.passages)
    if answer.answerability is not None:
        explained["answerability"] = round(answer.answerability, 3)
    explained["grounded"] = answer.grounded
    if answer.ended_by:
        explained["ended_by"] = answer.ended_by
    return explained | ({"unsourced": True} if answer.unsourced else {})


def _citation_body(citation: Citation, answer: str) -> dict[str, Any]:
    """One entry of `message.citations`."""
    chunk = citation.passage.chunk
    return {
        "index": citation.index,
        "file_id": chunk.source.file_id,
        "filename": chunk.filename,
        "title": chunk.title,
        "url": chunk.url,
        "page": chunk.page,
        "quote": citation.quote,
        "start_index": citation.start,
        "end_index": citation.end,
        "text": answer[citation.start : citation.end],
        "score": citation.passage.score,
        "support": citation.support,
        "supported": citation.supported,
        "origin": citation.origin,
    }


def _passage_body(passage: Passage, number: int) -> dict[str, Any]:
    """One entry of `passages`: the passage with this number in the prompt."""
    chunk = passage.chunk
    return {
        "index": number,
        "chunk_id": chunk.id,
        "file_id": chunk.source.file_id,
        "revision": chunk.source.revision,
        "filename": chunk.filename,
        "title": chunk.title,
        "headings": list(chunk.headings),
        "page": chunk.page,
        "text": chunk.text,
        "score": passage.score,
        "attributes": dict(chunk.source.attributes),
    }
