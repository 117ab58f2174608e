"""Chat as clients of OpenAI's API send it, through the stock `openai` package where that can send it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

from retrieval.answers.grounding import REFUSAL
from services.contracts.generation import Route, RoutingTable
from tests.gateway_fakes import PIECES, TEXT, Gateway, generation_of

QUESTION: Any = {"role": "user", "content": "How long may I return it?"}
ANSWER = "".join(PIECES)
NULLABLE = """n stream stream_options temperature top_p stop seed max_tokens max_completion_tokens presence_penalty
    frequency_penalty logit_bias logprobs top_logprobs response_format tools tool_choice functions function_call
    modalities audio web_search_options prediction metadata store user service_tier reasoning_effort verbosity
    moderation vector_store_ids max_num_results filters ranking_options min_tokens"""
CALL: Any = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
}
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "parameters": {}}}
IMAGE: Any = [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]


class Term(BaseModel):
    answer: str
    days: int


TERM = '{"answer": "Customers may return a bike within 30 days of delivery.", "days": 30}'


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Gateway:
    return Gateway(tmp_path_factory.mktemp("gateway"))


@pytest.fixture(autouse=True)
def unchanged(gateway: Gateway) -> None:
    gateway.model.pieces, gateway.retrieval.text = PIECES, TEXT
    gateway.model.bodies.clear()


@pytest.fixture(scope="module")
def client(gateway: Gateway) -> OpenAI:
    return gateway.openai()


def ask(client: OpenAI, *messages: Any, model: str = "tandem/base", **more: Any) -> Any:
    return client.chat.completions.create(model=model, messages=[*messages, QUESTION], **more)


def test_null_is_as_absent(client: OpenAI) -> None:
    nothing: Any = dict.fromkeys(NULLABLE.split())
    assert ask(client, model="tandem/rag", extra_body=nothing).choices[0].message.content == ANSWER


def test_what_asks_for_nothing_is_taken(client: OpenAI) -> None:
    asked = ask(
        client,
        n=1,
        tools=[],
        tool_choice="none",
        functions=[],
        function_call="none",
        parallel_tool_calls=False,
        modalities=["text"],
        response_format={"type": "text"},
        store=True,
        metadata={"desk": "returns"},
        user="u",
        verbosity="medium",
        prompt_cache_key="k",
    )
    assert asked.choices[0].message.content == ANSWER
    assert asked.choices[0].logprobs is None


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"n": 2}, "n: a request has one answer"),
        ({"n": 0}, "n: a request has one answer"),
        ({"tools": [TOOL]}, "tools: the models served here call no tools"),
        ({"tool_choice": "required"}, "tool_choice: the models served here call no tools"),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice: the models"),
        ({"functions": [{"name": "f"}]}, "functions: the models served here call no tools"),
        ({"function_call": {"name": "f"}}, "function_call: the models served here call no tools"),
        ({"modalities": ["text", "audio"]}, "modalities: answers are text alone"),
        ({"audio": {"format": "wav", "voice": "alloy"}}, "audio: answers are text alone"),
        ({"web_search_options": {}}, "web_search_options: the web is not searched"),
        ({"verbosity": "low"}, "verbosity: say in a system message"),
        ({"extra_body": {"moderation": {"model": "m"}}}, "moderation: answers are not moderated"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs: "),
        ({"seed": 10**30}, "seed: "),
        ({"top_logprobs": 2}, "`top_logprobs` needs `logprobs`"),
        ({"logit_bias": {"1": 101}}, "logit_bias.1: "),
        ({"logit_bias": {"dog": 1}}, "logit_bias.dog"),
        ({"response_format": {"type": "nonsense"}}, "response_format: Input tag 'nonsense'"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.json_schema: "),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "json_schema.schema: "),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_name(client: OpenAI, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, **asked)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (
            {"role": "user", "content": IMAGE},
            "content: an image stands in it, and the base model takes none",
        ),
        ({"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}, "messages.0.content: sound stands"),
        ({"role": "user", "content": [{"type": "file", "file": {}}]}, "messages.0.content: a file stands in it"),
        ({"role": "user", "content": [{"type": "text"}]}, "has its words in 'text'"),
        ({"role": "user", "content": [{"type": "poem", "poem": "x"}]}, "a part of type 'poem' is not served"),
        ({"role": "user", "content": [{"type": ["text"], "text": "x"}]}, "a part of type '['text']' is not served"),
        ({"role": "user", "content": [{"type": {"text": "x"}}]}, "messages.0.content: a part of type '{'text'"),
        ({"role": "user", "content": 7}, "messages.0.content: it must be a text"),
        ({"role": "user", "content": None}, "messages.0: a message of the role 'user' needs `content`"),
        ({"role": "tool", "tool_call_id": "call_1"}, "messages.0: a message of the role 'tool' needs `content`"),
        ({"role": "poet", "content": "x"}, "messages.0.role: "),
    ],
)
def test_a_message_that_cannot_be_read_is_refused_in_words(client: OpenAI, message: Any, words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        ask(client, message)
    assert words in caught.value.message


@pytest.mark.parametrize(
    "last",
    [{"role": "tool", "tool_call_id": "call_1", "content": "4"}, {"role": "function", "name": "f", "content": "4"}],
)
def test_a_result_of_a_tool_is_no_question(client: OpenAI, last: Any) -> None:
    with pytest.raises(openai.BadRequestError, match="the last message is a tool's result, and no tools are served"):
        client.chat.completions.create(model="tandem/base", messages=[QUESTION, last])


@pytest.mark.parametrize(
    ("history", "said"),
    [
        ([{"role": "assistant", "content": None}], ""),
        ([{"role": "assistant"}], ""),
        ([{"role": "assistant", "content": None, "refusal": "I cannot say."}], "I cannot say."),
        ([{"role": "assistant", "content": [{"type": "refusal", "refusal": "I cannot say."}]}], "I cannot say."),
        ([{"role": "assistant", "content": [{"type": "text", "text": "Four"}], "name": "Ann", "audio": None}], "Four"),
        (
            [
                {"role": "assistant", "content": None, "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "call_1", "content": [{"type": "text", "text": "4 °C"}]},
                {"role": "assistant", "content": "It is cold."},
            ],
            '(get_weather({"city": "Oslo"}) gave: 4 °C)\nIt is cold.',
        ),
        (
            [
                {"role": "assistant", "content": None, "function_call": {"name": "now", "arguments": "{}"}},
                {"role": "function", "name": "now", "content": "noon"},
            ],
            "(now gave: noon)",
        ),
    ],
)
def test_a_history_of_another_model_is_taken(client: OpenAI, gateway: Gateway, history: list[Any], said: str) -> None:
    ask(client, {"role": "user", "content": "Hello?", "name": "Bo"}, *history)
    sent = [(message["role"], message["content"]) for message in gateway.model.bodies[-1]["messages"]]
    assert sent[1:] == [("user", "Hello?"), ("assistant", said), ("user", QUESTION["content"])]


def test_a_bias_and_log_probabilities_go_to_the_model_and_come_back(client: OpenAI, gateway: Gateway) -> None:
    asked: Any = {"logprobs": True, "top_logprobs": 1, "logit_bias": {"5": -100}}
    choice = ask(client, **asked).choices[0]
    [body] = gateway.model.bodies
    assert (body["logprobs"], body["top_logprobs"], body["logit_bias"]) == (True, 1, {"5": -100.0})
    assert [(one.token, one.logprob, one.top_logprobs[0].token) for one in choice.logprobs.content] == [
        (piece, -0.5, piece) for piece in PIECES
    ]
    with client.chat.completions.stream(model="tandem/base", messages=[QUESTION], **asked) as stream:
        streamed = stream.get_final_completion().choices[0]
    assert streamed.logprobs is not None
    assert streamed.logprobs.content == choice.logprobs.content


def test_usage_of_a_stream_has_a_chunk_of_its_own(client: OpenAI) -> None:
    *chunks, last = ask(client, stream=True, stream_options={"include_usage": True})
    assert (last.choices, last.usage.total_tokens, last.id) == ([], 9, chunks[0].id)
    assert [chunk.to_dict()["usage"] for chunk in chunks] == len(chunks) * [None]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    without = list(ask(client, stream=True))
    assert all("usage" not in chunk.to_dict() and len(chunk.choices) == 1 for chunk in without)


def test_a_schema_goes_to_the_model_in_the_place_of_markers_and_the_server_cites(
    client: OpenAI, gateway: Gateway
) -> None:
    gateway.model.pieces = (TERM[:30], TERM[30:])
    parsed = client.chat.completions.parse(model="tandem/rag", messages=[QUESTION], response_format=Term)
    message: Any = parsed.choices[0].message
    assert message.parsed == Term(answer=TEXT, days=30)
    [citation] = message.citations
    assert (citation["text"], citation["index"], citation["origin"]) == (TEXT, 1, "server")
    assert message.annotations[0].url_citation.start_index == TERM.index(TEXT)
    [body] = gateway.model.bodies
    form = body["response_format"]
    assert form["json_schema"]["schema"] == Term.model_json_schema() | {"additionalProperties": False}
    system = body["messages"][0]["content"]
    assert json.dumps(form["json_schema"]["schema"]) in system
    assert "[1]" not in system


def test_a_schema_is_kept_as_it_was_sent(client: OpenAI, gateway: Gateway) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [None, "x"], "default": None}}}
    ask(client, response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": schema, "strict": None}})
    assert gateway.model.bodies[-1]["response_format"]["json_schema"] == {"name": "a", "schema": schema}


def test_any_object_is_asked_for_in_words_too(client: OpenAI, gateway: Gateway) -> None:
    ask(client, response_format={"type": "json_object"})
    [body] = gateway.model.bodies
    assert body["response_format"] == {"type": "json_object"}
    assert "JSON" in body["messages"][0]["content"]


def test_where_the_documents_do_not_answer_a_client_that_waits_for_json_gets_a_refusal(
    client: OpenAI, gateway: Gateway
) -> None:
    gateway.retrieval.text = ""
    message = (
        client.chat.completions.parse(model="tandem/rag", messages=[QUESTION], response_format=Term).choices[0].message
    )
    assert (message.content, message.parsed, message.refusal) == (None, None, REFUSAL)
    with client.chat.completions.stream(model="tandem/rag", messages=[QUESTION], response_format=Term) as stream:
        assert [event.delta for event in stream if event.type == "refusal.delta"] == [REFUSAL]
        streamed = stream.get_final_completion().choices[0].message
    assert (streamed.parsed, streamed.refusal) == (None, REFUSAL)
    assert ask(client, model="tandem/rag").choices[0].message.content == REFUSAL


@pytest.mark.parametrize("asked", [{"logprobs": True}, {"response_format": {"type": "json_object"}}])
def test_an_engine_that_would_leave_it_undone_is_not_asked(tmp_path: Path, asked: dict[str, Any]) -> None:
    route = Route(slot="base", address="http://slot", model="base-weights", engine="transformers")
    table = RoutingTable(epoch=1, base=route, live={}, versions={}, loading=[])
    client = Gateway(tmp_path, generation_of(table)).openai()
    assert ask(client).choices[0].message.content == ANSWER
    with pytest.raises(openai.BadRequestError, match=f"{next(iter(asked))}: .*transformers"):
        ask(client, **asked)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            {"message": "Grammar error: Invalid type: x", "param": None},
            "response_format: The model refused the request",
        ),
        ({"message": "out-of-vocab token ids", "param": "logit_bias"}, "logit_bias: The model refused the request"),
    ],
)
@pytest.mark.parametrize("as_event", [False, True])
@pytest.mark.parametrize("stream", [False, True])
def test_what_the_models_server_refuses_is_named_too(
    tmp_path: Path, said: dict[str, Any], words: str, as_event: bool, stream: bool
) -> None:
    """vLLM says it with a status of 400, or with an event behind a status of 200."""
    error = json.dumps({"error": {**said, "code": 400}})
    response = httpx.Response(200, text=f"data: {error}\n\n") if as_event else httpx.Response(400, text=error)
    refusing = Gateway(tmp_path, model=lambda _request: response)
    with pytest.raises(openai.BadRequestError, match=words):
        ask(refusing.openai(), response_format={"type": "json_object"}, stream=stream)
