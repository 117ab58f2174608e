"""Bodies of the public API that clients send. They follow OpenAI's; fields of no meaning here are ignored."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from services.gateway.knowledge_schemas import AttributeFilter, RankingOptions


class Body(BaseModel):
    model_config = ConfigDict(extra="ignore")


class TextPart(Body):
    type: Literal["text", "input_text"]
    text: str


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart]

    def text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        return "\n".join(part.text for part in self.content)


class StreamOptions(Body):
    include_usage: bool = False


class ChatRequest(Body):
    """`vector_store_ids`, `max_num_results`, `filters` and `ranking_options` are OpenAI's file_search words, at the top
    level of the body."""

    model: str = "default"
    messages: list[ChatMessage] = Field(min_length=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = None
    presence_penalty: float | None = Field(default=None, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=None, ge=-2, le=2)
    min_tokens: int | None = Field(default=None, ge=0)
    """vLLM's word: no end before this many tokens; load tests need answers of one length."""
    vector_store_ids: list[str] | None = None
    max_num_results: int | None = Field(default=None, ge=1, le=50)
    n: Literal[1] = 1
    tools: list[Any] | None = Field(default=None, max_length=0)
    filters: AttributeFilter | None = None
    ranking_options: RankingOptions | None = None

    @model_validator(mode="after")
    def _ends_with_a_question(self) -> ChatRequest:
        if self.messages[-1].role != "user" or not self.messages[-1].text().strip():
            raise ValueError("the last message must be the user's, and not empty")
        return self


class EmbeddingsRequest(Body):
    model: str = ""
    input: str | list[str]
    encoding_format: Literal["float", "base64"] = "float"


class ReindexRequest(Body):
    """Sizes in tokens; what is absent is as the worker's settings have it. `force` switches though recall is low."""

    chunk_size: int | None = Field(default=None, ge=32, le=2048)
    chunk_overlap: int | None = Field(default=None, ge=0, le=512)
    sparse_language: str | None = Field(default=None, max_length=32)
    sparse_average_length: float | None = Field(default=None, gt=0, le=10_000)
    sparse_tokenizer: Literal["multilingual", "word"] | None = None
    force: Literal[True] | None = None


class EmbedderCreate(Body):
    """What is absent is as the defaults have it; without a store, the default one."""

    vector_store_id: str | None = None
    num_train_epochs: float | None = Field(default=None, gt=0, le=20)
    max_steps: int | None = Field(default=None, ge=1, le=100_000)
    learning_rate: float | None = Field(default=None, gt=0, le=1e-2)

    def hyperparameters(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, exclude={"vector_store_id"})


class DataSetCreate(Body):
    """Without a name the file's; what is for `evaluation` is never trained on."""

    model_config = ConfigDict(extra="forbid")

    file_id: str
    name: str | None = Field(default=None, min_length=1, max_length=200)
    use: Literal["training", "evaluation"] = "training"
