"""A canary in the spare slot: when it gets its share, and everything that ends it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from services.contracts.generation import CanaryEndRequest, CanaryRequest, CanaryShare
from services.database.engine import Sessions, open_sessions
from services.database.tables import Base, Canary, Publication, Version, Workspace
from services.generation.publishing.canaries import CanaryRefused
from services.generation.publishing.publisher import Order, Publisher, UnknownVersion
from services.generation.slots.routing import table_of
from services.generation.slots.slot import SpareHeld
from tests.unit.generation.generation_fakes import Yard


@pytest.fixture
def sessions(tmp_path: Path) -> Sessions:
    """Workspaces `w` with the versions v1 to v3 and `other` with x1."""
    opened = open_sessions(f"sqlite:///{tmp_path}/tandem.db")
    made: dict[str, Any] = {"base_model": "b", "dataset_hash": "", "template_fingerprint": "", "settings": {}}
    with opened.begin() as session:
        Base.metadata.create_all(session.connection())
        session.add_all([Workspace(id="w", name="W"), Workspace(id="other", name="Other")])
        session.flush()
        for name, workspace in (("v1", "w"), ("v2", "w"), ("v3", "w"), ("x1", "other")):
            named = {"id": name, "name": f"ft:b:x:{name}", "path": name, "status": "candidate"}
            session.add(Version(workspace_id=workspace, **named, **made))
    return opened


class Shop:
    """A publisher over a fleet of fake engines, with v1 live unless it is a restart."""

    def __init__(self, sessions: Sessions, live: bool = True) -> None:
        self.sessions, self.yard = sessions, Yard()
        self.publisher = Publisher(sessions, self.yard.fleet, Path("/versions"))
        if live:
            self.publisher.load("w", "v1")
            self.yard.settle()
            self.publisher.publish("w", "v1", Order(by="key-1", reason="the first"))

    def start(self, name: str = "v2", workspace: str = "w", replace: bool = False) -> None:
        bounds: dict[str, Any] = {"share": 0.1, "margin": 0.05, "min_requests": 20}
        asked = CanaryRequest(workspace_id=workspace, version_id=name, by="key-1", replace=replace, **bounds)
        self.publisher.start_canary(asked)

    def end(self, canary_id: str | None = None) -> bool:
        return self.publisher.end_canary(CanaryEndRequest(workspace_id="w", canary_id=canary_id, reason="enough"))

    def settle(self) -> None:
        self.yard.settle()
        self.publisher.finish_rollbacks()
        self.publisher.watch_canaries()
        self.yard.settle()

    def shares(self) -> dict[str, CanaryShare]:
        """As the routing table has them."""
        return table_of(self.yard.fleet.rows(), self.publisher.canaries(), 1).canaries

    def history(self) -> list[tuple[str, str | None, str, str | None]]:
        with self.sessions() as session:
            events = session.scalars(select(Publication).order_by(Publication.id)).all()
        return [(event.event, event.version_id, event.why, event.by) for event in events]

    def last_reason(self) -> str:
        with self.sessions() as session:
            return session.scalars(select(Publication.reason).order_by(Publication.id.desc())).first() or ""

    def live(self) -> list[str]:
        return [row.model for row in self.yard.fleet.rows() if row.role == "live"]


STARTED = [("moved", "v1", "person", "key-1"), ("canary_started", "v2", "person", "key-1")]


def test_a_canary_gets_its_share_when_its_slot_is_ready_and_not_before(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.start()
    assert shop.shares() == {}
    shop.settle()
    assert [(key, one.version_id, one.share) for key, one in shop.shares().items()] == [("w", "v2", 0.1)]
    assert (shop.live(), shop.history()) == (["v1"], STARTED)


def test_ending_it_gives_the_spare_back_and_writes_the_figures_down_once(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.start()
    shop.settle()
    with sessions.begin() as session:
        session.scalars(select(Canary)).one().errors = 7
    assert shop.end("canary-another") is False
    assert (shop.end(), shop.end()) == (True, False)
    shop.settle()
    assert (shop.shares(), shop.yard.states()) == ({}, [("live", "v1", "ready")])
    assert shop.history() == [*STARTED, ("canary_ended", "v2", "person", None)]
    with sessions() as session:
        ended = session.scalars(select(Publication).where(Publication.event == "canary_ended")).one()
        assert (ended.figures["share"], ended.figures["errors"], ended.reason) == (0.1, 7, "enough")
        assert session.scalars(select(Canary)).one().ended_at is not None


def test_an_evaluation_that_needs_the_spare_ends_the_canary_and_does_not_wait(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.start()
    shop.settle()
    with pytest.raises(SpareHeld):
        shop.publisher.load("w", "v3")
    shop.publisher.load("w", "v3", replace=True)
    assert shop.shares() == {}
    shop.settle()
    assert shop.yard.states() == [("live", "v1", "ready"), ("spare", "v3", "ready")]
    assert shop.history()[-1] == ("canary_ended", "v2", "canary", None)
    assert "needed for something else" in shop.last_reason()


def test_a_canary_whose_slot_fails_to_start_or_crashes_is_ended_with_the_reason(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.yard.starter.broken = "no memory"
    shop.start()
    shop.settle()
    assert (shop.publisher.canaries(), shop.last_reason()) == ({}, "Its slot failed: no memory")
    shop.yard.starter.broken = None
    shop.start()
    shop.settle()
    assert set(shop.shares()) == {"w"}
    shop.yard.starter.engines[-1].crash = "killed by signal 9"
    shop.settle()
    assert (shop.shares(), shop.last_reason()) == ({}, "Its slot failed: killed by signal 9")
    assert shop.live() == ["v1"]


def test_publishing_the_canary_makes_its_slot_live_and_ends_it(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.start()
    shop.settle()
    shop.publisher.publish("w", "v2", Order(why="canary", reason="it did well"))
    shop.settle()
    assert (shop.live(), shop.shares()) == (["v2"], {})
    assert shop.history()[2:] == [("moved", "v2", "canary", None), ("canary_ended", "v2", "canary", None)]
    assert shop.last_reason() == "The live version became v2."


def test_a_rollback_ends_the_canary_since_what_it_was_compared_with_is_gone(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.publisher.load("w", "v2")
    shop.settle()
    shop.publisher.publish("w", "v2")
    shop.start("v3", replace=True)
    shop.settle()
    assert shop.publisher.roll_back("w", Order(by="key-2")) is None
    shop.settle()
    assert (shop.live(), shop.shares()) == (["v1"], {})
    assert ("moved", "v1", "rollback", "key-2") in shop.history()
    assert [event[:2] for event in shop.history()].count(("canary_ended", "v3")) == 1


def test_a_restart_goes_on_with_the_canary(sessions: Sessions) -> None:
    before = Shop(sessions)
    before.start()
    before.settle()
    after = Shop(sessions, live=False)
    after.publisher.reconcile()
    after.settle()
    assert (after.live(), after.shares()) == (["v1"], before.shares())
    assert after.history() == STARTED


def test_a_canary_whose_weights_are_gone_after_a_restart_is_ended_in_the_history(sessions: Sessions) -> None:
    Shop(sessions).start()
    with sessions.begin() as session:
        session.get_one(Version, "v2").status = "removed"
    after = Shop(sessions, live=False)
    after.publisher.reconcile()
    after.settle()
    assert (after.shares(), after.history()[-1][:2]) == ({}, ("canary_ended", "v2"))


def test_what_cannot_be_tried_is_refused_and_leaves_no_trace(sessions: Sessions) -> None:
    shop = Shop(sessions)
    for name, workspace, error, words in (
        ("v1", "w", CanaryRefused, "live already"),
        ("x1", "other", CanaryRefused, "No version is live"),
        ("x1", "w", UnknownVersion, "x1"),
    ):
        with pytest.raises(error, match=words):
            shop.start(name, workspace)
    shop.start()
    with pytest.raises(CanaryRefused, match="the canary v2"):
        shop.start("v3", replace=True)
    shop.settle()
    assert shop.history() == STARTED
