"""The body of POST /v1/embeddings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from services.gateway.http.bodies import Body

MOST_TEXTS = 2048


def _texts(given: Any) -> Any:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_TEXTS:
        raise ValueError(f"send a text, or a list of 1 to {MOST_TEXTS} texts")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError("token ids are not served, since each embedder has its own; send the text itself")
        if not text:
            raise ValueError(f"text {number} is empty; leave it out")
    return texts


class EmbeddingsRequest(Body):
    """`dimensions` can only be the embedder's own: vectors of this model cannot be cut shorter."""

    model: str = ""
    input: Annotated[list[str], BeforeValidator(_texts)]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = Field(default=None, ge=1)
