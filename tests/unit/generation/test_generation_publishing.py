"""The live pointer and the slots, moved together."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from services.database.engine import Sessions, migrate, open_sessions
from services.database.tables import LivePointer, Publication, Version, Workspace
from services.domain.versions import remove_version
from services.generation.publishing.publisher import NothingToRollBackTo, Order, Publisher, UnknownVersion
from services.generation.slots.slot import NotLoaded
from services.generation.slots.starting import Weights
from tests.unit.generation.generation_fakes import Yard


def version(name: str, workspace: str) -> Version:
    return Version(
        id=name, name=f"ft:base:x:{name}", workspace_id=workspace, base_model="base", path=f"{workspace}/{name}",
        dataset_hash="", template_fingerprint="", settings={}, status="candidate",
    )  # fmt: skip


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("database") / "tandem.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture
def sessions(empty_database: Path, tmp_path: Path) -> Iterator[Sessions]:
    """Workspaces `w` with the versions v1 to v3 and `other` with x1."""
    path = tmp_path / "tandem.db"
    path.write_bytes(empty_database.read_bytes())
    opened = open_sessions(f"sqlite:///{path}")
    with opened.begin() as session:
        session.add_all([Workspace(id="w", name="W"), Workspace(id="other", name="Other")])
        session.flush()
        session.add_all([*(version(name, "w") for name in ("v1", "v2", "v3")), version("x1", "other")])
    yield opened
    opened.kw["bind"].dispose()


class Shop:
    """A publisher over a fleet of fake engines."""

    def __init__(self, sessions: Sessions, warm: float = 600) -> None:
        self.sessions, self.yard = sessions, Yard(warm)
        self.publisher = Publisher(sessions, self.yard.fleet, Path("/versions"))

    def publish(self, name: str) -> str | None:
        self.publisher.load("w", name)
        self.yard.settle()
        return self.publisher.publish("w", name).previous_version_id

    def pointer(self, workspace: str = "w") -> tuple[str | None, str | None] | None:
        with self.sessions() as session:
            pointer = session.get(LivePointer, workspace)
            return (pointer.version_id, pointer.previous_version_id) if pointer else None

    def live(self) -> list[str]:
        return [row.model for row in self.yard.fleet.rows() if row.role == "live"]


def test_publishing_moves_the_pointer_and_remembers_the_version_before(sessions: Sessions) -> None:
    shop = Shop(sessions)
    assert shop.publish("v1") is None
    assert shop.publish("v2") == "v1"
    assert (shop.pointer(), shop.live()) == (("v2", "v1"), ["v2"])
    with sessions() as session:
        assert session.get_one(Version, "v2").status == "published"
        assert session.get_one(Version, "v3").status == "candidate"


def test_publishing_the_live_version_again_changes_nothing(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.publish("v1")
    shop.publish("v2")
    assert shop.publisher.publish("w", "v2").previous_version_id == "v1"
    assert (shop.pointer(), shop.publisher.moves) == (("v2", "v1"), 2)


def test_a_version_that_no_slot_serves_is_not_published_and_the_pointer_stays(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.publish("v1")
    with pytest.raises(NotLoaded, match="v2"):
        shop.publisher.publish("w", "v2")
    assert (shop.pointer(), shop.live()) == (("v1", None), ["v1"])


def test_a_version_of_another_workspace_is_unknown_to_every_command(sessions: Sessions) -> None:
    shop = Shop(sessions)
    with pytest.raises(UnknownVersion, match="x1"):
        shop.publisher.load("w", "x1")
    shop.publisher.load("other", "x1")
    shop.yard.settle()
    with pytest.raises(UnknownVersion):
        shop.publisher.publish("w", "x1")
    shop.publisher.unload("w", "x1")
    shop.yard.settle()
    assert shop.yard.states() == [("spare", "x1", "ready")]
    assert shop.pointer() is None


def test_a_rollback_to_a_warm_slot_is_immediate(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.publish("v1")
    shop.publish("v2")
    shop.yard.settle()
    moved = shop.publisher.roll_back("w")
    assert moved is not None
    assert (moved.version_id, moved.previous_version_id) == ("v1", "v2")
    assert (shop.pointer(), shop.live()) == (("v1", "v2"), ["v1"])
    assert len(shop.yard.starter.engines) == 2


def test_a_rollback_to_a_cold_version_loads_it_while_the_live_one_serves(sessions: Sessions) -> None:
    shop = Shop(sessions, warm=5)
    shop.publish("v1")
    shop.publish("v2")
    shop.yard.settle()
    shop.yard.later(6)
    assert shop.publisher.roll_back("w") is None
    shop.publisher.finish_rollbacks()
    assert (shop.pointer(), shop.live()) == (("v2", "v1"), ["v2"])
    shop.yard.settle()
    shop.publisher.finish_rollbacks()
    assert (shop.pointer(), shop.live()) == (("v1", "v2"), ["v1"])


def test_a_rollback_whose_load_failed_does_not_come_true_later(sessions: Sessions) -> None:
    shop = Shop(sessions, warm=5)
    shop.publish("v1")
    shop.publish("v2")
    shop.yard.settle()
    shop.yard.later(6)
    shop.yard.starter.broken = "no memory"
    shop.publisher.roll_back("w")
    shop.yard.settle()
    shop.publisher.finish_rollbacks()
    shop.yard.starter.broken = None
    shop.publisher.load("w", "v1")
    shop.yard.settle()
    shop.publisher.finish_rollbacks()
    assert (shop.pointer(), shop.live()) == (("v2", "v1"), ["v2"])


def test_there_is_nothing_to_roll_back_to_before_the_second_publish(sessions: Sessions) -> None:
    shop = Shop(sessions)
    with pytest.raises(NothingToRollBackTo, match="workspace w"):
        shop.publisher.roll_back("w")
    shop.publish("v1")
    with pytest.raises(NothingToRollBackTo):
        shop.publisher.roll_back("w")


def test_a_rollback_of_the_first_version_goes_to_the_base_weights_and_back(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.yard.fleet.serve_base(Weights(Path("/base")))
    shop.publish("v1")
    moved = shop.publisher.roll_back("w")
    assert moved is not None
    assert (moved.version_id, moved.previous_version_id) == (None, "v1")
    shop.yard.settle()
    assert (shop.pointer(), shop.live()) == ((None, "v1"), [])
    assert shop.publisher.roll_back("w") is not None
    assert (shop.pointer(), shop.live()) == (("v1", None), ["v1"])
    assert len(shop.yard.starter.engines) == 2


def test_without_base_weights_the_first_version_is_not_rolled_back(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.publish("v1")
    with pytest.raises(NothingToRollBackTo):
        shop.publisher.roll_back("w")
    assert shop.live() == ["v1"]


def test_every_move_is_in_the_history_with_who_and_why(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.publish("v1")
    shop.publisher.load("w", "v2")
    shop.yard.settle()
    shop.publisher.publish("w", "v2", Order("gate", reason="It passed the gate."))
    shop.publisher.publish("w", "v2", Order(by="key-1"))
    shop.publisher.roll_back("w", Order(by="key-1", reason="users complain"))
    with sessions() as session:
        events = session.scalars(select(Publication).order_by(Publication.id)).all()
    assert [(one.from_version_id, one.version_id, one.why, one.by, one.reason) for one in events] == [
        (None, "v1", "person", None, ""),
        ("v1", "v2", "gate", None, "It passed the gate."),
        ("v2", "v1", "rollback", "key-1", "users complain"),
    ]


def test_a_version_that_was_removed_can_be_neither_loaded_nor_published(sessions: Sessions) -> None:
    shop = Shop(sessions)
    shop.publisher.load("w", "v1")
    shop.yard.settle()
    with sessions.begin() as session:
        assert remove_version(session, session.get_one(Version, "v1")) is None
    for order in (shop.publisher.load, shop.publisher.publish):
        with pytest.raises(UnknownVersion):
            order("w", "v1")
    assert shop.pointer() is None


def test_a_cold_start_serves_what_the_pointers_say(sessions: Sessions) -> None:
    before = Shop(sessions)
    before.publish("v1")
    before.publish("v2")
    after = Shop(sessions)
    after.publisher.reconcile()
    after.yard.settle()
    assert after.yard.states() == [("live", "v2", "ready")]
    assert after.publisher.roll_back("w") is None
    after.yard.settle()
    after.publisher.finish_rollbacks()
    assert after.live() == ["v1"]


def test_a_pointer_to_another_workspaces_version_is_not_served(sessions: Sessions) -> None:
    with sessions.begin() as session:
        session.add(LivePointer(workspace_id="w", version_id="x1", previous_version_id=None))
    shop = Shop(sessions)
    shop.publisher.reconcile()
    shop.yard.settle()
    assert shop.yard.states() == []
