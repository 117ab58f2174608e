from __future__ import annotations

from retrieval.model import Chunk, FileRef, Passage
from retrieval.search import SearchResult
from services.retrieval.searchers import joined


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
