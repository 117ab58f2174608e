"""Sentences with passages that support them or do not: SciFact, WiCE, and the sample company's own answers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass

from harness.jsonl import read_jsonl
from harness.places import BRINDLE, SHARED_DATA
from retrieval.documents.chunking import ChunkingSettings, chunk
from retrieval.documents.loading import load
from retrieval.model import Chunk, FileRef
from retrieval.text.sentences import sentences
from retrieval.text.words import content_words

OTHERS = 30


@dataclass(frozen=True)
class Case:
    """A sentence, a passage in its sentences, and whether people say that the one supports the other.

    `label` is theirs. `fitted` cases choose weights and threshold; figures are reported on the rest. A document's cases
    stand on one side.
    """

    sentence: str
    parts: tuple[str, ...]
    supported: bool
    label: str
    fitted: bool

    @property
    def passage(self) -> str:
        return "\n".join(self.parts)


@dataclass(frozen=True)
class SampleCase:
    """A sentence of a sample answer, the passage that answers, and passages of other documents, the first at random."""

    sentence: str
    right: str
    others: tuple[str, ...]


def scifact() -> list[Case]:
    """Claims against the abstracts that they were paired with; contradicted ones count as not supported."""
    rows = read_jsonl(SHARED_DATA / "scifact_grounding" / "claims.jsonl")
    return [_case(row["claim"], [row["title"], *row["sentences"]], row["label"], row["doc_id"]) for row in rows]


def wice() -> list[Case]:
    """Sentences of Wikipedia against the pages that they cite; partly supported ones count as not supported."""
    rows = read_jsonl(SHARED_DATA / "wice" / "claims.jsonl")
    return [_case(row["claim"], row["evidence"], row["label"], row["title"]) for row in rows]


def _case(sentence: str, parts: list[str], label: str, document: str) -> Case:
    fitted = hashlib.sha256(document.encode()).digest()[-1] % 2 == 0
    return Case(sentence, tuple(parts), label.lower() in ("support", "supported"), label.lower(), fitted)


def sample() -> list[SampleCase]:
    """The sentences of every grounded answer of the sample company, those for training and those kept out."""
    chunks = sample_chunks()
    rng = random.Random(1)
    found = []
    for name, answer in sample_answers():
        foreign = [text for other, texts in chunks.items() if other != name for text in texts]
        words = content_words(answer)
        right = max(chunks[name], key=lambda text: len(words & content_words(text)))
        others = tuple(rng.sample(foreign, OTHERS))
        found += [SampleCase(answer[start:end], right, others) for start, end in sentences(answer)]
    return found


def sample_answers() -> Iterator[tuple[str, str]]:
    """The document and the answer of each answered question."""
    for row in read_jsonl(BRINDLE / "train.jsonl"):
        if row["metadata"]["document"]:
            yield row["metadata"]["document"], row["messages"][-1]["content"]
    for row in read_jsonl(BRINDLE / "questions.jsonl"):
        yield row["document"], row["answer"]


def sample_chunks() -> dict[str, list[str]]:
    """Every sample document's chunks as the check sees them, by filename."""
    settings = ChunkingSettings(chunk_size=120)
    found = {}
    for path in sorted((BRINDLE / "documents").iterdir()):
        document = load(path.read_bytes(), path.name)
        chunks = chunk(document, FileRef("sample", "sample", path.name, 1), settings)
        found[path.name] = [_text(one) for one in chunks]
    return found


def _text(one: Chunk) -> str:
    return "\n".join([one.title, *one.headings, one.text])
