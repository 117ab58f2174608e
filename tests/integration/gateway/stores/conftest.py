"""A platform's knowledge half for a module's tests, and a workspace with a client of its own for each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from openai import OpenAI

from tests.knowledge import Knowledge, knowledge


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Knowledge]:
    with pytest.MonkeyPatch.context() as patch, knowledge(tmp_path_factory.mktemp("knowledge"), patch) as running:
        yield running


@pytest.fixture
def workspace() -> str:
    """Each test has a workspace of its own."""
    return f"w-{uuid.uuid4().hex}"


@pytest.fixture
def client(desk: Knowledge, workspace: str) -> OpenAI:
    return desk.client(workspace)
