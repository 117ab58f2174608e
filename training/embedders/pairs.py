"""Pairs of a query and the passage that answers it: the training data of an embedder.

Some come from feedback: a question whose answer was praised, with the passages that support it by the check; or, if the
citation was wrong, with the passage that a person named. Most are made from the documents alone: a section's heading
asks for its text, and a sentence asks for the chunk that it was taken from (the inverse cloze task; Lee, Chang and
Toutanova 2019).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from retrieval.model import Chunk
from retrieval.text.sentences import sentences
from retrieval.text.words import content_words
from training.errors import InvalidDataset

Describe = Callable[[Chunk], str]
"""Gives a chunk's text as it is embedded, with title and headings."""
HEADING_WORDS = 2
SENTENCE_WORDS = 5
"""A heading with its title, or a sentence, needs at least this many content words to serve as a query."""


@dataclass(frozen=True)
class Pair:
    """`passage` is what the query should find, without the words that the query was made of; `document` is its file."""

    query: str
    passage: str
    chunk_id: str
    document: str
    source: Literal["feedback", "heading", "sentence"]


@dataclass(frozen=True)
class PraisedAnswer:
    """A question and the passages that answer it: a user rated up an answer that cites them, or a person named them."""

    question: str
    cited: tuple[Chunk, ...]


def feedback_pairs(praised: Iterable[PraisedAnswer], describe: Describe) -> list[Pair]:
    """One pair for each question and cited passage."""
    every = [(answer.question, chunk) for answer in praised for chunk in answer.cited]
    found = [Pair(question, describe(chunk), chunk.id, chunk.source.file_id, "feedback") for question, chunk in every]
    return list(dict.fromkeys(found))


def generated_pairs(chunks: Sequence[Chunk], describe: Describe, rng: random.Random) -> list[Pair]:
    """For each section a pair from its heading, and for each chunk of three sentences or more a pair from one
    of them."""
    return [*_headings(chunks, describe), *_sentences(chunks, describe, rng)]


def split(pairs: Sequence[Pair], share: float, rng: random.Random) -> tuple[list[Pair], list[Pair]]:
    """Pairs to train on and pairs kept out, about `share` of them. The pairs of a document, or of a query, are on one
    side.

    Raises InvalidDataset if all pairs are of one document.
    """
    documents = sorted({pair.document for pair in pairs})
    if len(documents) < 2:
        raise InvalidDataset("The pairs are all of one document, so none can be kept out; add documents to the store.")
    rng.shuffle(documents)
    kept: set[str] = set()
    for document in documents[:-1]:
        if sum(pair.document in kept for pair in pairs) >= share * len(pairs):
            break
        kept.add(document)
    held_out = [pair for pair in pairs if pair.document in kept]
    asked = {_plain(pair.query) for pair in held_out}
    return [pair for pair in pairs if pair.document not in kept and _plain(pair.query) not in asked], held_out


def _headings(chunks: Sequence[Chunk], describe: Describe) -> Iterator[Pair]:
    """The first chunk under each heading, described without title and headings."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for chunk in chunks:
        section = (chunk.source.file_id, chunk.headings)
        path = dict.fromkeys(name for name in (chunk.title, *chunk.headings[-1:]) if name)
        query = " ".join(path)
        if section not in seen and len(content_words(query)) >= HEADING_WORDS:
            yield _pair(query, replace(chunk, title="", headings=()), describe, "heading")
        seen.add(section)


def _sentences(chunks: Sequence[Chunk], describe: Describe, rng: random.Random) -> Iterator[Pair]:
    for chunk in chunks:
        spans = sentences(chunk.text)
        telling = [span for span in spans if len(content_words(chunk.text[slice(*span)])) >= SENTENCE_WORDS]
        if len(spans) < 3 or not telling:
            continue
        start, end = rng.choice(telling)
        rest = f"{chunk.text[:start].rstrip()} {chunk.text[end:].lstrip()}".strip()
        yield _pair(chunk.text[start:end].strip(), replace(chunk, text=rest), describe, "sentence")


def _pair(query: str, cropped: Chunk, describe: Describe, source: Literal["heading", "sentence"]) -> Pair:
    return Pair(query, describe(cropped), cropped.id, cropped.source.file_id, source)


def _plain(query: str) -> str:
    return " ".join(query.casefold().split())
