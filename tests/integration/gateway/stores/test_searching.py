"""Searches in vector stores, through the stock `openai` package."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.integration.gateway.stores.filling import index_policies, names
from tests.knowledge import Knowledge


class TestSearch:
    @pytest.fixture
    def store(self, client: OpenAI) -> str:
        made = client.vector_stores.create()
        index_policies(client, made.id)
        return made.id

    @pytest.mark.parametrize(
        ("wanted", "years"),
        [
            ({"type": "eq", "key": "year", "value": 2025}, [2025]),
            ({"type": "ne", "key": "in_force", "value": True}, [2024, 2025]),
            ({"type": "gt", "key": "year", "value": 2024}, [2025, 2026]),
            ({"type": "gte", "key": "year", "value": 2025}, [2025, 2026]),
            ({"type": "lt", "key": "year", "value": 2025}, [2024]),
            ({"type": "lte", "key": "year", "value": 2025}, [2024, 2025]),
            ({"type": "in", "key": "region", "value": ["all", "south"]}, [2026]),
            ({"type": "nin", "key": "region", "value": ["all", "south"]}, [2024, 2025]),
            ({"type": "eq", "key": "nobody has this", "value": "x"}, []),
            (
                {
                    "type": "and",
                    "filters": [
                        {"type": "or", "filters": [{"type": "eq", "key": "year", "value": y} for y in (2024, 2026)]},
                        {"type": "eq", "key": "in_force", "value": True},
                    ],
                },
                [2026],
            ),
        ],
    )
    def test_every_operator_holds_a_search_and_an_answer_to_the_files_meant(
        self, client: OpenAI, store: str, wanted: Any, years: list[int]
    ) -> None:
        expected = [f"policy-{year}.md" for year in years]
        assert names(client, store, filters=wanted) == expected
        answer: Any = client.chat.completions.create(
            model="tandem/rag",
            messages=[{"role": "user", "content": "Within how many days may customers return a bike?"}],
            extra_body={"vector_store_ids": [store], "filters": wanted},
        )
        assert sorted(passage["filename"] for passage in answer.passages) == expected

    @pytest.mark.parametrize(
        ("wanted", "place"),
        [
            ({"type": "like", "key": "a", "value": "b"}, r"filters\.type"),
            ({"type": "gt", "key": "year", "value": "2025"}, r"filters\.value"),
            ({"type": "and", "filters": [{"type": "eq", "value": 1}]}, r"filters\.filters\[0\]\.key"),
            ("year > 2025", "filters must be an object"),
        ],
    )
    def test_a_malformed_filter_is_a_400_that_names_the_place(
        self, client: OpenAI, store: str, wanted: Any, place: str
    ) -> None:
        with pytest.raises(openai.BadRequestError, match=place) as caught:
            client.vector_stores.search(store, query="bike", filters=wanted)
        assert caught.value.param == "filters"
        with pytest.raises(openai.BadRequestError, match=place):
            client.chat.completions.create(
                model="tandem/rag", messages=[{"role": "user", "content": "?"}], extra_body={"filters": wanted}
            )

    def test_scores_lie_in_0_to_1_and_the_threshold_cuts_them(self, client: OpenAI, store: str) -> None:
        every = client.vector_stores.search(store, query="return policy of 2026").data
        scores = [hit.score for hit in every]
        assert scores == sorted(scores, reverse=True)
        assert all(0.0 <= score <= 1.0 for score in scores)
        assert every[0].filename == "policy-2026.md"
        limit = (scores[0] + scores[1]) / 2
        above = client.vector_stores.search(
            store, query="return policy of 2026", ranking_options={"ranker": "auto", "score_threshold": limit}
        )
        assert [hit.filename for hit in above] == ["policy-2026.md"]
        answer: Any = client.chat.completions.create(
            model="tandem/rag",
            messages=[{"role": "user", "content": "return policy of 2026"}],
            extra_body={"vector_store_ids": [store], "ranking_options": {"score_threshold": limit}},
        )
        assert [passage["filename"] for passage in answer.passages] == ["policy-2026.md"]

    @pytest.mark.parametrize("ranker", ["none", "auto", "default-2024-11-15"])
    def test_openais_rankers_are_known(self, client: OpenAI, store: str, ranker: Any) -> None:
        assert names(client, store, ranking_options={"ranker": ranker})

    def test_several_queries_are_searched_each_and_put_together(self, client: OpenAI, store: str) -> None:
        page: Any = client.vector_stores.search(store, query=["policy of 2024", "policy of 2026"], max_num_results=2)
        assert {hit.filename for hit in page.data} == {"policy-2024.md", "policy-2026.md"}
        assert page.search_query == ["policy of 2024", "policy of 2026"]
        assert (page.object, page.has_more, page.next_page) == ("vector_store.search_results.page", False, None)

    def test_a_query_is_rewritten_where_that_is_asked_for(self, client: OpenAI, store: str) -> None:
        asked = "Hello, could you please tell me about the policy of 2026? Thanks!"
        as_is: Any = client.vector_stores.search(store, query=asked)
        rewritten: Any = client.vector_stores.search(store, query=asked, rewrite_query=True)
        assert as_is.search_query == [asked]
        assert rewritten.search_query == ["the policy of 2026?"]

    @pytest.mark.parametrize(
        ("body", "param"),
        [
            ({"query": ""}, "query"),
            ({"query": []}, "query"),
            ({"query": "x", "max_num_results": 51}, "max_num_results"),
            ({"query": "x", "ranking_options": {"score_threshold": 1.5}}, "ranking_options.score_threshold"),
            ({"query": "x", "ranking_options": {"ranker": "best"}}, "ranking_options.ranker"),
            ({"query": "x", "ranking_options": {"hybrid_search": {}}}, "ranking_options.hybrid_search"),
            ({"query": "x", "top_k": 3}, "top_k"),
        ],
    )
    def test_what_a_search_cannot_honour_is_refused(
        self, desk: Knowledge, client: OpenAI, store: str, body: dict[str, Any], param: str
    ) -> None:
        answer = desk.http.post(
            f"/v1/vector_stores/{store}/search", json=body, headers={"Authorization": f"Bearer {client.api_key}"}
        )
        assert answer.status_code == 400
        assert param in answer.json()["error"]["param"]
