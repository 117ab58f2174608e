from __future__ import annotations

import pytest

from retrieval.index.port import CollectionRef
from retrieval.model import Chunk, FileRef, Passage
from retrieval.search.searcher import SearchResult, SearchSettings
from services.retrieval.index.catalog import EmbedderName, MadeWith
from services.retrieval.search.embedders import Embedders
from services.retrieval.search.searchers import Searchers, joined
from tests.fakes import HashingEmbedder


def passage(name: str, score: float) -> Passage:
    chunk = Chunk(id=name, source=FileRef("w1", "s1", name, 1), position=0, text=name, filename=name, title=name,
                  headings=(), page=None, start=0, end=1)  # fmt: skip
    return Passage(chunk, score)


def test_searches_with_several_embedders_give_the_best_of_all_and_the_time_of_all() -> None:
    first = SearchResult("tyres", (passage("a", 0.9), passage("b", 0.3)), {"embed": 2.0, "search": 1.0})
    second = SearchResult("tyres", (passage("c", 0.5),), {"embed": 3.0, "rerank": 4.0})
    both = joined([first, second], 2)
    assert [one.chunk.id for one in both.passages] == ["a", "c"]
    assert both.timings_ms == {"embed": 5.0, "search": 1.0, "rerank": 4.0}


@pytest.mark.parametrize(
    ("asked", "groups"),
    [
        (["Is tyre pressure 3.8 bar?"], 1),
        (["Caf\u00e9?"], 1),
        (["轮胎气压多少？"], 2),
        (["And in bar?", "轮胎气压多少？"], 2),
    ],
)
def test_collections_of_either_tokenizer_are_searched_together_where_the_question_is_the_same_to_both(
    asked: list[str], groups: int
) -> None:
    embedder = HashingEmbedder()
    name = EmbedderName(embedder.name, embedder.dimension)
    made = [MadeWith(name), MadeWith(name, {"sparse_tokenizer": "multilingual"})]
    answering = [(CollectionRef("w1", f"s{number}", "c"), one) for number, one in enumerate(made)]
    searchers = Searchers(Embedders(embedder, lambda _: embedder, 1), SearchSettings())
    found = searchers.groups(answering, asked)
    assert len(found) == groups
    assert [ref for _, refs in found for ref in refs] == [ref for ref, _ in answering]
