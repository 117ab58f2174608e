"""Embeddings as clients of OpenAI's API ask for them."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from openai import OpenAI

from tests.gateway_fakes import Gateway

NULLS = {"encoding_format": None, "dimensions": None, "user": None}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> OpenAI:
    return Gateway(tmp_path_factory.mktemp("gateway")).openai()


@pytest.mark.parametrize("asked", [{}, {"dimensions": 384}, {"encoding_format": "float"}, {"extra_body": NULLS}])
def test_a_text_becomes_a_vector_of_the_embedder(client: OpenAI, asked: dict[str, Any]) -> None:
    made = client.embeddings.create(model="any", input=["How long?", "How far?"], **asked)
    assert [len(one.embedding) for one in made.data] == [384, 384]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"dimensions": 128}, "dimensions: the embedder makes vectors of 384 numbers; ask for 384"),
        ({"dimensions": 1536}, "dimensions: the embedder makes vectors of 384 numbers"),
        ({"dimensions": 0}, "dimensions: Input should be greater than or equal to 1"),
        ({"dimensions": -1}, "dimensions: Input should be greater than or equal to 1"),
        ({"input": [1, 2, 3]}, "input: token ids are not served"),
        ({"input": [[1, 2], [3]]}, "input: token ids are not served"),
        ({"input": []}, "input: send a text, or a list of 1 to 2048 texts"),
        ({"input": 2049 * ["x"]}, "input: send a text, or a list of 1 to 2048 texts"),
        ({"input": ""}, "input: text 0 is empty"),
        ({"input": ["x", ""]}, "input: text 1 is empty"),
    ],
)
def test_what_the_embedder_cannot_do_is_refused_in_words(client: OpenAI, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(**{"model": "any", "input": "x", **asked})
    assert words in caught.value.message
