"""What an operator can set on the gateway: `[gateway]` in tandem.toml, `TANDEM_GATEWAY_...` in the environment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator, Field

from services.contracts.retrieval import LONGEST_QUERY
from services.kit.queue import LONGEST_JOB_SECONDS
from services.kit.settings import DataSetSettings, Platform, ServiceSettings, SourceSettings, service_config

ORIGIN = re.compile(r"\*|https?://[^/\s*]+")


def _origin(text: str) -> str:
    if not ORIGIN.fullmatch(text):
        raise ValueError(f"'{text}' is no origin: write scheme and host, as https://chat.example.org, or * for all.")
    return text


class GatewaySettings(ServiceSettings):
    """Sizes are in bytes, times in seconds."""

    toml_table = "gateway"
    model_config = service_config("gateway")

    model_aliases: dict[str, str] = Field(default_factory=dict)
    temperature: float = Field(default=0.0, ge=0.0, le=2.0)
    max_waiting: int = Field(default=64, ge=1)
    max_body_bytes: int = Field(default=64 * 2**20, ge=1024)
    """Of an upload, the file and the form around it."""
    max_json_bytes: int = Field(default=2**20, ge=1024)
    max_embeddings_bytes: int = Field(default=16 * 2**20, ge=1024)
    max_question_characters: int = Field(default=20_000, ge=1, le=LONGEST_QUERY)
    reads_per_minute: int = Field(default=6000, ge=1)
    """For each key: requests that only look at the state of something."""
    cors_origins: list[Annotated[str, AfterValidator(_origin)]] = Field(default_factory=list)
    """Origins whose pages may call the API from a browser; `*` is any."""
    answer_timeout: float = Field(default=300.0, gt=0)
    answer_unsourced: bool = False
    routing_refresh: float = Field(default=1.0, gt=0)
    deadline_index: float = Field(default=3600.0, gt=0, le=LONGEST_JOB_SECONDS)
    deadline_reindex: float = Field(default=24 * 3600.0, gt=0, le=LONGEST_JOB_SECONDS)
    deadline_train: float = Field(default=24 * 3600.0, gt=0, le=LONGEST_JOB_SECONDS)
    propose_praised: bool = False
    """Propose answers that are rated up as examples, as they are."""
    propose_ratings: bool = False
    """Propose each rated answer as an example of the kind rating, for KTO."""
    review_examples: bool = True
    """Examples from feedback wait for a reviewer; without, they are approved at once."""
    canary_margin: float = Field(default=0.05, ge=0, le=1)
    """A canary is ended where its error rate exceeds the live version's by more than this."""
    canary_min_requests: int = Field(default=20, ge=1)
    """So many requests a canary has before its error rate is judged."""


@dataclass(frozen=True)
class Settings:
    """All settings of a gateway. What is not given is read from the file and the environment."""

    platform: Platform = field(default_factory=Platform)
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    sources: SourceSettings = field(default_factory=SourceSettings)
    data_sets: DataSetSettings = field(default_factory=DataSetSettings)
