"""Bodies of the calls on tuned embedders that clients send."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from services.gateway.http.bodies import Body


class EmbedderCreate(Body):
    """An absent field has its default. Without a store, the default one is used."""

    vector_store_id: str | None = None
    num_train_epochs: float | None = Field(default=None, gt=0, le=20)
    max_steps: int | None = Field(default=None, ge=1, le=100_000)
    learning_rate: float | None = Field(default=None, gt=0, le=1e-2)

    def hyperparameters(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True, exclude={"vector_store_id"})
