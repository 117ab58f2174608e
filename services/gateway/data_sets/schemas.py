"""Bodies of the calls on data sets that clients send."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from services.gateway.http.bodies import Strict


class DataSetCreate(Strict):
    """Without a name it gets the file's name. Data for `evaluation` is never trained on."""

    file_id: str
    name: str | None = Field(default=None, min_length=1, max_length=200)
    use: Literal["training", "evaluation"] = "training"
