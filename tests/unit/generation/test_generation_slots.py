"""How slots get from one state to the next."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest

from services.generation.engines.cores import CoreGroups
from services.generation.slots.draining import Patience, drain
from services.generation.slots.fleet import Fleet
from services.generation.slots.routing import RoutingTables
from services.generation.slots.slot import NotLoaded, SpareHeld
from services.generation.slots.starting import Weights
from tests.unit.generation.generation_fakes import FakeEngine, FakeStarter, Yard

BASE = Weights(Path("/base"))


def version(name: str, workspace: str = "w") -> Weights:
    return Weights(Path(f"/versions/{name}"), workspace, name)


def live_yard(warm: float = 600) -> Yard:
    """Base and the live version v1 are up."""
    yard = Yard(warm)
    yard.fleet.serve_base(BASE)
    yard.fleet.serve_live(version("v1"))
    yard.settle()
    return yard


def publish(yard: Yard, name: str) -> None:
    yard.fleet.load(version(name))
    yard.settle()
    yard.fleet.promote("w", name)


def test_a_slot_is_starting_until_its_engine_answers() -> None:
    yard = Yard()
    yard.fleet.serve_base(BASE)
    yard.fleet.tick()
    assert yard.states() == [("base", "base", "starting")]
    yard.executor.run()
    yard.fleet.tick()
    assert yard.states() == [("base", "base", "ready")]


def test_live_has_cores_of_its_own_and_base_and_spare_share() -> None:
    yard = live_yard()
    yard.fleet.load(version("v2"))
    yard.settle()
    assert [yard.cores_of(model) for model in ("base", "v1", "v2")] == [[1], [0], [1]]


def test_the_first_spare_ever_takes_the_live_cores() -> None:
    yard = Yard()
    yard.fleet.serve_base(BASE)
    yard.fleet.load(version("v1"))
    yard.settle()
    assert yard.cores_of("v1") == [0]


def test_a_promoted_spare_moves_to_the_live_cores_and_the_former_live_to_the_others() -> None:
    yard = live_yard()
    publish(yard, "v2")
    assert (yard.cores_of("v2"), yard.cores_of("v1")) == ([0], [1])
    _base, first, second = yard.starter.engines
    assert (first.cores, second.cores) == ((1,), (0,))


def test_the_former_live_slot_drains_stays_warm_and_is_stopped() -> None:
    yard = live_yard(warm=600)
    publish(yard, "v2")
    assert ("retired", "v1", "draining") in yard.states()
    yard.settle()
    assert ("retired", "v1", "ready") in yard.states()
    yard.later(599)
    assert ("retired", "v1", "ready") in yard.states()
    yard.later(2)
    assert yard.states() == [("base", "base", "ready"), ("live", "v2", "ready")]
    assert [engine.stopped for engine in yard.starter.engines] == [False, True, False]


def test_a_warm_slot_is_live_again_without_a_start() -> None:
    yard = live_yard()
    publish(yard, "v2")
    yard.settle()
    yard.fleet.promote("w", "v1")
    yard.settle()
    assert ("live", "v1", "ready") in yard.states()
    assert ("retired", "v2", "ready") in yard.states()
    assert len(yard.starter.engines) == 3


def test_a_slot_that_is_still_draining_can_be_promoted_at_once() -> None:
    yard = live_yard()
    publish(yard, "v2")
    yard.fleet.promote("w", "v1")
    assert ("live", "v1", "ready") in yard.states()
    yard.settle()
    assert ("live", "v1", "ready") in yard.states()


def test_a_second_version_is_refused_while_the_spare_is_held() -> None:
    yard = live_yard()
    yard.fleet.load(version("v2"))
    with pytest.raises(SpareHeld, match="is loading v2"):
        yard.fleet.load(version("v3"))
    yard.settle()
    with pytest.raises(SpareHeld, match="holds v2"):
        yard.fleet.load(version("v3"))
    yard.fleet.load(version("v2"))
    yard.settle()
    assert len(yard.starter.engines) == 3


def test_replace_stops_the_spare_before_the_next_one_starts() -> None:
    yard = live_yard()
    yard.fleet.load(version("v2"))
    yard.settle()
    yard.fleet.load(version("v3"), replace=True)
    yard.fleet.tick()
    assert len(yard.starter.engines) == 3, "two spares do not fit into memory"
    yard.settle()
    assert yard.states() == [("base", "base", "ready"), ("live", "v1", "ready"), ("spare", "v3", "ready")]
    assert yard.starter.engines[2].stopped


def test_replace_does_not_give_up_a_version_that_is_still_loading() -> None:
    yard = live_yard()
    yard.fleet.load(version("v2"))
    with pytest.raises(SpareHeld, match="is loading v2"):
        yard.fleet.load(version("v3"), replace=True)
    yard.fleet.free_spare()
    yard.fleet.load(version("v3"))
    yard.settle()
    assert yard.states() == [("base", "base", "ready"), ("live", "v1", "ready"), ("spare", "v3", "ready")]


def test_a_start_that_is_given_up_leaves_no_engine() -> None:
    yard = live_yard()
    yard.fleet.load(version("v2"))
    yard.fleet.tick()
    yard.fleet.unload("w", "v2")
    yard.settle()
    assert yard.states() == [("base", "base", "ready"), ("live", "v1", "ready")]
    assert [engine.stopped for engine in yard.starter.engines] == [False, False, True]


def test_loading_stops_a_warm_slot_first() -> None:
    yard = live_yard()
    publish(yard, "v2")
    yard.settle()
    yard.fleet.load(version("v3"))
    yard.settle()
    assert yard.states() == [("base", "base", "ready"), ("live", "v2", "ready"), ("spare", "v3", "ready")]


def test_loading_the_warm_version_keeps_its_slot() -> None:
    yard = live_yard()
    publish(yard, "v2")
    yard.settle()
    yard.fleet.load(version("v1"))
    yard.later(10_000)
    assert ("spare", "v1", "ready") in yard.states()
    assert len(yard.starter.engines) == 3


def test_a_crashed_live_slot_is_started_again_with_growing_pauses() -> None:
    yard = live_yard()
    yard.starter.broken = "no memory"
    yard.starter.engines[1].crash = "The engine was ended by SIGKILL."
    yard.settle()
    failed = next(row for row in yard.fleet.rows() if row.role == "live")
    assert (failed.state, failed.error, failed.pid) == ("failed", "The engine was ended by SIGKILL.", None)
    yard.later(1)
    assert next(row.error for row in yard.fleet.rows() if row.role == "live") == "no memory"
    yard.starter.broken = None
    yard.later(1)
    assert ("live", "v1", "failed") in yard.states()
    yard.later(1)
    assert ("live", "v1", "ready") in yard.states()
    assert yard.cores_of("v1") == [0]


def test_a_spare_that_fails_stays_failed_with_its_reason_and_does_not_hold_the_slot() -> None:
    yard = live_yard()
    yard.starter.broken = "The tensor a has changed."
    yard.fleet.load(version("v2"))
    yard.later(1000)
    row = next(row for row in yard.fleet.rows() if row.model == "v2")
    assert (row.state, row.error) == ("failed", "The tensor a has changed.")
    yard.starter.broken = None
    yard.fleet.load(version("v3"))
    yard.settle()
    assert yard.states() == [("base", "base", "ready"), ("live", "v1", "ready"), ("spare", "v3", "ready")]


def test_a_version_that_no_slot_serves_cannot_be_promoted() -> None:
    yard = live_yard()
    with pytest.raises(NotLoaded, match="v2"):
        yard.fleet.promote("w", "v2")
    yard.fleet.load(version("v2"))
    with pytest.raises(NotLoaded):
        yard.fleet.promote("w", "v2")


def test_a_version_of_one_workspace_is_not_loaded_for_another() -> None:
    yard = live_yard()
    yard.fleet.load(version("v2", "w"))
    yard.settle()
    assert yard.fleet.loaded("w", "v2")
    assert not yard.fleet.loaded("other", "v2")
    with pytest.raises(NotLoaded):
        yard.fleet.promote("other", "v2")
    yard.fleet.unload("other", "v2")
    yard.settle()
    assert ("spare", "v2", "ready") in yard.states()


def test_each_workspace_keeps_its_own_live_slot() -> None:
    yard = live_yard()
    yard.fleet.load(version("x1", "other"))
    yard.settle()
    yard.fleet.promote("other", "x1")
    yard.settle()
    table = RoutingTables(0).current(yard.fleet.rows(), {})
    assert {workspace: route.version_id for workspace, route in table.live.items()} == {"w": "v1", "other": "x1"}


def test_stopping_all_ends_every_engine_and_nothing_moves_after() -> None:
    starter, now = FakeStarter(), ThreadPoolExecutor(4)
    fleet = Fleet(starter, "vllm", CoreGroups((0,), (1,), (1,)), Patience(0, 1, 600, 1), now)
    fleet.serve_base(BASE)
    fleet.serve_live(version("v1"))
    while any(row.state != "ready" for row in fleet.rows()):
        fleet.tick()
    fleet.load(version("v2"))
    fleet.stop_all()
    fleet.tick()
    assert [engine.stopped for engine in starter.engines] == [True, True]
    assert {row.state for row in fleet.rows()} == {"stopped"}


def test_the_table_routes_ready_slots_only_and_its_epoch_grows_with_each_change() -> None:
    yard, tables = live_yard(), RoutingTables(first_epoch=10)
    first = tables.current(yard.fleet.rows(), {})
    assert (first.epoch, first.base and first.base.model) == (11, "base")
    assert (first.live["w"].version_id, first.live["w"].model) == ("v1", "v1")
    assert tables.current(yard.fleet.rows(), {}).epoch == 11
    yard.fleet.load(version("v2"))
    loading = tables.current(yard.fleet.rows(), {})
    assert (loading.epoch, loading.loading, loading.versions) == (12, ["v2"], {})
    yard.settle()
    loaded = tables.current(yard.fleet.rows(), {})
    assert (loaded.epoch, loaded.loading, list(loaded.versions)) == (13, [], ["v2"])
    yard.fleet.promote("w", "v2")
    published = tables.current(yard.fleet.rows(), {})
    assert (published.live["w"].version_id, published.versions) == ("v2", {})
    assert published.live["w"].address == loaded.versions["v2"].address


def test_a_live_slot_that_is_started_again_counts_as_loading() -> None:
    yard, tables = live_yard(), RoutingTables(0)
    yard.starter.engines[1].crash = "gone"
    yard.fleet.tick()
    table = tables.current(yard.fleet.rows(), {})
    assert (table.live, table.loading) == ({}, ["v1"])


class Emptying(FakeEngine):
    """Finishes one request each time it is asked."""

    def unfinished_requests(self) -> int | None:
        self.requests -= 1
        return self.requests


def test_draining_waits_for_the_last_request_but_not_for_ever() -> None:
    emptying = Emptying("unix:/a", 1, (0,))
    emptying.requests = 2
    assert drain(emptying, Patience(0, 10, 0, 0), Event())
    busy = FakeEngine("unix:/b", 2, (0,))
    busy.requests = 1
    assert not drain(busy, Patience(0, 0.1, 0, 0), Event())
