"""The same twelve documents in six formats, and the corpora of real and of broken files."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from retrieval.documents.chunking import ChunkingSettings, chunk, count_words
from retrieval.documents.loading import load
from retrieval.documents.parser import Parser
from retrieval.embedding.embedder import Bm25Encoder, SentenceTransformerEmbedder
from retrieval.errors import InputError
from retrieval.index.edge import EdgeEngine
from retrieval.index.ingest import prepare_document
from retrieval.index.port import CollectionRef, Scope
from retrieval.model import Document, FileRef
from retrieval.search.searcher import Searcher
from tests.support.notes import note

SHARED = Path("../shared/data").resolve()
PARALLEL, REAL, ROBUSTNESS = SHARED / "formats/parallel", SHARED / "formats/real", SHARED / "robustness"
needs_data = pytest.mark.skipif(not PARALLEL.is_dir(), reason=f"needs the shared data in {SHARED}")
FORMATS = ("md", "txt", "html", "docx", "pdf", "csv")


def words(text: str) -> str:
    """Letters and digits alone: what formats write differently (bullets, quotes, line ends) does not count."""
    return " ".join(re.findall(r"[^\W_]+", text.lower()))


def documents(ending: str) -> Iterator[Document]:
    if ending != "csv":
        yield from (load(path.read_bytes(), path.name) for path in sorted(PARALLEL.glob(f"*.{ending}")))
        return
    whole = load((PARALLEL / "all.csv").read_bytes(), "all.csv")
    with (PARALLEL / "all.csv").open(encoding="utf-8", newline="") as file:
        titles = {row["title"]: row["id"] for row in csv.DictReader(file)}
    for title, name in titles.items():  # a row's section stands for the row's document
        blocks = tuple(block for block in whole.blocks if block.headings[:1] == (title,))
        yield replace(whole, filename=f"{name}.csv", title=title, blocks=blocks)


@pytest.fixture(scope="module")
def embedder() -> SentenceTransformerEmbedder:
    return SentenceTransformerEmbedder("all-minilm-l6-v2", threads=1)


@needs_data
@pytest.mark.parametrize("ending", FORMATS)
def test_the_same_questions_find_the_same_answers_in_every_format(
    ending: str, tmp_path: Path, embedder: SentenceTransformerEmbedder
) -> None:
    bm25 = Bm25Encoder()
    index = EdgeEngine(tmp_path).create(CollectionRef("w", "s", "c"), embedder.dimension)
    texts: dict[str, str] = {}
    for document in documents(ending):
        stem = Path(document.filename).stem
        texts[stem] = words(" ".join(document.text[block.start : block.end] for block in document.blocks))
        index.upsert(prepare_document(document, FileRef("w", "s", stem, 1), embedder, bm25))
    assert len(texts) == 12
    searcher = Searcher(embedder, bm25)
    found = whole = 0
    for line in (PARALLEL / "questions.jsonl").read_text(encoding="utf-8").splitlines():
        asked = json.loads(line)
        passages = searcher.search([index], asked["question"], Scope("w"), 3).passages
        found += passages[0].chunk.source.file_id == asked["gold_stem"]
        sentences = [words(one) for one in re.split(r"[.\n]", asked["gold_answer"]) if words(one)]
        whole += all(one in texts[asked["gold_stem"]] for one in sentences)
    note(f"{ending}: right document first for {found} of 12 questions, every sentence of the answer in {whole}")
    assert (found, whole) == (12, 12)


@needs_data
@pytest.mark.parametrize("root", [REAL, ROBUSTNESS], ids=["real", "robustness"])
def test_each_file_ends_in_a_document_or_a_clear_error(root: Path) -> None:
    parser = Parser()
    read, reasons = 0, dict[str, str]()
    try:
        for line in (root / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
            path = root / json.loads(line)["path"]
            try:
                document = parser.load(path.read_bytes(), path.name)
            except InputError as error:
                reasons[path.name] = str(error)
                continue
            chunks = chunk(document, FileRef("w", "s", path.name, 1), ChunkingSettings(chunk_size=2048), count_words)
            assert chunks
            assert all(document.text[one.start : one.end] == one.text for one in chunks)
            read += 1
    finally:
        parser.close()
    note(f"{root.name}: {read} files read, {len(reasons)} refused in words")
    assert read > 20
    assert [name for name, reason in reasons.items() if not reason.startswith(name) or len(reason) > 400] == []
