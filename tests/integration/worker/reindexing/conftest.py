"""A worker beside the real retrieval service, its index embedded or on a Qdrant server (local mode)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.worker.reindexing.pages import REFUNDS, TYRES
from tests.worker_desk import Desk, open_desk


@pytest.fixture(params=["embedded", "server"])
def desk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    with open_desk(tmp_path, request.param == "embedded") as opened:
        yield opened


@pytest.fixture
def filled(desk: Desk) -> Desk:
    desk.index("refunds.md", REFUNDS)
    desk.index("tyres.md", TYRES)
    return desk
