"""The Responses shape through the stock `openai` package, on the gateway in process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.responses import ResponseFileSearchToolCall, ResponseOutputMessage
from pydantic import BaseModel

from retrieval.answers.grounding import REFUSAL
from tests.gateway_fakes import PIECES, TEXT, Gateway

QUESTION = "How long may I return it?"
ANSWER = "".join(PIECES)
SEARCH: Any = {"type": "file_search", "vector_store_ids": ["vs_one"], "max_num_results": 1}


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


@pytest.fixture
def client(gateway: Gateway) -> OpenAI:
    return gateway.openai()


@pytest.fixture(scope="module")
def refusing(tmp_path_factory: pytest.TempPathFactory) -> OpenAI:
    """A client whose requests change nothing."""
    return Gateway(tmp_path_factory.mktemp("gateway")).openai()


def test_file_search_answers_with_a_search_call_and_file_citations(client: OpenAI, gateway: Gateway) -> None:
    response: Any = client.responses.create(
        model="tandem/rag", input=QUESTION, tools=[SEARCH], include=["file_search_call.results"]
    )
    call, message = response.output
    assert isinstance(call, ResponseFileSearchToolCall)
    assert (call.status, call.queries) == ("completed", [QUESTION])
    assert call.results is not None
    found = [(one.file_id, one.filename, one.text, one.attributes, one.score) for one in call.results]
    assert found == [("file-0", "0.md", TEXT, {"year": 2026.0}, 0.9)]
    assert isinstance(message, ResponseOutputMessage)
    assert response.output_text == ANSWER
    content: Any = message.content[0]
    [annotation] = content.annotations
    assert (annotation.type, annotation.file_id, annotation.filename) == ("file_citation", "file-0", "0.md")
    assert annotation.index == content.citations[0]["end_index"] == len(ANSWER)
    assert (response.status, response.usage.total_tokens) == ("completed", 9)
    assert set(response.timings) == {"retrieval_ms", "first_token_ms", "total_ms"}
    assert response.versions["index"] == {"vs_one": "col-1"}
    assert [passage["text"] for passage in response.passages] == [TEXT]
    assert gateway.retrieval.asked[0]["workspace_id"] == "one"


def test_without_the_tool_the_model_name_says_whether_documents_are_searched(client: OpenAI, gateway: Gateway) -> None:
    grounded = client.responses.create(model="tandem/rag", input=QUESTION)
    assert [item.type for item in grounded.output] == ["file_search_call", "message"]
    assert gateway.retrieval.asked[0]["store_ids"] == ["vs_one"]
    plain = client.responses.create(model="tandem/base", input=QUESTION)
    assert [item.type for item in plain.output] == ["message"]
    assert len(gateway.retrieval.asked) == 1


def test_filters_and_the_score_threshold_reach_the_search_and_come_back(client: OpenAI, gateway: Gateway) -> None:
    filters = {"type": "eq", "key": "year", "value": 2026}
    tool: Any = {**SEARCH, "filters": filters, "ranking_options": {"ranker": "auto", "score_threshold": 0.4}}
    response: Any = client.responses.create(model="tandem/rag", input=QUESTION, tools=[tool])
    [asked] = gateway.retrieval.asked
    assert (asked["filters"], asked["score_threshold"], asked["top_k"]) == (filters, 0.4, 1)
    assert response.tools[0].filters.to_dict() == filters
    assert response.tools[0].ranking_options.score_threshold == 0.4


def test_settings_reach_the_model_and_come_back(client: OpenAI, gateway: Gateway) -> None:
    response = client.responses.create(
        model="tandem/base",
        instructions="Be brief.",
        input=[
            {"role": "developer", "content": "Say it in French."},
            {"role": "user", "content": [{"type": "input_text", "text": "Hello"}]},
        ],
        temperature=0.5,
        top_p=0.9,
        max_output_tokens=20,
        metadata={"desk": "returns"},
        truncation="auto",
    )
    [body] = gateway.model.bodies
    assert (body["temperature"], body["top_p"], body["max_tokens"]) == (0.5, 0.9, 20)
    assert body["messages"][0]["content"].endswith("Be brief.\nSay it in French.")
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    assert (response.temperature, response.top_p, response.max_output_tokens) == (0.5, 0.9, 20)
    assert (response.instructions, response.metadata, response.truncation) == (
        "Be brief.",
        {"desk": "returns"},
        "auto",
    )


def test_an_answer_cut_at_its_token_limit_is_incomplete(client: OpenAI) -> None:
    response = client.responses.create(model="tandem/base", input=QUESTION, max_output_tokens=1)
    assert response.status == "incomplete"
    assert response.incomplete_details is not None
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output_text == PIECES[0]
    last = list(client.responses.create(model="tandem/base", input=QUESTION, max_output_tokens=1, stream=True))[-1]
    assert last.type == "response.incomplete"


def test_a_stream_has_the_typed_events_in_order(client: OpenAI) -> None:
    events = list(client.responses.create(model="tandem/rag", input=QUESTION, tools=[SEARCH], stream=True))
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert [event.sequence_number for event in events] == list(range(len(events)))


@pytest.mark.parametrize(("model", "items"), [("tandem/rag", 2), ("tandem/base", 1)])
def test_the_stream_helper_accumulates_what_retrieve_gives_again(client: OpenAI, model: str, items: int) -> None:
    with client.responses.stream(model=model, input=QUESTION) as stream:
        texts = [event.snapshot for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert texts == [PIECES[0], ANSWER]
    assert len(final.output) == items
    assert final.output_text == ANSWER
    kept = client.responses.retrieve(final.id)
    assert kept.to_dict() == client.responses.retrieve(final.id).to_dict()
    dropped = {"parsed"}
    parts = [part.to_dict() for part in final.output[-1].content]  # type: ignore[union-attr]
    assert [{k: v for k, v in part.items() if k not in dropped} for part in parts] == [
        part.to_dict()
        for part in kept.output[-1].content  # type: ignore[union-attr]
    ]


def test_a_stored_response_is_retrieved_as_it_was_sent_and_deleted_for_good(client: OpenAI) -> None:
    sent = client.responses.create(model="tandem/rag", input=QUESTION)
    assert client.responses.retrieve(sent.id).to_dict() == sent.to_dict()
    with_results: Any = client.responses.retrieve(sent.id, include=["file_search_call.results"])
    assert [one.file_id for one in with_results.output[0].results] == ["file-0", "file-1"]
    client.responses.delete(sent.id)
    with pytest.raises(openai.NotFoundError, match=sent.id):
        client.responses.retrieve(sent.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.delete(sent.id)


def test_what_is_not_to_be_stored_is_not(client: OpenAI, gateway: Gateway) -> None:
    sent = client.responses.create(model="tandem/rag", input=QUESTION, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(sent.id)
    assert gateway.http().get(f"/v1/answers/{sent.id}").status_code == 404


def test_another_workspace_has_no_such_response(client: OpenAI, gateway: Gateway) -> None:
    sent = client.responses.create(model="tandem/rag", input=QUESTION)
    other = gateway.openai("two")
    for call in (other.responses.retrieve, other.responses.delete, other.responses.input_items.list):
        with pytest.raises(openai.NotFoundError):
            call(sent.id)
    with pytest.raises(openai.NotFoundError):
        other.responses.create(model="tandem/rag", input="And then?", previous_response_id=sent.id)
    with pytest.raises(openai.NotFoundError):
        other.responses.create(model="tandem/rag", input=QUESTION, tools=[SEARCH])
    assert client.responses.retrieve(sent.id).id == sent.id


def test_a_chat_completion_is_no_response(client: OpenAI) -> None:
    chat = client.chat.completions.create(model="tandem/rag", messages=[{"role": "user", "content": QUESTION}])
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(chat.id)


def test_a_conversation_goes_on_from_the_response_before(client: OpenAI, gateway: Gateway) -> None:
    first = client.responses.create(model="tandem/base", input="One?", instructions="Be brief.")
    second = client.responses.create(model="tandem/base", input="Two?", previous_response_id=first.id)
    third = client.responses.create(model="tandem/rag", input="And three?", previous_response_id=second.id)
    assert third.previous_response_id == second.id
    said = [(message["role"], message["content"]) for message in gateway.model.bodies[-1]["messages"]]
    assert said[1:-1] == [("user", "One?"), ("assistant", ANSWER), ("user", "Two?"), ("assistant", ANSWER)]
    assert "Be brief." not in said[0][1]
    assert gateway.retrieval.asked[-1]["history"] == ["One?", "Two?"]
    with pytest.raises(openai.NotFoundError, match="go on from"):
        client.responses.create(model="tandem/base", input="Four?", previous_response_id="resp_none")


def test_a_conversation_may_also_be_sent_whole_with_the_items_of_earlier_answers(
    client: OpenAI, gateway: Gateway
) -> None:
    first = client.responses.create(model="tandem/rag", input=QUESTION)
    conversation: Any = [{"role": "user", "content": QUESTION}, *first.output, {"role": "user", "content": "Why?"}]
    client.responses.create(model="tandem/rag", input=conversation)
    assert [message["role"] for message in gateway.model.bodies[-1]["messages"]] == [
        "system",
        "user",
        "assistant",
        "user",
    ]


def test_a_conversation_beyond_the_context_is_refused_unless_it_may_be_truncated(
    client: OpenAI, gateway: Gateway
) -> None:
    gateway.model.fits = 2
    long: Any = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1."},
                 {"role": "user", "content": "Two?"}]  # fmt: skip
    with pytest.raises(openai.BadRequestError, match='truncation="auto"'):
        client.responses.create(model="tandem/rag", input=long)
    assert client.responses.create(model="tandem/rag", input=long, truncation="auto").output_text == ANSWER


def test_input_items_are_listed_newest_first_in_pages(client: OpenAI) -> None:
    sent = client.responses.create(
        model="tandem/base",
        input=[{"role": "user", "content": "One?"}, {"role": "assistant", "content": "1."},
               {"role": "user", "content": "Two?"}],
    )  # fmt: skip
    items: list[Any] = list(client.responses.input_items.list(sent.id, limit=2))
    assert [(item.role, item.content[0].text) for item in items] == [
        ("user", "Two?"),
        ("assistant", "1."),
        ("user", "One?"),
    ]
    assert items[0].content[0].type == "input_text"
    oldest = client.responses.input_items.list(sent.id, order="asc", limit=1)
    assert [item.id for item in oldest.data] == [items[-1].id]
    assert oldest.has_more


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"tools": [{"type": "web_search"}]}, "'web_search' is not served"),
        ({"tools": [{"type": "function", "name": "f", "parameters": {}}]}, "'function' is not served"),
        ({"tools": [SEARCH, SEARCH]}, "at most 1 item"),
        ({"tools": [{"type": "file_search", "vector_store_ids": []}]}, "at least 1 item"),
        ({"tools": [{**SEARCH, "filters": {"type": "like", "key": "a", "value": 1}}]}, "filters"),
        ({"tools": [{**SEARCH, "ranking_options": {"score_threshold": 2}}]}, "score_threshold"),
        ({"tool_choice": "required"}, "`tools` has none"),
        ({"tool_choice": "none"}, "tool_choice"),
        ({"background": True}, "not made in the background"),
        ({"reasoning": {"effort": "high"}}, "do not reason"),
        ({"conversation": "conv_1"}, "previous_response_id"),
        ({"text": {"format": {"type": "nonsense"}}}, "'nonsense'"),
        ({"include": ["reasoning.encrypted_content"]}, "file_search_call.results"),
        ({"temperature": 3}, "temperature"),
        ({"extra_body": {"stop": "x"}}, "stop"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}]}, "'input_image'"),
        ({"input": [{"type": "item_reference", "id": "msg_1"}]}, "'item_reference'"),
        ({"input": [{"role": "assistant", "content": "Yes."}]}, "must be the user's"),
        ({"input": "  "}, "not empty"),
        ({"input": []}, "at least 1 item"),
        ({"model": "tandem/base", "tools": [SEARCH]}, "answers without documents"),
    ],
)
def test_what_is_not_served_is_refused_in_words(refusing: OpenAI, asked: dict[str, Any], words: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        refusing.responses.create(**{"model": "tandem/rag", "input": QUESTION, **asked})
    assert words in caught.value.message


class Term(BaseModel):
    answer: str
    days: int


TERM = '{"answer": "Customers may return a bike within 30 days of delivery.", "days": 30}'


def test_a_schema_rules_the_answer_and_the_server_cites(client: OpenAI, gateway: Gateway) -> None:
    gateway.model.pieces = (TERM[:30], TERM[30:])
    response: Any = client.responses.parse(model="tandem/rag", input=QUESTION, text_format=Term)
    assert response.output_parsed == Term(answer=TEXT, days=30)
    schema = gateway.model.bodies[-1]["response_format"]["json_schema"]["schema"]
    assert (response.text.format.type, response.text.format.schema_) == ("json_schema", schema)
    [annotation] = response.output[-1].content[0].annotations
    assert (annotation.file_id, annotation.index) == ("file-0", TERM.index(TEXT) + len(TEXT))
    client.responses.create(model="tandem/base", input=QUESTION, text={"format": {"type": "json_object"}})
    assert gateway.model.bodies[-1]["response_format"] == {"type": "json_object"}


def test_where_the_documents_do_not_answer_a_client_that_waits_for_json_gets_a_refusal(
    client: OpenAI, gateway: Gateway
) -> None:
    gateway.retrieval.text = ""
    asked: Any = {"model": "tandem/rag", "text_format": Term}
    whole: Any = client.responses.parse(input=QUESTION, **asked)
    assert (whole.output_parsed, whole.output[-1].content[0].refusal) == (None, REFUSAL)
    with client.responses.stream(input=QUESTION, **asked) as stream:
        assert [event.delta for event in stream if event.type == "response.refusal.delta"] == [REFUSAL]
        final: Any = stream.get_final_response()
    assert final.output[-1].content[0].refusal == REFUSAL
    conversation: Any = [{"role": "user", "content": QUESTION}, whole.output[-1], {"role": "user", "content": "Why?"}]
    client.responses.create(model="tandem/base", input=conversation)
    assert gateway.model.bodies[-1]["messages"][2] == {"role": "assistant", "content": REFUSAL}


def test_log_probabilities_come_with_the_text(client: OpenAI, gateway: Gateway) -> None:
    asked: Any = {"include": ["message.output_text.logprobs"], "top_logprobs": 1}
    whole: Any = client.responses.create(model="tandem/base", input=QUESTION, **asked)
    assert [one.token for one in whole.output[-1].content[0].logprobs] == list(PIECES)
    assert (gateway.model.bodies[-1]["logprobs"], gateway.model.bodies[-1]["top_logprobs"]) == (True, 1)
    events: Any = list(client.responses.create(model="tandem/base", input=QUESTION, stream=True, **asked))
    [done] = [event for event in events if event.type == "response.output_text.done"]
    assert [one.logprob for one in done.logprobs] == [-0.5, -0.5]
    without: Any = client.responses.create(model="tandem/base", input=QUESTION)
    assert without.output[-1].content[0].logprobs == []


def test_an_unknown_model_or_store_is_404(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gpt-9"):
        client.responses.create(model="gpt-9", input=QUESTION)
    tool: Any = {"type": "file_search", "vector_store_ids": ["vs_none"]}
    with pytest.raises(openai.NotFoundError, match="vs_none"):
        client.responses.create(model="tandem/rag", input=QUESTION, tools=[tool])


def test_what_fails_before_the_first_text_is_an_http_error_and_later_an_event(client: OpenAI, gateway: Gateway) -> None:
    gateway.retrieval.up = False
    with pytest.raises(openai.InternalServerError, match="retrieval") as caught:
        client.responses.create(model="tandem/rag", input=QUESTION, stream=True)
    assert caught.value.status_code == 503
    gateway.model.breaks = True
    last = list(client.responses.create(model="tandem/base", input=QUESTION, stream=True))[-1]
    assert last.type == "response.failed"
    assert last.response.status == "failed"
    assert last.response.error is not None
    assert "out of memory" in last.response.error.message


def test_unsourced_answers_show_that_their_search_failed(client: OpenAI, gateway: Gateway) -> None:
    gateway.set(answer_unsourced=True)
    gateway.retrieval.up = False
    response: Any = client.responses.create(model="tandem/rag", input=QUESTION)
    assert (response.output[0].status, response.unsourced) == ("failed", True)
    events = list(client.responses.create(model="tandem/rag", input=QUESTION, stream=True))
    assert "response.file_search_call.completed" not in [event.type for event in events]


def test_a_finished_response_is_not_streamed_again(client: OpenAI) -> None:
    sent = client.responses.create(model="tandem/base", input=QUESTION)
    with pytest.raises(openai.BadRequestError, match="not streamed again"):
        client.responses.retrieve(sent.id, stream=True)


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_disconnects_frees_the_model(gateway: Gateway, stream: bool) -> None:
    gateway.model.hangs = True
    body = json.dumps({"model": "tandem/base", "input": QUESTION, "stream": stream}).encode()
    asyncio.run(asyncio.wait_for(_ask_and_leave(gateway, body), timeout=20))
    assert gateway.model.freed
    assert gateway.parts.deliveries.waiting == set()


async def _ask_and_leave(gateway: Gateway, body: bytes) -> None:
    """Speak ASGI to the app: send a request, and go away once the model is at work."""
    incoming = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if incoming:
            return incoming.pop()
        while not gateway.model.bodies:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)
        return {"type": "http.disconnect"}

    async def send(_message: Any) -> None:
        pass

    headers = [(b"authorization", b"Bearer one"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/responses", "query_string": b"", "headers": headers,
             "http_version": "1.1", "scheme": "http", "server": ("x", 80), "client": ("y", 1)}  # fmt: skip
    await gateway.app(scope, receive, send)


def test_feedback_and_explanation_work_on_a_response_and_go_with_it(client: OpenAI, gateway: Gateway) -> None:
    sent = client.responses.create(model="tandem/rag", input=QUESTION)
    http = gateway.http()
    assert http.post("/v1/feedback", json={"answer_id": sent.id, "rating": "up"}).status_code == 200
    assert http.get(f"/v1/answers/{sent.id}").json()["answer"] == ANSWER
    client.responses.delete(sent.id)
    assert http.get(f"/v1/answers/{sent.id}").status_code == 404
