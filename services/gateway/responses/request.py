"""The body of POST /v1/responses. A request for anything but text and file_search is refused with an explanation, never
ignored.

Only fields that cannot change an answer (`user`, `prompt_cache_key` and the like) are accepted without effect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from retrieval.answers.conversation import Role
from services.database.tables import Turn
from services.gateway.answering.asking import Asked
from services.gateway.answering.content import Content, words_of
from services.gateway.answering.formats import JsonFormat, JsonSchema, TextFormat
from services.gateway.answering.models import GROUNDED, Choice
from services.gateway.http.bodies import Body, Strict
from services.gateway.http.fields import AttributeFilter, RankingOptions
from services.gateway.http.refusing import refused
from services.kit.errors import ApiError

RESULTS, LOGPROBS = "file_search_call.results", "message.output_text.logprobs"


class InputMessage(Body):
    """A message of the conversation, its content as a list of parts."""

    type: Literal["message"] = "message"
    role: Role
    content: Content

    def text(self) -> str:
        return words_of(self.content)


class FileSearchTool(Body):
    """OpenAI's tool, the only one served."""

    type: Literal["file_search"]
    vector_store_ids: list[str] = Field(min_length=1)
    max_num_results: int | None = Field(default=None, ge=1, le=50)
    filters: AttributeFilter | None = None
    ranking_options: RankingOptions | None = None


class ToolName(Body):
    type: Literal["file_search"]


class NamedSchemaFormat(JsonSchema):
    """The schema of an answer, named beside its type."""

    type: Literal["json_schema"]


Format = Annotated[TextFormat | JsonFormat | NamedSchemaFormat, Field(discriminator="type")]


class TextConfig(Body):
    format: Format = TextFormat(type="text")
    verbosity: Literal["medium"] | None = None


class ResponseRequest(Strict):
    """`input` is always a list of messages, also if it came as a text. A `file_search_call` of an earlier answer is
    left out: the search is made again.
    """

    model: str = "default"
    input: list[InputMessage] = Field(min_length=1)
    instructions: str | None = None
    previous_response_id: str | None = None
    tools: list[FileSearchTool] | None = Field(default=None, max_length=1)
    tool_choice: Literal["auto", "required"] | ToolName | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_output_tokens: int | None = Field(default=None, ge=1)
    metadata: dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]] | None = Field(
        default=None, max_length=16
    )
    store: bool | None = None
    stream: bool | None = None
    include: list[Literal["file_search_call.results", "message.output_text.logprobs"]] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    text: TextConfig = TextConfig()
    top_logprobs: int | None = Field(default=None, ge=0, le=20)

    background: Annotated[None, refused("answers are not made in the background; ask with stream=true")] = None
    conversation: Annotated[None, refused("conversations are not kept; go on with previous_response_id")] = None
    prompt: Annotated[None, refused("prompts are not stored here; send `instructions` and `input`")] = None
    reasoning: Annotated[None, refused("the models served here do not reason apart; leave it out")] = None
    context_management: Annotated[None, refused("it is not served; truncation='auto' leaves old turns out")] = None
    moderation: Annotated[None, refused("answers are not moderated here")] = None
    image: Annotated[None, refused("images are not served")] = None
    access_programs: Annotated[None, refused("it has no meaning here")] = None
    max_tool_calls: int | None = Field(default=None, ge=1)

    user: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    background_options: dict[str, Any] | None = None
    service_tier: Literal["auto", "default"] | None = None
    stream_options: dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None

    @field_validator("input", mode="before")
    @classmethod
    def _messages(cls, given: Any) -> Any:
        if isinstance(given, str):
            return [{"role": "user", "content": given}]
        if not isinstance(given, list):
            return given
        for item in given:
            kind = (item.get("type") or "message") if isinstance(item, dict) else item
            if kind not in ("message", "file_search_call"):
                raise ValueError(f"an item of type '{kind}' is not served; send messages")
        return [item for item in given if item.get("type") != "file_search_call"]

    @field_validator("tools", mode="before")
    @classmethod
    def _only_file_search(cls, tools: Any) -> Any:
        for tool in tools if isinstance(tools, list) else []:
            kind = tool.get("type") if isinstance(tool, dict) else tool
            if kind != "file_search":
                raise ValueError(f"the tool '{kind}' is not served; file_search is")
        return tools

    @model_validator(mode="after")
    def _asks_something(self) -> ResponseRequest:
        if self.input[-1].role != "user" or not self.input[-1].text().strip():
            raise ValueError("the last message of `input` must be the user's, and not empty")
        if self.tool_choice not in (None, "auto") and not self.tools:
            raise ValueError("`tool_choice` asks for a tool, and `tools` has none")
        return self

    def file_search(self) -> FileSearchTool | None:
        return self.tools[0] if self.tools else None

    def with_results(self) -> bool:
        return RESULTS in (self.include or [])

    def with_logprobs(self) -> bool:
        return LOGPROBS in (self.include or []) or bool(self.top_logprobs)


def as_asked(request: ResponseRequest, earlier: Sequence[Turn]) -> Asked:
    """The request as a question after the earlier ones, oldest first. Their `instructions` are not used again."""
    tool = request.file_search()
    said: list[tuple[Role, str]] = [("system", request.instructions)] if request.instructions else []
    for turn in earlier:
        said += [(item["role"], _text(item)) for item in (turn.response or {})["input"]]
        said.append(("assistant", turn.answer))
    said += [(message.role, message.text()) for message in request.input]
    sampling: dict[str, Any] = {"temperature": request.temperature, "top_p": request.top_p}
    sampling["response_format"] = request.text.format.for_engine()
    if request.with_logprobs():
        sampling |= {"logprobs": True, "top_logprobs": request.top_logprobs or 0}
    return Asked(
        model=request.model,
        said=said,
        store_ids=tool.vector_store_ids if tool else None,
        max_num_results=tool.max_num_results if tool else None,
        filters=tool.filters if tool else None,
        score_threshold=tool.ranking_options.score_threshold if tool and tool.ranking_options else 0.0,
        sampling={name: value for name, value in sampling.items() if value is not None},
        max_tokens=request.max_output_tokens,
        keep_history=request.truncation != "auto",
        place="input",
    )


def _text(item: dict[str, Any]) -> str:
    return "\n".join(part.get("text") or part.get("refusal") or "" for part in item["content"])


def check_search(request: ResponseRequest, choice: Choice) -> None:
    """Raises ApiError 400 for file_search in a mode that does not retrieve."""
    if request.tools and choice.mode not in GROUNDED:
        message = f"'{choice.name}' answers without documents; for file_search use 'tandem/rag' or 'tandem/hybrid'."
        raise ApiError(400, message, code="mode_without_retrieval", param="tools")
