"""Null is as absent in every body, wherever OpenAI's schema has a null or its SDKs send one."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from services.gateway.chat.schemas import ChatRequest
from services.gateway.embeddings.schemas import EmbeddingsRequest
from services.gateway.feedback.schemas import FeedbackCreate
from services.gateway.fine_tuning.schemas import DpoHyperparameters, FineTuningCreate, FineTuningMethod
from services.gateway.http.fields import RankingOptions
from services.gateway.responses.request import InputMessage, ResponseRequest, TextConfig
from services.gateway.schedules.schemas import Conditions, ScheduleCreate
from services.gateway.sources.schemas import SourceCreate, SourceSync
from services.gateway.stores.schemas import BatchCreate, ReindexRequest, StoreCreate, StoreFileCreate, StoreSearch
from services.gateway.versions.schemas import VersionPublish

LEAST: list[tuple[type[BaseModel], dict[str, Any]]] = [
    (ChatRequest, {"messages": [{"role": "user", "content": "x"}]}),
    (ResponseRequest, {"input": "x"}),
    (InputMessage, {"role": "user", "content": "x"}),
    (TextConfig, {}),
    (EmbeddingsRequest, {"input": "x"}),
    (FineTuningCreate, {"model": "m", "training_file": "file-1"}),
    (FineTuningMethod, {"type": "dpo"}),
    (DpoHyperparameters, {}),
    (StoreCreate, {}),
    (StoreFileCreate, {"file_id": "file-1"}),
    (BatchCreate, {"file_ids": ["file-1"]}),
    (StoreSearch, {"query": "x"}),
    (RankingOptions, {}),
    (FeedbackCreate, {"answer_id": "a", "rating": "up"}),
    (ScheduleCreate, {"name": "n", "schedule": {"cron": "0 3 * * *", "time_zone": None}}),
    (Conditions, {}),
    (SourceCreate, {"kind": "folder", "location": "/x"}),
    (SourceSync, {}),
    (ReindexRequest, {}),
    (VersionPublish, {}),
]


@pytest.mark.parametrize(("body", "least"), LEAST, ids=lambda value: getattr(value, "__name__", ""))
def test_every_optional_field_may_be_null(body: type[BaseModel], least: dict[str, Any]) -> None:
    nulls = dict.fromkeys(body.model_fields)
    assert body.model_validate({**nulls, **least}).model_dump() == body.model_validate(least).model_dump()


def test_hyperparameters_may_stand_beside_a_method_that_is_null() -> None:
    asked = {"model": "m", "training_file": "file-1", "hyperparameters": {"n_epochs": 2}, "method": None}
    assert FineTuningCreate.model_validate(asked).chosen().n_epochs == 2


@pytest.mark.parametrize(
    ("body", "asked"),
    [(EmbeddingsRequest, {"input": None}), (StoreSearch, {"query": None}), (StoreCreate, {"nmae": None})],
)
def test_what_must_be_sent_and_what_is_unknown_may_not(body: type[BaseModel], asked: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        body.model_validate(asked)
