"""Bodies of the public API that clients send. They follow OpenAI's; fields that cannot change an answer are ignored."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from services.gateway.answering.formats import JsonFormat, JsonSchema, TextFormat
from services.gateway.chat.conversation import ChatMessage
from services.gateway.http.bodies import Body
from services.gateway.http.fields import AttributeFilter, RankingOptions
from services.gateway.http.refusing import refused, refused_even_empty

NO_TOOLS = "the models served here call no tools; leave it out, and give documents to search with `vector_store_ids`"
NO_WEB = "the web is not searched; leave it out, and ask documents with the model 'tandem/rag' or 'tandem/hybrid'"


class JsonSchemaFormat(Body):
    type: Literal["json_schema"]
    json_schema: JsonSchema

    def for_engine(self) -> dict[str, Any]:
        return self.json_schema.for_engine()


ResponseFormat = Annotated[TextFormat | JsonFormat | JsonSchemaFormat, Field(discriminator="type")]
Bias = Annotated[float, Field(ge=-100, le=100)]
TokenId = Annotated[str, Field(pattern="^[0-9]{1,9}$")]


class StreamOptions(Body):
    include_usage: bool = False


class ChatRequest(Body):
    """`vector_store_ids`, `max_num_results`, `filters` and `ranking_options` are OpenAI's file_search words, at the top
    level of the body. Fields that are not named here are ignored. Of OpenAI's fields these are only the ones that
    cannot change an answer: `user`, `store`, `metadata`, `service_tier`, `prediction` (it only makes answers faster),
    `prompt_cache_key` and the like, `safety_identifier`, `parallel_tool_calls`, and `reasoning_effort`, since the
    models do not reason separately.
    """

    model: str = "default"
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    vector_store_ids: list[str] | None = None
    max_num_results: int | None = Field(default=None, ge=1, le=50)
    filters: AttributeFilter | None = None
    ranking_options: RankingOptions | None = None

    # Passed on to the model's server.
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    logit_bias: dict[TokenId, Bias] | None = Field(default=None, max_length=1024)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=20)
    response_format: ResponseFormat | None = None
    min_tokens: int | None = Field(default=None, ge=0)
    """vLLM's word: no end before this many tokens; load tests need answers of one length."""

    # Refused: each changes what OpenAI answers, and nothing here can do it.
    n: Annotated[None, refused("a request has one answer; send it n times for n answers", 1)] = None
    tools: Annotated[None, refused(NO_TOOLS)] = None
    tool_choice: Annotated[None, refused(NO_TOOLS, "none", "auto")] = None
    functions: Annotated[None, refused(NO_TOOLS)] = None
    function_call: Annotated[None, refused(NO_TOOLS, "none", "auto")] = None
    modalities: Annotated[None, refused("answers are text alone; leave it out", ["text"])] = None
    audio: Annotated[None, refused("answers are text alone; leave it out")] = None
    web_search_options: Annotated[None, refused_even_empty(NO_WEB)] = None
    moderation: Annotated[None, refused("answers are not moderated here; leave it out")] = None
    verbosity: Annotated[None, refused("say in a system message how long an answer should be", "medium")] = None

    @model_validator(mode="after")
    def _ends_with_a_question(self) -> ChatRequest:
        last = self.messages[-1]
        if last.role in ("tool", "function"):
            raise ValueError("the last message is a tool's result, and no tools are served; end with the user's")
        if last.role != "user" or not last.text().strip():
            raise ValueError("the last message must be the user's, and not empty")
        if self.top_logprobs and not self.logprobs:
            raise ValueError("`top_logprobs` needs `logprobs` to be true")
        return self
